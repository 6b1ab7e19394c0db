"""The little language of `text_template`: how the columns of a row become one text.

{name}      the value of a column; {a.b} leads into an object
[[ ... ]]   a part that is left out where a value in it is missing or empty; parts do not stand in one another
{{ and }}   a brace
[           a bracket that stands alone is one; [[[ begins a part with [ and ]]] ends one with ]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SIGN = re.compile(r"[{}]|\[\[|\]\]")
_BRACE = re.compile(r"[{}]")


@dataclass(frozen=True)
class Column:
    """The place of a column's value."""

    name: str


@dataclass(frozen=True)
class Part:
    """Pieces that are left out where one of their columns has no value."""

    pieces: tuple[str | Column, ...]


@dataclass(frozen=True)
class TextTemplate:
    """A template: text, columns, and parts."""

    pieces: tuple[str | Column | Part, ...]

    def required(self) -> list[str]:
        """Return the columns that every row must have, in the order of the template."""
        return list(dict.fromkeys(piece.name for piece in self.pieces if isinstance(piece, Column)))

    def names(self) -> list[str]:
        """Return every column, in the order of the template."""
        return list(dict.fromkeys(self._names()))

    def _names(self) -> Iterator[str]:
        for piece in self.pieces:
            match piece:
                case Column():
                    yield piece.name
                case Part():
                    yield from (inner.name for inner in piece.pieces if isinstance(inner, Column))
                case _:
                    pass


class TemplateError(ValueError):
    """A template that cannot be read; the text says what was found where."""


def parsed(text: str) -> TextTemplate:
    """Return the template that a text writes down.

    Raises: TemplateError where a brace or a part is not closed or not opened, or there is no column.
    """
    reading = _Reading(text)
    at = 0
    while (found := _SIGN.search(text, at)) is not None:
        start = found.start()
        while found.group() == "]]" and text.startswith("]]]", start):
            start += 1  # of several brackets the last two close
        reading.add(text[at:start])
        match found.group():
            case "[[":
                reading.open(start)
                at = start + 2
            case "]]":
                reading.close(start)
                at = start + 2
            case brace:
                at = reading.brace(brace, start)
    reading.add(text[at:])
    return reading.finished()


class _Reading:
    """What was read of a template so far."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._whole: list[str | Column | Part] = []
        self._part: list[str | Column] | None = None
        self._opened_at = 0

    def add(self, piece: str | Column) -> None:
        """Take in text or a column."""
        if piece:
            (self._whole if self._part is None else self._part).append(piece)

    def open(self, start: int) -> None:
        """Begin a part."""
        if self._part is not None:
            raise TemplateError(f"has [[ {self._place(start)} in the part that begins {self._place(self._opened_at)}")
        self._part, self._opened_at = [], start

    def close(self, start: int) -> None:
        """End a part."""
        if self._part is None:
            raise TemplateError(f"has ]] {self._place(start)}, which no [[ opens")
        if not any(isinstance(piece, Column) for piece in self._part):
            raise TemplateError(f"has a part without a column {self._place(self._opened_at)}: it would always stay")
        self._whole.append(Part(tuple(self._part)))
        self._part = None

    def brace(self, sign: str, start: int) -> int:
        """Take in a brace that is meant as one, or a column; return where the reading goes on."""
        if self._text.startswith(sign * 2, start):
            self.add(sign)
            return start + 2
        if sign == "}":
            raise TemplateError(f"has }} {self._place(start)}, which no {{ opens; for a brace write }}}}")
        close = _BRACE.search(self._text, start + 1)
        if close is None or close.group() == "{":
            raise TemplateError(f"has {{ {self._place(start)}, which no }} closes; for a brace write {{{{")
        name = self._text[start + 1 : close.start()]
        if not name.strip() or not all(name.split(".")):
            raise TemplateError(f"has a column without a name {self._place(start)}: {{{name}}}")
        self.add(Column(name))
        return close.end()

    def finished(self) -> TextTemplate:
        """Return the template, which is at its end."""
        if self._part is not None:
            raise TemplateError(f"has [[ {self._place(self._opened_at)}, which no ]] closes")
        template = TextTemplate(tuple(self._whole))
        if not template.names():
            raise TemplateError("names no column; write {name} where the value of a column is to stand")
        return template

    def _place(self, at: int) -> str:
        before = self._text[:at]
        column = at - before.rfind("\n")
        lines = f" of line {before.count(chr(10)) + 1}" if "\n" in self._text else ""
        return f"at character {column}{lines}"
