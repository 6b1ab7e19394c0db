"""Questions over a screen: yes or no, one of several, a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from tui.services.safe_text import SafeText
from tui.services.styled import Line, line, word, wrapped
from tui.widgets.lines import LinesView
from tui.widgets.row_list import RowList
from tui.widgets.titles import set_title
from tui.widgets.typing_field import MAX_TYPED, typing_field

DIALOG_CSS = """
    align: center middle;
    & > Vertical { width: 64; max-width: 96%; height: auto; max-height: 90%; border: thick $primary;
        background: $surface; padding: 0 1; }
    & LinesView { height: auto; }
    & RowList { height: auto; max-height: 16; }
    & Input { border: tall $border; }
    &:ansi > Vertical { border: double $foreground; }
"""


class Option(NamedTuple):
    """One of several answers: what is returned, how it reads, and what it means."""

    value: str
    title: SafeText
    help: SafeText


class MenuDialog(ModalScreen[str | None]):
    """One of several; returns the value, or None where the user went back."""

    DEFAULT_CSS = f"MenuDialog {{ {DIALOG_CSS} }}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "back", show=False, id="dialog.back", tooltip="Go back without a change")
    ]

    def __init__(self, title: SafeText, options: Sequence[Option], *, cursor: int = 0) -> None:
        super().__init__()
        self._heading = title
        self._options = tuple(options)
        self._cursor = cursor

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(id="dialog"):
            yield RowList(id="options")
            yield LinesView(id="help")
            yield LinesView(id="keys")

    def on_mount(self) -> None:
        """Fill it."""
        set_title(self.query_one("#dialog"), [(self._heading, "title")])
        rows = self.query_one(RowList)
        rows.styles.height = min(16, len(self._options))
        rows.show([line(word(" "), option.title) for option in self._options], cursor=self._cursor)
        rows.focus()
        self.query_one("#help").styles.height = 2
        self.query_one("#keys").styles.height = 1
        self.query_one("#keys", LinesView).show([_keys("⏎", "choose")])
        self._explain(self._cursor)

    @on(RowList.Moved)
    def _moved(self, message: RowList.Moved) -> None:
        self._explain(message.index)

    def _explain(self, index: int) -> None:
        if self._options:
            width = max(20, self.query_one("#help").size.width or 58)
            self.query_one("#help", LinesView).show(wrapped(self._options[index].help, width)[:2])

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        self.dismiss(self._options[message.index].value)


class ConfirmDialog(ModalScreen[bool]):
    """Yes or no, with what follows from yes.

    Where yes `loses` something, only `y` means it: Enter, which a person may press out of habit, and a second Ctrl-C
    go back.
    """

    DEFAULT_CSS = f"ConfirmDialog {{ {DIALOG_CSS} }}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "yes", show=False, id="dialog.yes", tooltip="Do it"),
        Binding("n,escape,q", "dismiss(False)", "no", show=False, id="dialog.no", tooltip="Go back without a change"),
        Binding("enter", "take", "take", show=False, id="dialog.take", tooltip="Do it, where nothing is lost by it"),
        Binding("ctrl+c", "take", "take", show=False, id="dialog.yes_again"),
    ]

    def __init__(self, title: SafeText, text: Sequence[SafeText], *, yes: SafeText, loses: bool = False) -> None:
        super().__init__()
        self._loses = loses
        self._heading = title
        self._text = tuple(text)
        self._yes = yes

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(id="dialog"):
            yield LinesView(id="text")
            yield LinesView(id="keys")

    def on_mount(self) -> None:
        """Fill it."""
        set_title(self.query_one("#dialog"), [(self._heading, "title")])
        lines = [piece for part in self._text for piece in wrapped(part, 58)]
        view = self.query_one("#text", LinesView)
        view.styles.height = len(lines) + 1
        view.show(lines)
        self.query_one("#keys").styles.height = 1
        yes, no = ("y", "n ⏎") if self._loses else ("y ⏎", "n")
        keys = line(word(yes, "accent"), word(" "), self._yes, word("   "), word(no, "accent"), word(" no, go back"))
        self.query_one("#keys", LinesView).show([keys])

    def action_take(self) -> None:
        """Answer yes, or no where yes would lose something."""
        self.dismiss(not self._loses)


class TextDialog(ModalScreen[str | None]):
    """A line of text; returns it, or None where the user went back."""

    DEFAULT_CSS = f"TextDialog {{ {DIALOG_CSS} }}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "back", show=False, id="dialog.cancel", tooltip="Go back without a change")
    ]

    def __init__(self, title: SafeText, text: Sequence[SafeText], *, value: SafeText, limit: int = MAX_TYPED) -> None:
        super().__init__()
        self._heading = title
        self._text = tuple(text)
        self._value = value
        self._limit = limit

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(id="dialog"):
            yield LinesView(id="text")
            yield typing_field(self._value, limit=self._limit)
            yield LinesView(id="keys")

    def on_mount(self) -> None:
        """Fill it."""
        set_title(self.query_one("#dialog"), [(self._heading, "title")])
        lines = [piece for part in self._text for piece in wrapped(part, 58)]
        view = self.query_one("#text", LinesView)
        view.styles.height = len(lines)
        view.show(lines)
        self.query_one("#keys").styles.height = 1
        self.query_one("#keys", LinesView).show([_keys("⏎", "take it")])
        self.query_one(Input).focus()

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        self.dismiss(message.value)


def _keys(key: str, words: str) -> Line:
    return line(word(key, "accent"), word(f" {words}   "), word("esc", "accent"), word(" go back"))
