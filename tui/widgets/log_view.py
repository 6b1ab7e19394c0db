"""Lines that keep coming, newest at the bottom; the oldest are dropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.services.styled import Line, line, word
from tui.widgets.lines import TONE_CLASSES, TONE_CSS, to_strip, tone_style

KEPT_LINES = 5000
_DROPPED_AT_ONCE = 500


class LogView(ScrollView, can_focus=True):
    """A log that follows its end until one scrolls up, and again after `end`.

    Lines are drawn when they are looked at, so a batch of any size costs its own length and nothing a line.
    """

    DEFAULT_CSS = f"""
    LogView {{ height: 1fr; scrollbar-size-vertical: 1; border: round $foreground 25%;
        border-title-color: $text-muted; {TONE_CSS} }}
    LogView:focus {{ border: round $border; }}
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k,up", "scroll_up", "up", show=False, id="log.up"),
        Binding("j,down", "scroll_down", "down", show=False, id="log.down"),
        Binding("g,home", "scroll_home", "first", show=False, id="log.first"),
        Binding("G,end", "scroll_end", "last", show=False, id="log.last"),
    ]

    def __init__(self, *, id: str | None = None, starts_at_end: bool = True, empty: str = "") -> None:
        """Make a log that says `empty` where it has no line."""
        super().__init__(id=id)
        self._empty = line(word(empty, "muted"))
        self._lines: list[Line] = []
        self._at_end = starts_at_end
        self._follows = starts_at_end

    @property
    def lines(self) -> Sequence[Line]:
        """What is kept."""
        return self._lines

    def add(self, lines: list[Line]) -> None:
        """Append lines."""
        if not lines:
            return
        self._lines.extend(lines[-KEPT_LINES:])
        if len(self._lines) > KEPT_LINES + _DROPPED_AT_ONCE:
            del self._lines[:-KEPT_LINES]
        self.virtual_size = Size(0, len(self._lines))
        if self._follows:
            self._go_to_end()
        self.refresh()

    def clear(self) -> None:
        """Forget all lines."""
        self._lines.clear()
        self.virtual_size = Size(0, 0)
        self._follows = self._at_end
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow the end while it is in sight, stay where the reader is otherwise."""
        super().watch_scroll_y(old_value, new_value)
        self._follows = self._at_end and round(new_value) >= self._last_top

    def on_resize(self) -> None:
        """Keep the newest line in sight after the size has changed."""
        if self._follows:
            self._go_to_end()

    @property
    def _last_top(self) -> int:
        return max(0, len(self._lines) - max(1, self.size.height))

    def _go_to_end(self) -> None:
        if self.is_mounted and self.size.height:
            self.scroll_to(y=self._last_top, animate=False, force=True)
            self._follows = self._at_end

    def render_line(self, y: int) -> Strip:
        """Return the visible line `y`."""
        index = y + self.scroll_offset.y
        style_of, width = tone_style(self), self.scrollable_content_region.width
        if not index and not self._lines:
            return to_strip(self._empty, width, style_of)
        if index >= len(self._lines):
            return Strip([Segment(" " * self.size.width, style_of("plain"))])
        return to_strip(self._lines[index], width, style_of)
