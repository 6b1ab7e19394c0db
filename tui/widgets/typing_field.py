"""A line to type one value into, with what it takes."""

from __future__ import annotations

from textual.widgets import Input

from tui.services.safe_text import SafeText

TYPEABLE = (
    r"[^\x00-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e0fff]*"
)
"""What an input takes: nothing that is invisible or that moves other characters."""
MAX_TYPED = 20_000


def typing_field(value: SafeText, *, limit: int = MAX_TYPED) -> Input:
    """Return an input for one line; it does not blink (1.5 kB a second) and takes nothing invisible."""
    field = Input(value.text, restrict=TYPEABLE, max_length=limit, select_on_focus=False, id="typed")
    field.cursor_blink = False
    return field
