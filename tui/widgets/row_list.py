"""Rows to choose from, drawn as lines: a form of a hundred fields costs what is visible, not a widget a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.services.styled import Line
from tui.widgets.lines import TONE_CLASSES, TONE_CSS, to_strip, tone_style


class RowList(ScrollView, can_focus=True):
    """A list with a cursor. It reports `Moved` when the cursor is on another row and `Chosen` on enter or a click."""

    DEFAULT_CSS = f"""
    RowList {{ height: 1fr; scrollbar-size-vertical: 1; {TONE_CSS}
        &>.row--cursor {{ background: $surface-lighten-1; }}
        &:focus>.row--cursor {{ background: $block-cursor-background; color: $block-cursor-foreground; }}
        &:ansi>.row--cursor {{ text-style: reverse; background: transparent; color: $foreground; }}
    }}
    """
    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES | {"row--cursor"}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False, id="rows.up"),
        Binding("down,j", "move(1)", "down", show=False, id="rows.down"),
        Binding("pageup", "page(-1)", "page up", show=False, id="rows.page_up"),
        Binding("pagedown", "page(1)", "page down", show=False, id="rows.page_down"),
        Binding("home,g", "end(0)", "first", show=False, id="rows.first"),
        Binding("end,G", "end(1)", "last", show=False, id="rows.last"),
        Binding("enter", "choose", "choose", show=False, id="rows.choose"),
    ]

    @dataclass
    class Moved(Message):
        """The cursor is on row `index` now."""

        rows: RowList
        index: int

        @property
        def control(self) -> RowList:
            """The list."""
            return self.rows

    @dataclass
    class Chosen(Message):
        """Row `index` was chosen."""

        rows: RowList
        index: int

        @property
        def control(self) -> RowList:
            """The list."""
            return self.rows

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._rows: tuple[Line, ...] = ()
        self.cursor = 0

    @property
    def rows(self) -> tuple[Line, ...]:
        """What is listed."""
        return self._rows

    def show(self, rows: Sequence[Line], *, cursor: int | None = None) -> None:
        """List these rows; the cursor stays on its number unless another one is given."""
        before, self._rows = self._rows, tuple(rows)
        old_cursor = self.cursor
        self.cursor = max(0, min(len(self._rows) - 1, self.cursor if cursor is None else cursor))
        self.virtual_size = Size(0, len(self._rows))
        if len(before) != len(self._rows):
            self.refresh()
        else:
            for index, (old, new) in enumerate(zip(before, self._rows, strict=True)):
                if old != new:
                    self._refresh_row(index)
        if old_cursor != self.cursor:
            self._refresh_row(old_cursor)
            self._refresh_row(self.cursor)
        self._scroll_to_cursor()

    def move_to(self, index: int) -> None:
        """Put the cursor on row `index`, or the nearest there is."""
        wanted = max(0, min(len(self._rows) - 1, index))
        if wanted == self.cursor:
            return
        self._refresh_row(self.cursor)
        self.cursor = wanted
        self._refresh_row(wanted)
        self._scroll_to_cursor()
        self.post_message(self.Moved(self, wanted))

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self.move_to(self.cursor + by)

    def action_page(self, by: int) -> None:
        """Move the cursor by what is visible."""
        self.move_to(self.cursor + by * max(1, self.size.height - 1))

    def action_end(self, which: int) -> None:
        """Move the cursor to the first or the last row."""
        self.move_to(len(self._rows) - 1 if which else 0)

    def action_choose(self) -> None:
        """Report the row under the cursor as chosen."""
        if self._rows:
            self.post_message(self.Chosen(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """Move to the row that was clicked; choose it where the cursor was on it already."""
        offset = event.get_content_offset(self)
        if offset is None:
            return
        index = offset.y + self.scroll_offset.y
        if index >= len(self._rows):
            return
        if index == self.cursor:
            self.action_choose()
        else:
            self.move_to(index)

    def on_focus(self) -> None:
        """Show the cursor as the one that keys move."""
        self._refresh_row(self.cursor)

    def on_blur(self) -> None:
        """Show the cursor as one that waits."""
        self._refresh_row(self.cursor)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._scroll_to_cursor()

    def render_line(self, y: int) -> Strip:
        """Return the visible line `y`."""
        index = y + self.scroll_offset.y
        width = self.scrollable_content_region.width
        style_of = tone_style(self)
        content = self._rows[index] if index < len(self._rows) else Line()
        strip = to_strip(content, width, style_of)
        if index == self.cursor and self._rows:
            look = self.get_component_rich_style("row--cursor")
            cursor = Style(color=look.color if self.has_focus else None, bgcolor=look.bgcolor, reverse=look.reverse)
            strip = Strip([Segment(text, (style or Style()) + cursor) for text, style, _ in strip], strip.cell_length)
        return strip

    def _refresh_row(self, index: int) -> None:
        y = index - self.scroll_offset.y
        if self.is_mounted and 0 <= y < self.size.height:
            self.refresh(Region(0, y, self.size.width, 1))

    def _scroll_to_cursor(self) -> None:
        if not self.is_mounted or not self.size.height:
            return
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + self.size.height:
            self.scroll_to(y=self.cursor - self.size.height + 1, animate=False)
