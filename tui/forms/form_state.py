"""A preset that is being changed: the draft, its rows, what is wrong, and what differs from where it began.

Knows no widget. A draft may be invalid at any time; what was typed stands in it until it is right.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from core.config.drafts import UNSET, Draft, Unset, place_of, set_value
from core.config.fields import Slot, format_value, parse_value, problems_by_slot, rows
from core.config.paths import placed
from core.config.phases import RunConfig
from core.config.presets import dump_config, load_preset, problems, resolve, save_preset
from core.config.yaml_text import Place, Value
from core.errors import ConfigurationError, Problem
from tui.services.safe_text import safe

_MISSING = object()
_LARGE_ITEM = 40


@dataclass
class FormState:
    """The form's state; `base` is the preset as loaded, `advanced` whether fields at their defaults are shown.

    `folded` holds the items of lists of which only the first row is shown; `holds` says whether the draft could be a
    preset, whatever this machine has of what it names.
    """

    name: str
    base: Draft
    draft: Draft
    advanced: bool = False
    slots: list[Slot] = field(default_factory=list)
    wrong: dict[Place, list[Problem]] = field(default_factory=dict)
    folded: set[Place] = field(default_factory=set)
    holds: bool = True
    _missing: list[tuple[Place, object, Problem]] = field(default_factory=list)

    @classmethod
    def load(cls, name: str, path: Path) -> FormState:
        """Return the form of a preset file. Raises: ConfigurationError where it cannot be read at all."""
        draft = load_preset(path)
        state = cls(name, draft, draft)
        state._compute()
        state.folded = set(state._large_items())
        return state

    def _large_items(self) -> Iterator[Place]:
        """Yield the items of lists that have so many rows that the others would be out of sight."""
        for item in filter(None, map(item_headed_by, self.slots)):
            if sum(slot.path[: len(item)] == item for slot in self.slots) > _LARGE_ITEM:
                yield item

    def _compute(self) -> None:
        self.slots = rows(RunConfig, self.draft)
        self._missing = [one for one in self._missing if value_at(self.draft.values, one[0]) == one[1]]
        own = problems(self.draft)
        self.holds = not own
        self.wrong = dict(problems_by_slot(self.slots, [*own, *(problem for _, _, problem in self._missing)]))

    def note_missing(self, found: Sequence[Problem]) -> None:
        """Take what a look at this machine found wrong, in place of what an earlier one did.

        Each stays beside its field until the value there changes; a preset that has such problems can be saved.
        """
        self._missing = []
        for problem in found:
            place = place_of(problem.path)
            watched = place[:-1] if place[-1] == "function" else place  # it is the file's that stands beside it
            self._missing.append((watched, value_at(self.draft.values, watched), problem))
        self._compute()

    @property
    def problem_count(self) -> int:
        """How many things are wrong."""
        return sum(map(len, self.wrong.values()))

    def visible(self) -> list[Slot]:
        """Return the rows to show: without `advanced` those that are set, required or wrong, and their headings."""
        open_slots = [slot for slot in self.slots if not self._is_folded_away(slot)]
        shown = [slot for slot in open_slots if slot.kind != "section" and self._is_shown(slot)]
        places = {slot.path for slot in shown}
        return [
            slot
            for slot in open_slots
            if slot.path in places
            or (slot.kind == "section" and any(place[: len(slot.path)] == slot.path for place in places))
        ]

    def _is_folded_away(self, slot: Slot) -> bool:
        """Whether a row lies in a folded item, below its first row."""
        return any(slot.path[: len(item)] == item and item_headed_by(slot) != item for item in self.folded)

    def unfold_to(self, place: Place) -> None:
        """Open every item in which a place lies."""
        self.folded = {item for item in self.folded if place[: len(item)] != item}

    def preset_of(self, slot: Slot) -> dict[str, Value]:
        """Return the preset to which a row belongs, defaults included: a stage where it is in one, else the whole.

        Lists of sections are left out.
        """
        ways = [slot.path[:length] for length in range(1, len(slot.path))]
        start = next((way for way in ways if _is_preset(value_at(self.draft.values, way))), ())
        found: dict[str, Value] = {}
        for one in self.slots:
            way = one.path[len(start) :]
            if one.path[: len(start)] == start and one.kind not in ("section", "yaml"):
                _put(found, way, one.value)
        return found

    def hidden_count(self) -> int:
        """Return how many fields are not shown, other than those that are folded away."""
        return sum(not self._is_folded_away(slot) for slot in self.slots) - len(self.visible())

    def _is_shown(self, slot: Slot) -> bool:
        if slot.path in self.wrong:
            return True
        if slot.path[0] == "about":
            return self.advanced
        return self.advanced or slot.is_set or slot.required or slot.kind in ("union", "unknown")

    def text_of(self, slot: Slot) -> str:
        """Return the row's value as one line that an editor can take and `type_in` reads."""
        if isinstance(slot.value, list | dict):
            return json.dumps(slot.value, ensure_ascii=False)
        return safe(format_value(slot.value), limit=20_000).text

    def type_in(self, slot: Slot, text: str) -> None:
        """Put what was typed into the draft; nothing changes where the text is as it was.

        Raises: ConfigurationError where a list cannot be read.
        """
        if text != self.text_of(slot):
            self.put(slot, parse_value(slot, text))

    def put(self, slot: Slot, value: Value | Unset) -> None:
        """Give the row a value, or its default with UNSET."""
        self.change(set_value(self.draft, slot.path, value))

    def change(self, draft: Draft) -> None:
        """Take another draft in place of this one."""
        self.draft = draft
        self._compute()

    def reset(self, slot: Slot) -> None:
        """Give the row the value that the preset has, or its default."""
        kept = value_at(self.base.values, slot.path)
        self.put(slot, UNSET if kept is _MISSING else kept)  # type: ignore[arg-type]

    def is_changed(self, slot: Slot) -> bool:
        """Return whether the row's value is another one than the preset's."""
        if slot.kind == "section":
            return False
        return value_at(self.base.values, slot.path) != value_at(self.draft.values, slot.path)

    def changes(self) -> list[tuple[str, str, str]]:
        """Return what differs from the preset: path, value there, value now."""
        changed = [slot for slot in self.slots if slot.kind not in ("section", "yaml") and self.is_changed(slot)]
        found = []
        for slot in changed:
            before = value_at(self.base.values, slot.path)
            found.append((slot.name, "default" if before is _MISSING else shown_value(before), shown_value(slot.value)))
        return found

    def resolved_yaml(self, runs: Path | None = None) -> str:
        """Return the whole configuration for a run. Raises: ConfigurationError with all problems."""
        return dump_config(placed(resolve(self.draft), Path.cwd(), runs=runs))

    def save(self, path: Path) -> None:
        """Write the draft as a preset. Raises: ConfigurationError where it does not hold, OSError."""
        if not self.holds:
            raise ConfigurationError([problem for group in self.wrong.values() for problem in group])
        save_preset(self.draft.values, path)


