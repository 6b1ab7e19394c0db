"""Lines of safe text with a tone each: what services and screens say, before a widget draws it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tui.services.safe_text import SafeText, safe

Tone = Literal["plain", "muted", "strong", "good", "warning", "bad", "accent", "title", "first", "second", "third"]
TONES: tuple[Tone, ...] = (
    "plain", "muted", "strong", "good", "warning", "bad", "accent", "title", "first", "second", "third",
)  # fmt: skip
Span = tuple[SafeText, Tone]


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


def _cells(text: str) -> int:
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
            if current and _cells(current) + 1 + _cells(piece) > width:
                lines.append(current)
                current = piece
            else:
                current = f"{current} {piece}" if current else piece
            while _cells(current) > width > 0:
                end = _fitting(current, width)
                lines.append(current[:end])
                current = current[end:]
        lines.append(current)
    return [line(word(one, tone)) for one in lines]


def _fitting(text: str, width: int) -> int:
    """Return how many characters, one at least, fit into `width` cells."""
    used = 0
    for index, character in enumerate(text):
        used += _cells(character)
        if used > width:
            return max(1, index)
    return len(text)


def wrapped_lines(lines: Sequence[Line], width: int) -> list[Line]:
    """Return the lines with those of a single span broken to `width`; the others are cut where they end."""
    result: list[Line] = []
    for one in lines:
        if len(one.left) == 1 and not one.right and _cells(one.left[0][0].text) > width > 0:
            text, tone = one.left[0]
            result += wrapped(text, width, tone)
        else:
            result.append(one)
    return result
