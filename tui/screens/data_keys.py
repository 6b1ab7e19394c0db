"""The keys of the Data screen, and the line that names them."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from tui.screens.app_keys import PLACE_HINTS
from tui.widgets.key_line import Hint

DATA_KEYS: list[BindingType] = [
    Binding("n", "new_source", "new source", id="data.new", tooltip="Point at a file or a folder to read"),
    Binding("space", "edit", "edit", show=False, id="data.edit", tooltip="Open the step, or edit the field"),
    Binding("delete,backspace", "remove", "take out", id="data.remove", tooltip="Take the source or the filter out"),
    Binding("K", "shift(-1)", "move up", show=False, id="data.shift_up", tooltip="Move the source or filter up"),
    Binding("J", "shift(1)", "move down", show=False, id="data.shift_down", tooltip="Move the source or filter down"),
    Binding("left", "nudge(-1)", "less", show=False, id="data.less", tooltip="Make the number a step smaller"),
    Binding("right", "nudge(1)", "more", show=False, id="data.more", tooltip="Make the number a step larger"),
    Binding("u", "reset", "undo", id="data.reset", tooltip="Give the field its default back"),
    Binding("left_square_bracket", "row(-1)", "row before", id="data.before", tooltip="Look at the row before"),
    Binding("right_square_bracket", "row(1)", "row after", id="data.after", tooltip="Look at the row after"),
    Binding("t", "view", "text/tokens", id="data.view", tooltip="Show the row as text, or as tokens"),
    Binding("v", "only_counted", "loss mask", id="data.mask", tooltip="Show only the tokens that the loss counts"),
    Binding("H", "histogram", "histogram", id="data.histogram", tooltip="Show lengths and languages of the sample"),
    Binding("f", "full", "full", id="data.full", tooltip="Give the row of the sample the whole screen, and back"),
    Binding("f2", "advanced", "all fields", id="data.advanced", tooltip="Show all fields of a source, or those set"),
    Binding("f3", "presets", "presets", id="data.presets", tooltip="Begin with a preset of the phase prepare"),
    Binding("f4", "save", "save as", id="data.save", tooltip="Save this preparation as your preset"),
    Binding("f5", "launch", "run", id="data.launch", tooltip="Check everything and start prepare as a run"),
    Binding("f6", "again", "ask again", id="data.again", tooltip="Look at the sources and take a sample anew"),
    Binding("exclamation_mark", "problem", "next problem", id="data.problem", tooltip="Go to the next wrong field"),
    Binding("escape", "back", "back", show=False, id="data.back",
            tooltip="Leave the field, close the step, stop asking"),
]  # fmt: skip

EMPTY_HINTS = [[Hint("n", "new source", "screen.new_source"), Hint("F3", "presets", "screen.presets")], PLACE_HINTS]
HINTS = [
    [
        Hint("⏎", "step", "screen.edit"), Hint("F5", "run", "screen.launch"), Hint("[ ]", "row", "screen.row(1)"),
        Hint("t", "tokens", "screen.view"), Hint("v", "loss mask", "screen.only_counted"),
        Hint("H", "histogram", "screen.histogram"), Hint("f", "full", "screen.full"),
        Hint("n", "new", "screen.new_source"),
        Hint("← →", "number", "screen.nudge(1)"), Hint("del", "take out", "screen.remove"),
        Hint("J K", "move", "screen.shift(1)"),
        Hint("u", "undo", "screen.reset"), Hint("F2", "all fields", "screen.advanced"),
        Hint("F3", "presets", "screen.presets"), Hint("F4", "save", "screen.save"),
    ],
    PLACE_HINTS,
]  # fmt: skip
TYPING_HINTS = [[Hint("⏎", "take it", ""), Hint("esc", "leave it as it was", "screen.back")], PLACE_HINTS]