def item_headed_by(slot: Slot) -> Place | None:
    """Return the item of a list that begins with this row, which says what kind it is of; None for other rows."""
    item = slot.path[:-1]
    return item if slot.kind == "union" and item and isinstance(item[-1], int) else None


def _is_preset(value: object) -> bool:
    return isinstance(value, dict) and "phase" in value


def _put(values: dict[str, Value], way: Place, value: Value) -> None:
    *sections, name = way
    for step in sections:
        if not isinstance(step, str):
            return
        inner = values.setdefault(step, {})
        if not isinstance(inner, dict):
            return
        values = inner
    if isinstance(name, str):
        values[name] = value


def value_at(values: Value, place: Place) -> object:
    """Return the value at a place of nested values, or a mark that equals nothing where there is none."""
    current: object = values
    for step in place:
        match current, step:
            case dict(), _ if step in current:
                current = current[step]
            case list(), int() if 0 <= step < len(current):
                current = current[step]
            case _:
                return _MISSING
    return current


def shown_value(value: object) -> str:
    """Return a value for a row: text as it is, lists and mappings in a line, nothing as a dash."""
    match value:
        case None:
            return "–"
        case str():
            return value if value else '""'
        case bool():
            return "true" if value else "false"
        case int() | float():
            return format_value(value)
        case _:
            return json.dumps(value, ensure_ascii=False)[:400]
