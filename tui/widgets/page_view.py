"""A page of lines that are laid out for its width, and that one can scroll through."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.segment import Segment
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.services.styled import Line
from tui.widgets.lines import TONE_CLASSES, TONE_CSS, to_strip, tone_style

Layout = Callable[[int], list[Line]]
"""Lines for so many cells."""


class PageView(ScrollView, can_focus=True):
    """Shows what `show` was given, laid out anew where the width changes; lines that stay are not drawn again."""

    DEFAULT_CSS = f"""
    PageView {{ height: 1fr; scrollbar-size-vertical: 1; border: round $foreground 25%;
        border-title-color: $text-muted; {TONE_CSS} }}
    PageView:focus {{ border: round $border; }}
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k,up", "scroll_up", "up", show=False, id="page.up"),
        Binding("j,down", "scroll_down", "down", show=False, id="page.down"),
        Binding("g,home", "scroll_home", "first", show=False, id="page.first"),
        Binding("G,end", "scroll_end", "last", show=False, id="page.last"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._layout: Layout | None = None
        self._shown_lines: list[Line] = []
        self._width = 0
        self._subject: object = None

    @property
    def lines(self) -> list[Line]:
        """What is shown, as laid out."""
        return self._shown_lines

    def show(self, layout: Layout, *, subject: object = None) -> None:
        """Show what `layout` returns; another `subject` than before is shown from its top."""
        self._layout = layout
        if subject != self._subject:
            self._subject = subject
            self.scroll_to(y=0, animate=False, force=True)
        self._lay_out()

    def on_resize(self) -> None:
        """Lay out for the new width."""
        self._lay_out()

    def _lay_out(self) -> None:
        width = self.scrollable_content_region.width
        if self._layout is None or width <= 0:
            return
        before, self._shown_lines = self._shown_lines, self._layout(width)
        self.virtual_size = Size(0, len(self._shown_lines))
        if width != self._width or len(before) != len(self._shown_lines):
            self._width = width
            self.refresh()
            return
        for index, (old, new) in enumerate(zip(before, self._shown_lines, strict=True)):
            y = index - self.scroll_offset.y
            if old != new and 0 <= y < self.size.height:
                self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """Return the visible line `y`."""
        index = y + self.scroll_offset.y
        style_of, width = tone_style(self), self.scrollable_content_region.width
        if index >= len(self._shown_lines):
            return Strip([Segment(" " * self.size.width, style_of("plain"))])
        return to_strip(self._shown_lines[index], width, style_of)
