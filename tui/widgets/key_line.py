"""The lowest lines of a screen: which keys do something here. A click on one does it too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from textual import events
from textual.message import Message

from tui.services.safe_text import safe
from tui.services.styled import Line, Span, word
from tui.widgets.lines import LinesView


class Hint(NamedTuple):
    """A key, what it does in a word or two, and the action that a click runs."""

    key: str
    words: str
    action: str


class KeyLine(LinesView):
    """Hints over as many lines as there are; what has no room is left out (`?` lists all)."""

    class Pressed(Message):
        """A hint was clicked."""

        def __init__(self, action: str) -> None:
            super().__init__()
            self.action = action

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: tuple[tuple[Hint, ...], ...] = ()
        self._places: list[list[tuple[int, int, str]]] = []

    def show_hints(self, rows: Sequence[Sequence[Hint]]) -> None:
        """Show one row of hints a line."""
        self._rows = tuple(tuple(row) for row in rows)
        self._layout()

    def on_resize(self) -> None:
        """Lay the hints out anew."""
        self._layout()

    def _layout(self) -> None:
        self._places = []
        self.show([self._line(row) for row in self._fitting()])

    def _fitting(self) -> Iterator[tuple[Hint, ...]]:
        height = self.size.height
        rows = self._rows if len(self._rows) <= height else self._rows[: max(0, height - 1)] + self._rows[-1:]
        yield from rows[: max(height, 0)]

    def _line(self, row: tuple[Hint, ...]) -> Line:
        spans: list[Span] = [word(" ")]
        places: list[tuple[int, int, str]] = []
        column = 1
        for hint in row:
            key, words = safe(hint.key), safe(f" {hint.words}  ")
            width = len(key) + len(words)
            if column + width - 2 > self.size.width:
                break
            spans += [(key, "accent"), (words, "muted")]
            places.append((column, column + width - 2, hint.action))
            column += width
        self._places.append(places)
        return Line(tuple(spans))

    def on_click(self, event: events.Click) -> None:
        """Run the action of the hint under the pointer."""
        offset = event.get_content_offset(self)
        if offset is None or offset.y >= len(self._places):
            return
        event.stop()
        for start, end, action in self._places[offset.y]:
            if start <= offset.x < end and action:
                self.post_message(self.Pressed(action))
