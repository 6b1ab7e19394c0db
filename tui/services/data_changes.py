"""What a filter changed in the sample, as the Data screen says it: each line before and after. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tui.services.json_values import Json, counts_of, list_of, maps, text_of, whole_of
from tui.services.safe_text import safe
from tui.services.styled import Line, Tone, line, word, wrapped
from tui.services.words import count_text

_MOST_ROWS = 20
_MOST_LINES = 3
"""Lines of a document that differ, of which more are not shown."""
_MOST_PARTS = 12
"""Lines of the screen for one of them."""
_AROUND = 60
"""Characters around what differs in a long line."""


@dataclass(frozen=True)
class ChangedRow:
    """A document that a filter changed: how often by which rule, and the lines that differ as (before, after)."""

    filter: int
    rules: tuple[tuple[str, int], ...]
    place: str
    lines: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, value: Json) -> ChangedRow:
        """Return a row from the helper's answer."""
        number = whole_of(value, "filter")
        lines = tuple((text_of(one, "before"), text_of(one, "after")) for one in maps(list_of(value, "lines")))
        return cls(-1 if number is None else number, counts_of(value, "counts"), text_of(value, "place"), lines)


def changed_rows(answer: Json) -> tuple[ChangedRow, ...]:
    """Return the documents of a trial that filters changed."""
    return tuple(map(ChangedRow.of, maps(list_of(answer, "changed"))))


def change_lines(rows: Iterable[ChangedRow], index: int, width: int) -> list[Line]:
    """Return what the filter with this number changed, `width` cells wide; nothing where it changed nothing."""
    mine = [one for one in rows if one.filter == index][:_MOST_ROWS]
    if not mine:
        return []
    return [
        line(),
        line(word("changed, before and after", "title")),
        *(part for one in mine for part in _row(one, width)),
    ]


def _row(one: ChangedRow, width: int) -> list[Line]:
    rules = ", ".join(f"{name.replace('_', ' ')} {count_text(count)}" for name, count in one.rules)
    lines = [
        *_side("~ ", rules, "accent", width),
        line(word("  "), (safe(Path(one.place).name, limit=200), "muted")),
    ]
    for before, after in one.lines[:_MOST_LINES]:
        old, new = around(before, after)
        lines += _side("- ", old, "bad", width) + _side("+ ", new, "good", width)
    return lines


def _side(mark: str, text: str, tone: Tone, width: int) -> list[Line]:
    parts = wrapped(safe(" ".join(text.split())), max(1, width - 2), "plain")
    if len(parts) > _MOST_PARTS:
        parts = [*parts[: _MOST_PARTS - 1], line(word("…", "muted"))]
    return [line(word(mark if number == 0 else "  ", tone), *part.left) for number, part in enumerate(parts)]


def around(before: str, after: str) -> tuple[str, str]:
    """Return both lines without their long common beginning and end, of which some characters stay."""
    shorter = min(len(before), len(after))
    start = next((number for number in range(shorter) if before[number] != after[number]), shorter)
    rest = shorter - start
    end = next((number for number in range(rest) if before[-1 - number] != after[-1 - number]), rest)
    begin, stop = max(0, start - _AROUND), max(0, end - _AROUND)
    head, tail = "… " if begin else "", " …" if stop else ""
    return tuple(f"{head}{text[begin : len(text) - stop]}{tail}" for text in (before, after))  # type: ignore[return-value]
