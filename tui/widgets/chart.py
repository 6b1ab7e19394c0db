"""A chart that costs little to watch: built when its picture changes, sent line by line where it differs."""

from __future__ import annotations

from typing import ClassVar

from rich.segment import Segment
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.services.safe_text import SafeText, safe
from tui.services.styled import Line, Span, line
from tui.widgets.lines import TONE_CLASSES, TONE_CSS, changed_regions, to_strip, tone_style
from tui.widgets.plot import LETTERS, ChartData, Look, column_of, draw, fitting_range, scaled
from tui.widgets.ticks import Range
from tui.widgets.titles import set_title


class ChartView(Widget):
    """Curves over steps, tokens or time.

    `show` takes what is to be seen and marks the chart as due; `draw_now` builds it, so that a screen can spread
    several charts over time. Nothing in here raises while Textual draws: a chart that cannot be built says so in words.
    """

    DEFAULT_CSS = f"""
    ChartView {{ height: 1fr; border: round $foreground 25%; border-title-color: $text-muted; {TONE_CSS} }}
    ChartView.-picked {{ border: round $border; border-title-color: $text-primary; border-title-style: bold; }}
    ChartView.-picked:nocolor {{ border: heavy $border; }}
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES

    class Widened(Message):
        """A chart has another number of columns now, so that it needs other points."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.look = Look()
        self.data: ChartData | None = None
        self._title = safe("")
        self._range: Range | None = None
        self._strips: list[Strip] = []
        self._key: object = None
        self.is_due = False
        self.below = safe("")

    def show(self, title: SafeText, data: ChartData) -> None:
        """Take what is to be shown; it is drawn at the next `draw_now`."""
        scale_changed = self.data is not None and (
            data.logarithmic != self.data.logarithmic or data.full != self.data.full or title != self._title
        )
        if scale_changed:
            self._range = None
        self._title, self.data, self.is_due = title, data, True

    def draw_now(self) -> None:
        """Build the chart if its picture would be another one, and refresh the lines that differ."""
        self.is_due = False
        if not self.is_mounted or not self.size or self.data is None:
            return
        self._write_title()
        before = self._strips
        if self._build():
            for region in changed_regions(before, self._strips, self.size.width):
                self.refresh(region)

    def on_resize(self) -> None:
        """Say that there is room for other points."""
        self.post_message(self.Widened())

    @property
    def columns(self) -> int:
        """How many columns the curves have."""
        return max(1, self.size.width - 8)

    def notify_style_update(self) -> None:
        """Draw again under another theme."""
        super().notify_style_update()
        self._key = None
        self._strips = []
        self.is_due = True
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return line `y` of the finished picture."""
        if len(self._strips) != self.size.height or (self._strips and self._strips[0].cell_length != self.size.width):
            self._build()
        if y < len(self._strips):
            return self._strips[y]
        return Strip([Segment(" " * self.size.width, tone_style(self)("plain"))])

    def _build(self) -> bool:
        width, height = self.size
        try:
            lines = self._picture(width, height)
        except Exception as error:  # a chart must not take the console down; the words say what to report
            lines = [line((safe(f"This chart cannot be drawn: {error!r}"), "bad"))]
        if lines is None and len(self._strips) == height:
            return False
        style_of = tone_style(self)
        shown = lines or []
        self._strips = [to_strip(shown[row] if row < len(shown) else Line(), width, style_of) for row in range(height)]
        return True

    def _picture(self, width: int, height: int) -> list[Line] | None:
        if self.data is None:
            return []
        self._range = fitting_range(self.data, self._range)
        key = _picture_key(self.data, self._range, width, height, self.look)
        if key == self._key and self._strips and self._strips[0].cell_length == width:
            return None
        self._key = key
        return draw(self.data, self._range, width, height, self.look)

    def _write_title(self) -> None:
        assert self.data is not None
        spans: list[Span] = [(self._title, "plain")]
        if len(self.data.curves) > 1 or not self.look.colored:
            for index, curve in enumerate(self.data.curves):
                sign = LETTERS[index % len(LETTERS)] if not self.look.colored or self.look.charset == "ascii" else "─"
                spans += [(safe(f"  {sign} "), curve.tone), (curve.title, "plain")]
        set_title(self, spans, self.below)


def _picture_key(data: ChartData, y_range: Range | None, width: int, height: int, look: Look) -> object:
    """Return what decides every cell: each curve on the grid of dots rather than its exact values."""
    if y_range is None:
        return (None, width, height)
    columns, rows = max(1, width - 8), max(1, height - 1)
    parts: list[object] = [y_range, width, height, look, data.first, data.last, data.x_title, data.levels]
    parts.append(None if data.cursor is None else column_of(data.cursor, data, columns))
    span_x = max(data.last - data.first, 1e-300)
    for curve in data.curves:
        for x, y in ((curve.x, curve.y), curve.raw or (curve.x[:0], curve.y[:0])):
            across = ((x - data.first) / span_x * 2 * columns).round()
            up = ((scaled(y, logarithmic=data.logarithmic) - y_range[0]) / (y_range[1] - y_range[0]) * 4 * rows).round()
            parts += [across.tobytes(), up.tobytes()]
        parts += [curve.tone, tuple(column_of(x, data, columns) for x in curve.odd)]
    return tuple(parts)
