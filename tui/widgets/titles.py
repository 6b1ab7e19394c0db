"""The only places where text is handed to Textual's own widgets: everything goes in as content without markup.

Textual reads markup in a `str` given to a title, a toast or a table cell. Nothing else in the console calls those
(tests/tui/test_markup.py looks).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from weakref import WeakKeyDictionary

from rich.style import Style
from rich.text import Text
from textual.app import App
from textual.content import Content
from textual.widget import Widget

from tui.services.safe_text import SafeText
from tui.services.styled import Span, Tone

_STYLES: dict[Tone, str] = {
    "plain": "",
    "muted": "$text-muted",
    "strong": "bold",
    "good": "$text-success",
    "warning": "$text-warning",
    "bad": "$text-error",
    "accent": "$text-accent",
    "title": "$text-primary bold",
    "first": "$text-primary",
    "second": "$text-warning",
    "third": "$text-success",
    "mark1": "$text-success underline",
    "mark2": "$text-warning bold underline",
    "mark3": "$text-error reverse",
}
_written: WeakKeyDictionary[Widget, tuple[tuple[Span, ...], SafeText | None]] = WeakKeyDictionary()


def set_title(widget: Widget, spans: Sequence[Span], below: SafeText | None = None) -> None:
    """Write the spans into the widget's upper edge and `below` into its lower one, if they are new."""
    wanted = (tuple(spans), below)
    if _written.get(widget) == wanted:
        return
    _written[widget] = wanted
    parts = [(text.text, _STYLES[tone]) for text, tone in spans]
    widget.border_title = Content.assemble(*parts)
    widget.border_subtitle = Content(below.text) if below else None


def say(
    app: App[Any],
    message: SafeText,
    *,
    severity: Literal["information", "warning", "error"] = "information",
    seconds: float = 6.0,
) -> None:
    """Show `message` in a corner for a while."""
    app.notify(message.text, severity=severity, markup=False, timeout=seconds)


def cell(text: SafeText, style: Style | None = None, *, right: bool = False) -> Text:
    """Return `text` as a table cell."""
    return Text(text.text, style=style or "", justify="right" if right else "left", no_wrap=True, end="")
