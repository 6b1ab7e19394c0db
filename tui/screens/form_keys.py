"""The keys of the form, and the line that names them."""

from __future__ import annotations

from collections.abc import Sequence

from textual.binding import Binding, BindingType

from core.config.measurable import is_measurable
from tui.screens.app_keys import PLACE_HINTS
from tui.widgets.key_line import Hint

KEYS: list[BindingType] = [
    Binding("f2", "advanced", "advanced", id="form.advanced", tooltip="Show all fields, or only those that are set"),
    Binding("f3", "presets", "presets", id="form.presets", tooltip="Choose another preset"),
    Binding("f4", "save", "save as", id="form.save", tooltip="Save what differs from the defaults as your preset"),
    Binding("f5", "launch", "start", id="form.launch", tooltip="Check everything and start a run"),
    Binding("f6", "measure", "measure", id="form.measure", tooltip="Measure what full, LoRA and QLoRA cost here"),
    Binding("space", "edit", "edit", show=False, id="form.edit", tooltip="Edit the field, or take its next choice"),
    Binding("u", "reset", "undo", id="form.reset", tooltip="Give the field the preset's value back"),
    Binding("o", "fold", "open/close", id="form.fold", tooltip="Open or close the item of a list, such as a stage"),
    Binding("plus", "add_item", "add", id="form.add", tooltip="Add to the list: a reward, a stage, a source"),
    Binding("delete,backspace", "remove_item", "take out", id="form.remove", tooltip="Take the list's item out"),
    Binding("K", "shift(-1)", "move up", show=False, id="form.shift_up", tooltip="Move the item up"),
    Binding("J", "shift(1)", "move down", show=False, id="form.shift_down", tooltip="Move the item down"),
    Binding("D", "differences", "changes", id="form.differences", tooltip="Show what differs from the preset"),
    Binding("exclamation_mark", "problem", "next problem", id="form.problem", tooltip="Go to the next wrong field"),
    Binding("escape", "leave", "back", show=False, id="form.leave", tooltip="Leave the field, then the form"),
]

_HINTS = (
    Hint("⏎", "edit", "screen.edit"), Hint("F2", "advanced", "screen.advanced"),
    Hint("F3", "presets", "screen.presets"), Hint("F4", "save as", "screen.save"),
    Hint("F5", "start", "screen.launch"), Hint("F6", "measure", "screen.measure"),
    Hint("u", "undo", "screen.reset"), Hint("D", "changes", "screen.differences"),
    Hint("!", "next problem", "screen.problem"), Hint("o", "open", "screen.fold"),
    Hint("+", "add", "screen.add_item"), Hint("del", "take out", "screen.remove_item"),
)  # fmt: skip


def hints(phase: str) -> list[Sequence[Hint]]:
    """Return the hints of a form of this phase; some phases are not measured."""
    return [[hint for hint in _HINTS if hint.words != "measure" or is_measurable(phase)], PLACE_HINTS]
