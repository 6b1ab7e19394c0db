"""Rows of many formats in one canonical form, which templates read."""

from __future__ import annotations

from core.data.formats.conversation import (
    Canonical,
    Conversation,
    Judged,
    Preference,
    Prompt,
    Role,
    Turn,
    loaded,
    messages_of,
    turns_of_all,
    unsupervised,
    with_each_turn,
)
from core.data.formats.detect import detect, recognised
from core.data.formats.reading import canonical, conversations, needs_whole_files

__all__ = [
    "Canonical",
    "Conversation",
    "Judged",
    "Preference",
    "Prompt",
    "Role",
    "Turn",
    "canonical",
    "conversations",
    "detect",
    "loaded",
    "messages_of",
    "needs_whole_files",
    "recognised",
    "turns_of_all",
    "unsupervised",
    "with_each_turn",
]
