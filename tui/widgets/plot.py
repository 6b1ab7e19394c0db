"""A chart as lines of text: plotext draws the curves, this module the axes, the marks and what keeps it still.

Pure: values in, lines out. plotext 5.3.2 raises on infinities and on logarithms of what is not positive, and looks at
the terminal's size, so nothing of that kind reaches it: points are finite, inside the range, and already logarithms.
Each chart has a figure of its own (`plotext._figure._figure_class`: private, pinned in pyproject.toml), because the
module's functions share a single one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from plotext._figure import _figure_class

from tui.services.look import Charset
from tui.services.safe_text import SafeText, safe
from tui.services.styled import Line, Span, Tone
from tui.widgets.ticks import Range, number_text, rounded, tick_values

Array = NDArray[np.float64]
LETTERS = "ABCDEFGH"
_LABEL_WIDTH = 7
_HUGE = 1e300
_COLOR = 20  # plotext numbers of 8 bits stand for tones here: 20 is the first


@dataclass(frozen=True)
class Curve:
    """One line of a chart. Shapes: x and y (n,), x ascending; y may hold what is not finite.

    `raw` is the unsmoothed series behind it (x, y), drawn faintly; `odd` the x at which values were not finite.
    """

    title: SafeText
    tone: Tone
    x: Array
    y: Array
    raw: tuple[Array, Array] | None = None
    odd: tuple[float, ...] = ()


@dataclass(frozen=True)
class ChartData:
    """What a chart shows; `levels` are horizontal lines such as the clipping bound, `cursor` an x that is read."""

    curves: tuple[Curve, ...]
    first: float
    last: float
    x_title: SafeText
    logarithmic: bool = False
    full: bool = False
    levels: tuple[tuple[float, Tone], ...] = ()
    cursor: float | None = None


@dataclass(frozen=True)
class Look:
    """How a chart is drawn: braille or ASCII, and with colour or letters."""

    charset: Charset = "braille"
    colored: bool = True


def draw(data: ChartData, y_range: Range | None, width: int, height: int, look: Look) -> list[Line]:
    """Return `height` lines of `width` cells; `y_range` is in the units of the axis (logarithms where it is one)."""
    columns, rows = width - _LABEL_WIDTH - 1, height - 1
    if columns < 4 or rows < 2:
        return []
    if y_range is None:
        return _empty(width, height, "no values yet")
    cells = _canvas(data, y_range, columns, rows, look)
    _add_levels(cells, data, y_range, look)
    _add_odd(cells, data, look)
    _add_cursor(cells, data, look)
    if not look.colored:
        _add_letters(cells, data, y_range)
    labels = _y_labels(y_range, rows, logarithmic=data.logarithmic)
    upright, tick = ("|", "+") if look.charset == "ascii" else ("│", "┤")
    lines = []
    for row in range(rows):
        label = labels.get(row)
        edge = (label or "").rjust(_LABEL_WIDTH) + (tick if label is not None else upright)
        lines.append(Line(((safe(edge), "muted"), *_spans(cells[row]))))
    lines.append(_x_axis(data, columns, look))
    return lines


def fitting_range(data: ChartData, before: Range | None) -> Range | None:
    """Return the y range that the values ask for, or `before` while that still fits.

    The spread of the middle 98 % decides unless `data.full`; labels jump, and with them every line of the chart, only
    when values leave the range or need less than 60 % of it.
    """
    parts = [scaled(curve.y, logarithmic=data.logarithmic) for curve in data.curves]
    parts += [scaled(curve.raw[1], logarithmic=data.logarithmic) for curve in data.curves if curve.raw is not None]
    values = np.concatenate(parts) if parts else np.empty(0)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    if data.full or len(values) < 20:
        low, high = float(values.min()), float(values.max())
    else:
        low, high = (float(edge) for edge in np.percentile(values, [1, 99]))
        for part in parts:  # a short curve, such as the evaluations, is never cut
            finite = part[np.isfinite(part)]
            if 0 < len(finite) < 20:
                low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if before is not None and before[0] <= low and high <= before[1] and high - low >= 0.6 * (before[1] - before[0]):
        return before
    return rounded(low, high)


def scaled(values: Array, *, logarithmic: bool) -> Array:
    """Return the values on the axis: as they are (at most 1e300 in size, so that sums stay finite), or log10.

    NaN where there is no logarithm, and where a value was not finite.
    """
    if not logarithmic:
        return np.where(np.isfinite(values), np.clip(values, -_HUGE, _HUGE), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((values > 0) & np.isfinite(values), np.log10(values), np.nan)


def column_of(x: float, data: ChartData, columns: int) -> int:
    """Return the column of the canvas in which `x` falls."""
    if data.last <= data.first:
        return 0
    return max(0, min(columns - 1, math.floor(0.5 + (columns - 1) * (x - data.first) / (data.last - data.first))))


Cells = list[list[tuple[str, Tone]]]


def _canvas(data: ChartData, y_range: Range, columns: int, rows: int, look: Look) -> Cells:
    figure = _figure_class()
    figure._limit_size(False, False)
    figure.plot_size(columns, rows)
    figure.frame(False)
    figure.xfrequency(0)
    figure.yfrequency(0)
    figure.xlim(0, 1)
    figure.ylim(0, 1)
    last = data.last if data.last > data.first else data.first + 1
    tones: list[Tone] = []
    for index, curve in enumerate(data.curves):
        marker = LETTERS[index % len(LETTERS)] if look.charset == "ascii" else "braille"
        parts: list[tuple[Array, Array, Tone]] = [(curve.x, curve.y, curve.tone)]
        if curve.raw is not None and look.colored and look.charset == "braille":
            parts.insert(0, (*curve.raw, "muted"))
        for x, y, tone in parts:
            values = scaled(y, logarithmic=data.logarithmic)
            keep = np.isfinite(values) & np.isfinite(x) & (x >= data.first) & (x <= data.last)
            if keep.any():
                across = (x[keep] - data.first) / (last - data.first)
                up = (values[keep] - y_range[0]) / (y_range[1] - y_range[0])
                inside = np.clip(up, 0, 1)  # a spike beyond the range is cut at the edge, not lost
                figure.plot(across.tolist(), inside.tolist(), marker=marker, color=_COLOR + len(tones))
                tones.append(tone)
    if not tones:
        return [[(" ", "plain")] * columns for _ in range(rows)]
    figure._build_matrix()
    matrix = figure.monitor.matrix
    return [_row(matrix.marker[row], matrix.fullground[row], tones, columns) for row in reversed(range(rows))]


def _row(markers: list[str], colors: list[object], tones: list[Tone], columns: int) -> list[tuple[str, Tone]]:
    row: list[tuple[str, Tone]] = [
        (marker if len(marker) == 1 else " ", tones[color - _COLOR] if isinstance(color, int) else "plain")
        for marker, color in zip(markers[:columns], colors[:columns], strict=True)
    ]
    return row + [(" ", "plain")] * (columns - len(row))


def _row_of(value: float, y_range: Range, rows: int) -> int:
    return rows - 1 - math.floor(0.5 + (rows - 1) * (value - y_range[0]) / (y_range[1] - y_range[0]))


def _add_levels(cells: Cells, data: ChartData, y_range: Range, look: Look) -> None:
    dash = "-" if look.charset == "ascii" else "┄"
    for value, tone in data.levels:
        level = float(scaled(np.array([value]), logarithmic=data.logarithmic)[0])
        if not y_range[0] <= level <= y_range[1]:
            continue
        row = cells[_row_of(level, y_range, len(cells))]
        row[:] = [(dash, tone) if glyph == " " else (glyph, held) for glyph, held in row]


def _add_odd(cells: Cells, data: ChartData, look: Look) -> None:
    for curve in data.curves:
        for x in curve.odd:
            if data.first <= x <= data.last:
                mark = "x" if look.charset == "ascii" else "×"
                cells[0][column_of(x, data, len(cells[0]))] = (mark, "bad")


def _add_cursor(cells: Cells, data: ChartData, look: Look) -> None:
    if data.cursor is None or not data.first <= data.cursor <= data.last:
        return
    column = column_of(data.cursor, data, len(cells[0]))
    upright = "|" if look.charset == "ascii" else "│"
    for row in cells:
        glyph, tone = row[column]
        row[column] = (upright, "accent") if glyph in " ┄-" else (glyph, tone)


def _add_letters(cells: Cells, data: ChartData, y_range: Range) -> None:
    for index, curve in enumerate(data.curves):
        values = scaled(curve.y, logarithmic=data.logarithmic)
        seen = np.flatnonzero(np.isfinite(values) & (curve.x <= data.last))
        if len(seen):
            last = seen[-1]
            row = _row_of(float(np.clip(values[last], *y_range)), y_range, len(cells))
            column = min(len(cells[0]) - 1, column_of(float(curve.x[last]), data, len(cells[0])) + 1)
            cells[row][column] = (LETTERS[index % len(LETTERS)], "strong")


def _y_labels(y_range: Range, rows: int, *, logarithmic: bool) -> dict[int, str]:
    """Return the labels by row: round numbers, about one every four rows."""
    count = max(2, min(6, rows // 3))
    ticks = tick_values(y_range, count, logarithmic=logarithmic)
    labels = {}
    for value in ticks:
        row = max(0, min(rows - 1, _row_of(value, y_range, rows)))
        labels[row] = _power_text(value) if logarithmic else number_text(float(f"{value:.12g}"))
    return labels


def _power_text(exponent: float) -> str:
    return number_text(10**exponent) if abs(exponent) < 300 else f"1e{exponent:.0f}"


def _x_axis(data: ChartData, columns: int, look: Look) -> Line:
    corner = "+" if look.charset == "ascii" else "└"
    left, middle, right = number_text(data.first), data.x_title.text, number_text(data.last)
    row = list(" " * columns)
    row[: len(left)] = left
    if columns > len(left) + len(middle) + len(right) + 4:
        at = (columns - len(middle)) // 2
        row[at : at + len(middle)] = middle
    if columns > len(left) + len(right):
        row[columns - len(right) :] = right
    return Line(((safe(" " * _LABEL_WIDTH + corner + "".join(row)[:columns]), "muted"),))


def _spans(row: list[tuple[str, Tone]]) -> list[Span]:
    spans: list[Span] = []
    text, tone = "", row[0][1] if row else "plain"
    for glyph, next_tone in row:
        if next_tone != tone and not (glyph == " " or text.isspace()):
            spans.append((SafeText(text), tone))
            text = ""
        if glyph != " ":
            if text.isspace() and text:
                spans.append((SafeText(text), tone))
                text = ""
            tone = next_tone
        text += glyph
    spans.append((SafeText(text), tone))
    return spans


def _empty(width: int, height: int, words: str) -> list[Line]:
    lines = [Line()] * height
    lines[height // 2] = Line(((safe(words.center(width)), "muted"),))
    return lines
