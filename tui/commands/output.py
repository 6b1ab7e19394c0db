"""Lines, tables and bars in the output of commands; numbers in words come from tui/services/words.py."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from tui.services.safe_text import safe


def shown(text: str) -> str:
    """Return text as one line in which nothing can move the cursor."""
    return str(safe(text.replace("\n", " ")))


def shown_lines(text: str) -> list[str]:
    """Return the lines of a text, each as `shown` gives it."""
    return [shown(line) for line in text.splitlines()]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset()) -> list[str]:
    """Return a table as lines: columns as wide as their widest cell, those in `right` aligned to the right."""
    cells = [[shown(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]


def clip(text: str, columns: int) -> str:
    """Return as much of a text as fits into so many columns; East Asian wide characters take two."""
    taken = 0
    for position, character in enumerate(text):
        taken += _cells_of(character)
        if taken > columns:
            return text[:position]
    return text


def cells(text: str) -> int:
    """Return how many columns a text takes."""
    return sum(map(_cells_of, text))


def _cells_of(character: str) -> int:
    return 2 if unicodedata.east_asian_width(character) in "WF" else 0 if unicodedata.combining(character) else 1


def folded(text: str, columns: int) -> list[str]:
    """Return a line of text as lines of at most so many columns, broken between words where there are any."""
    lines: list[str] = []
    while len(part := clip(text, columns)) < len(text):
        space = part.rfind(" ") if text[len(part)] != " " else len(part)
        stop = space if space > len(part) // 2 else max(1, len(part))
        lines.append(text[:stop])
        text = text[stop:].removeprefix(" ")
    return [*lines, text] if text or not lines else lines


def fitted(lines: Sequence[str], columns: int) -> list[str]:
    """Return lines of at most so many columns, those that were cut with a mark at their end."""
    return [line if cells(line) <= columns else f"{clip(line, columns - 1)}…" for line in lines]


def bar(share: float, width: int, *, unicode: bool) -> str:
    """Return a bar of `width` cells of which `share` is filled."""
    filled = round(min(1.0, max(0.0, share)) * width)
    full, empty = ("█", "░") if unicode else ("#", "-")
    return full * filled + empty * (width - filled)
