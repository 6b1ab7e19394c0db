"""Rows as they come out of the sources: documents, or the canonical form of what rows say."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, assert_never

from core.config.data import InstructionData, TextData
from core.config.preferences import Preparable
from core.config.sources import PathSource, Source
from core.data.formats import Canonical, Conversation, Judged, Preference, Prompt, Turn, canonical
from core.data.inspection import ROW_CONTAINERS
from core.data.row_formats import columns_of, row_formats, unit_items
from core.data.rows import Row
from core.data.sources.path_files import list_files
from core.data.sources.reading import describe, documents, records, rows, units_of
from core.data.sources.row_text import RowText, row_text
from core.data.tally import RowError, Tally

ROWS_TO_DETECT = 100
DOCUMENTS = "documents"
COLUMNS = "columns"
"""What stands for a format where a source gives documents, and where nobody knows what its rows say."""
_MOST_COLUMNS = 100


@dataclass(frozen=True)
class PreviewRow:
    """One document or one canonical row; `number` counts what comes out of all sources, from 0."""

    number: int
    source: int
    place: str
    says: str | Canonical | Row
    """A document, what a row of a known format says, or the columns where nobody knows what they say."""

    def as_json(self, characters: int | None = None) -> dict[str, Any]:
        """Return it as JSON values, texts cut to so many characters with `characters` beside them, how many there were.

        `kind` is document, conversation, preference, judged, prompt or columns.
        """
        head = {"number": self.number, "source": self.source, "place": self.place}
        return {**head, **_said(self.says, characters)}


@dataclass(frozen=True)
class Preview:
    """Some rows of a preparation's sources, in order."""

    kind: str
    """text, instructions, preferences or prompts."""
    formats: tuple[str, ...]
    """Of each source that was read: its row format, documents, or columns."""
    start: int
    """How many rows stand before these."""
    rows: tuple[PreviewRow, ...]
    total: int | None
    """How many rows there are; None where the end was not reached."""
    tallies: tuple[Tally, ...]
    """Counts of each source up to the last of these rows."""

    @property
    def bad_rows(self) -> int:
        """Rows that could not be used, from the first row of the sources up to the last of these."""
        return sum(tally.bad.total() for tally in self.tallies)

    def as_json(self, characters: int | None = None) -> dict[str, Any]:
        """Return it as JSON values, texts cut to so many characters."""
        repaired = sum((tally.repaired for tally in self.tallies), Counter[str]())
        return {
            "kind": self.kind,
            "formats": list(self.formats),
            "start": self.start,
            "total": self.total,
            "rows": [row.as_json(characters) for row in self.rows],
            "bad_rows": self.bad_rows,
            "repaired": dict(sorted(repaired.items())),
            "errors": [error for tally in self.tallies for error in tally.errors],
        }


def preview(data: Preparable, *, start: int, count: int, seed: int = 17) -> Preview:
    """Return `count` rows from the `start`th on, of all sources one after the other.

    Of instructions rows of any format are shown; preferences and prompts as they are made of the rows, damaged answers
    included, which hang on `seed`.

    Raises: UsageError where a source is not there; DataError where it cannot be used.
    """
    reading = _Reading(data, seed)
    found = list(islice(reading.rows(), start, start + count + 1))
    return Preview(
        kind=data.kind,
        formats=tuple(reading.formats),
        start=start,
        rows=tuple(found[:count]),
        total=None if len(found) > count else reading.given,
        tallies=tuple(reading.tallies),
    )


class _Reading:
    def __init__(self, data: Preparable, seed: int) -> None:
        self._data = data
        self._seed = seed
        self.formats: list[str] = []
        self.given = 0
        """Rows that came out so far."""
        self.tallies: list[Tally] = []

    def rows(self) -> Iterator[PreviewRow]:
        for index, source in enumerate(self._data.sources):
            tally = Tally(describe(source, index), self._data.max_bad_rows)
            self.tallies.append(tally)
            for place, says in self._said(index, source, tally):
                self.given += 1
                yield PreviewRow(self.given - 1, index, place, says)

    def _said(self, index: int, source: Source, tally: Tally) -> Iterator[tuple[str, str | Canonical | Row]]:
        if isinstance(self._data, TextData):
            yield from self._documents(source, tally)
            return
        shapes = row_formats(self._data, index)
        self.formats.append(", ".join(dict.fromkeys(shapes.values())))
        for unit in units_of(source, index):
            if (shape := shapes.get(unit.file)) is None:
                continue
            if not isinstance(self._data, InstructionData):
                yield from unit_items(self._data, unit, shape, tally, seed=self._seed)
            else:
                yield from canonical(rows(source, tally, unit), shape, columns_of(source), tally)

    def _documents(self, source: Source, tally: Tally) -> Iterator[tuple[str, str | Row]]:
        texts = row_text(source)
        is_text = isinstance(source, PathSource) and list_files(source).known[0].container not in ROW_CONTAINERS
        # A template says what the text is: where rows lack its columns, that is wrong with them.
        is_text = is_text or texts.template is not None
        first = [] if is_text else list(islice(records(source, Tally(tally.source, 1.0)), ROWS_TO_DETECT))
        if first and not any(_has_text(row, texts) for row in first):
            self.formats.append(COLUMNS)
            yield from ((row.place, row) for row in records(source, tally))
            return
        self.formats.append(DOCUMENTS)
        yield from ((document.place, document.text) for document in documents(source, tally))


def _has_text(row: Row, texts: RowText) -> bool:
    try:
        texts.of(row.values)
    except RowError:
        return False
    return True


def _said(says: str | Canonical | Row, characters: int | None) -> dict[str, Any]:
    match says:
        case str():
            return {"kind": "document", **_text(says, characters)}
        case Row():
            return {"kind": "columns", "values": _values(says, characters)}
        case Conversation():
            return {"kind": "conversation", "turns": _turns(says.turns, characters)}
        case Preference():
            sides = {"chosen": _turns(says.chosen, characters), "rejected": _turns(says.rejected, characters)}
            return {"kind": "preference", "turns": _turns(says.prompt, characters), **sides}
        case Judged():
            return {"kind": "judged", "turns": _turns(says.conversation.turns, characters), "label": says.label}
        case Prompt():
            answer = {} if says.answer is None else {"answer": _text(says.answer, characters)}
            return {"kind": "prompt", "turns": _turns(says.turns, characters), **answer}
        case _:
            assert_never(says)


def _turns(turns: Sequence[Turn], characters: int | None) -> list[dict[str, Any]]:
    return [
        {
            "role": turn.role,
            **_text(turn.content, characters),
            **({"input": _text(turn.input, characters)} if turn.input else {}),
            "supervised": turn.supervised and turn.role == "assistant",
        }
        for turn in turns
    ]


def _values(row: Row, characters: int | None) -> dict[str, str]:
    texts = {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
        for name, value in list(row.values.items())[:_MOST_COLUMNS]
    }
    return {name: text if characters is None else text[:characters] for name, text in texts.items()}


def _text(text: str, characters: int | None) -> dict[str, Any]:
    return {"text": text if characters is None else text[:characters], "characters": len(text)}
