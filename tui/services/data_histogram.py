"""Counts as bars of text. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from tui.services.safe_text import safe
from tui.services.styled import Line, line, word
from tui.services.trial_answers import Histogram
from tui.services.words import count_text, progress_bar

_NAME = 24
_BAR = 10
_LEVELS = " ▁▂▃▄▅▆▇█"
_ROWS = 4


def bar_lines(counts: Sequence[tuple[str, int]], total: int) -> list[Line]:
    """Return a line for each count: its name, the number, its share of `total` as a bar and in percent."""
    width = min(_NAME, max((len(safe(name)) for name, _ in counts), default=0))
    return [
        line(
            word(safe(name, limit=_NAME).text[:_NAME].ljust(width)),
            word(f" {count_text(count):>7} ", "strong"),
            progress_bar(count / total if total else 0.0, _BAR),
            word(f" {100 * count / total:.1f}%" if total else "", "muted"),
        )
        for name, count in counts
    ]


def histogram_lines(histogram: Histogram, width: int, rows: int = _ROWS) -> list[Line]:
    """Return columns of the counts over `rows` lines, with the first, middle and last edge below.

    A count above zero is at least one eighth of a line tall, so that it can be seen.
    """
    counts = histogram.counts
    most = max(counts, default=0)
    if most <= 0 or width < 4:
        return []
    wide = max(1, min(4, (width - 1) // len(counts)))
    eighths = [max(1, round(count / most * rows * 8)) if count else 0 for count in counts][: width // wide]
    lines = []
    for level in range(rows - 1, -1, -1):
        text = "".join(_LEVELS[max(0, min(8, one - level * 8))] * wide for one in eighths)
        lines.append(line(word(text, "first"), right=[word(count_text(most) if level == rows - 1 else "", "muted")]))
    return [*lines, _axis(histogram.edges[: len(eighths) + 1], wide)]


def _axis(edges: Sequence[float], wide: int) -> Line:
    """Return the first and the last edge below their places, and the middle one where it has room."""
    if len(edges) < 2:
        return line()
    at, width = len(edges) // 2, (len(edges) - 1) * wide
    first, middle, last = (count_text(edges[index]) for index in (0, at, -1))
    if len(first) < at * wide and at * wide + len(middle) < width - len(last):
        first = first.ljust(at * wide) + middle
    return line(word(first.ljust(max(len(first) + 1, width - len(last))) + last, "muted"))
