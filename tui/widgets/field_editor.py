"""A line to type a value into, mounted while it is used; what stands in it is reported with every change."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.containers import Vertical
from textual.message import Message
from textual.widgets import Input

from tui.services.safe_text import SafeText, safe
from tui.services.styled import word
from tui.widgets.titles import set_title
from tui.widgets.typing_field import typing_field


class FieldEditor(Vertical):
    """Hidden until `open`. It reports `Typing` for each change and `Entered` for enter; leaving it is its owner's."""

    DEFAULT_CSS = """
    FieldEditor { height: 3; border: round $primary; display: none; }
    FieldEditor Input { border: none; height: 1; padding: 0; }
    """

    @dataclass
    class Typing(Message):
        """What stands in the line now."""

        text: str

    @dataclass
    class Entered(Message):
        """What stood in the line when enter was pressed."""

        text: str

    async def open(self, title: str, value: SafeText) -> None:
        """Show the line with a value in it, and let it take the keys."""
        await self.remove_children()
        field = typing_field(value)
        await self.mount(field)
        set_title(self, [word(title, "title")], safe("⏎ take it   esc leave it as it was"))
        self.display = True
        field.focus()

    async def close(self) -> None:
        """Hide the line."""
        await self.remove_children()
        self.display = False

    @on(Input.Changed)
    def _changed(self, message: Input.Changed) -> None:
        message.stop()
        self.post_message(self.Typing(message.value))

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        message.stop()
        self.post_message(self.Entered(message.value))
