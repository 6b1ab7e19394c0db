"""Dialogues written as one text, the form of hh-rlhf (Bai et al. 2022): Human: and Assistant: after blank lines."""

from __future__ import annotations

import re

from core.data.formats.conversation import Turn
from core.data.sources.reading import check_text
from core.data.tally import RowError, show

_HEAD = re.compile(r"(?:\A|\n\n)(Human|Assistant):")


def is_transcript(text: object) -> bool:
    """Return whether a text begins as such a dialogue and has both sides."""
    return isinstance(text, str) and bool(re.match(r"\s*Human:", text)) and "\n\nAssistant:" in text


def transcript_turns(text: str, where: str, *, open_end: bool = False) -> list[Turn]:
    """Return the turns of a dialogue, without the space around each.

    With `open_end` the text ends with the assistant's head, after which an answer is to follow.

    Raises: RowError where a turn is empty or something stands before the first.
    """
    check_text(text)
    before, *parts = _HEAD.split("\n\n" + text.lstrip())
    if before.strip() or not parts:
        raise RowError("format", f"expected a dialogue of Human: and Assistant: in {where!r}, found {show(text)}")
    turns = [
        Turn("user" if name == "Human" else "assistant", said.strip())
        for name, said in zip(parts[::2], parts[1::2], strict=True)
    ]
    if open_end and turns[-1].role == "assistant" and not turns[-1].content:
        turns.pop()
    for number, turn in enumerate(turns):
        if not turn.content:
            raise RowError("empty_turn", f"expected text in turn {number} ({turn.role}) of {where!r}, found nothing")
    return [Turn(turn.role, turn.content, supervised=not open_end or turn.role == "user") for turn in turns]
