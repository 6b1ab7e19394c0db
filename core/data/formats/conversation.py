"""The canonical forms behind all formats: conversations, preferences, judged answers, prompts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Turn:
    """What one side says.

    `input` is what an Alpaca instruction works on; "" where there is none. `supervised` is false for an assistant's
    turn that the loss is not to count: it was trained on elsewhere, or the data says so.
    """

    role: Role
    content: str
    input: str = ""
    supervised: bool = True


@dataclass(frozen=True)
class Conversation:
    """Turns that alternate between user and assistant and end with the assistant; at most one system turn, first."""

    turns: tuple[Turn, ...]

    def messages(self) -> list[dict[str, str]]:
        """Return the turns as a chat template reads them; an input follows its instruction after a blank line."""
        return messages_of(self.turns)

    def dumped(self) -> str:
        """Return the conversation as text from which `loaded` makes it again."""
        # dataclasses.asdict takes four times as long. The held-out split hangs on this text: what is usual is left out.
        turns = [
            {"role": turn.role, "content": turn.content, "input": turn.input}
            | ({} if turn.supervised else {"supervised": False})
            for turn in self.turns
        ]
        return json.dumps(turns, ensure_ascii=False)


@dataclass(frozen=True)
class Preference:
    """What was asked, and two ways to go on, the better one first; each begins and ends with an assistant's turn."""

    prompt: tuple[Turn, ...]
    chosen: tuple[Turn, ...]
    rejected: tuple[Turn, ...]


@dataclass(frozen=True)
class Judged:
    """A conversation with a judgement of its last answer: good (true) or bad."""

    conversation: Conversation
    label: bool


@dataclass(frozen=True)
class Prompt:
    """What is asked, without an answer: at most one system turn, then turns that end with the user's."""

    turns: tuple[Turn, ...]


Canonical = Conversation | Preference | Judged | Prompt


def messages_of(turns: tuple[Turn, ...]) -> list[dict[str, str]]:
    """Return turns as a chat template reads them; an input follows its instruction after a blank line."""
    return [
        {"role": turn.role, "content": f"{turn.content}\n\n{turn.input}" if turn.input else turn.content}
        for turn in turns
    ]


def loaded(text: str) -> Conversation:
    """Return the conversation that `Conversation.dumped` wrote."""
    return Conversation(tuple(Turn(**turn) for turn in json.loads(text)))
