"""Lines of safe text with a tone each: what services and screens say, before a widget draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from tui.services.safe_text import SafeText, safe

Tone = Literal[
    "plain", "muted", "strong", "good", "warning", "bad", "accent", "title", "first", "second", "third",
    "mark1", "mark2", "mark3",
]  # fmt: skip
TONES: tuple[Tone, ...] = get_args(Tone)
Span = tuple[SafeText, Tone]
_INDENT = safe("  ")


@dataclass(frozen=True, slots=True)
class Line:
    """One line: `left` from the left edge, `right` against the right edge where there is room for both."""

    left: tuple[Span, ...] = ()
    right: tuple[Span, ...] = ()


def line(*left: Span | SafeText, right: Sequence[Span | SafeText] = ()) -> Line:
    """Return a line of spans; a bare SafeText is plain."""
    return Line(tuple(map(_span, left)), tuple(map(_span, right)))


def word(text: object, tone: Tone = "plain") -> Span:
    """Return `text` made safe, as a span."""
    return (safe(text), tone)


def _span(part: Span | SafeText) -> Span:
    return (part, "plain") if isinstance(part, SafeText) else part


def cell_count(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # only a console draws: the command line lists runs without it

    return cell_len(text)


def wrapped(text: SafeText, width: int, tone: Tone = "plain") -> list[Line]:
    """Return the text as lines of at most `width` cells, broken between words; many characters of Asia take two."""
    lines: list[str] = []
    for paragraph in text.text.split("\n"):
        current = ""
        for piece in paragraph.split(" "):
            if current and cell_count(current) + 1 + cell_count(piece) > width:
                lines.append(current)
                current = piece
            else:
                current = f"{current} {piece}" if current else piece
            while cell_count(current) > width > 0:
                end = _fitting(current, width)
                lines.append(current[:end])
                current = current[end:]
        lines.append(current)
    return [line(word(one, tone)) for one in lines]


def _fitting(text: str, width: int) -> int:
    """Return how many characters, one at least, fit into `width` cells."""
    used = 0
    for index, character in enumerate(text):
        used += cell_count(character)
        if used > width:
            return max(1, index)
    return len(text)


def wrapped_lines(lines: Sequence[Line], width: int) -> list[Line]:
    """Return the lines with those of one span, or of a name and a value, broken to `width`; the others are cut there.

    A value goes on below its name, indented.
    """
    result: list[Line] = []
    for one in lines:
        cells = sum(cell_count(text.text) for text, _ in one.left)
        if one.right or not one.left or cells <= width or width <= 0:
            result.append(one)
        elif len(one.left) == 1:
            text, tone = one.left[0]
            result += wrapped(text, width, tone)
        elif len(one.left) == 2:
            result += _broken_pair(one.left[0], one.left[1], width)
        else:
            result.append(one)
    return result


def _broken_pair(name: Span, value: Span, width: int) -> list[Line]:
    """Return a name and the value behind it in as many lines as it takes; a name that fills the line stands alone."""
    text, tone = safe(value[0].text.strip()), value[1]
    first, rest = width - cell_count(name[0].text), max(1, width - len(_INDENT))
    if first < len(_INDENT):
        return [line(name), *[line(_INDENT, *one.left) for one in wrapped(text, rest, tone)]]
    head = wrapped(text, first, tone)[0]
    left = safe(text.text.removeprefix(head.left[0][0].text).lstrip())
    return [line(name, *head.left), *[line(_INDENT, *one.left) for one in wrapped(left, rest, tone)]]
