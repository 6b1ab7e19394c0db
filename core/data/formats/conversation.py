"""The canonical forms behind all formats: conversations, preferences, judged answers, prompts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, assert_never

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
        # The held-out split of older preparations hangs on this text.
        return json.dumps(_values(self.turns), ensure_ascii=False)


@dataclass(frozen=True)
class Preference:
    """What was asked, and two ways to go on, the better one first; each begins and ends with an assistant's turn."""

    prompt: tuple[Turn, ...]
    chosen: tuple[Turn, ...]
    rejected: tuple[Turn, ...]

    def dumped(self) -> str:
        """Return the pair as text from which `loaded` makes it again."""
        sides = {"prompt": self.prompt, "chosen": self.chosen, "rejected": self.rejected}
        return json.dumps({name: _values(turns) for name, turns in sides.items()}, ensure_ascii=False)


@dataclass(frozen=True)
class Judged:
    """A conversation with a judgement of its last answer: good (true) or bad."""

    conversation: Conversation
    label: bool

    def dumped(self) -> str:
        """Return the row as text from which `loaded` makes it again."""
        return json.dumps({"label": self.label, "turns": _values(self.conversation.turns)}, ensure_ascii=False)


@dataclass(frozen=True)
class Prompt:
    """What is asked: at most one system turn, then turns that end with the user's.

    `answer` is what a reward may compare a response with; None where the row has none.
    """

    turns: tuple[Turn, ...]
    answer: str | None = None

    def dumped(self) -> str:
        """Return the prompt as text from which `loaded` makes it again."""
        return json.dumps({"prompt": _values(self.turns), "answer": self.answer}, ensure_ascii=False)


Canonical = Conversation | Preference | Judged | Prompt


def messages_of(turns: tuple[Turn, ...]) -> list[dict[str, str]]:
    """Return turns as a chat template reads them; an input follows its instruction after a blank line."""
    return [
        {"role": turn.role, "content": f"{turn.content}\n\n{turn.input}" if turn.input else turn.content}
        for turn in turns
    ]


def turns_of_all(item: Canonical) -> tuple[Turn, ...]:
    """Return every turn of a row: of a pair the prompt, then the better side, then the worse one.

    The answer that a prompt comes with is a turn too.
    """
    match item:
        case Conversation():
            return item.turns
        case Preference():
            return (*item.prompt, *item.chosen, *item.rejected)
        case Judged():
            return item.conversation.turns
        case Prompt():
            return (*item.turns, *([] if item.answer is None else [Turn("assistant", item.answer)]))
        case _:
            assert_never(item)


def with_each_turn(item: Canonical, change: Callable[[Turn], Turn]) -> Canonical:
    """Return a row of which every turn of `turns_of_all` was changed."""

    def changed(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
        return tuple(map(change, turns))

    match item:
        case Conversation():
            return Conversation(changed(item.turns))
        case Preference():
            return Preference(changed(item.prompt), changed(item.chosen), changed(item.rejected))
        case Judged():
            return Judged(Conversation(changed(item.conversation.turns)), item.label)
        case Prompt():
            answer = None if item.answer is None else change(Turn("assistant", item.answer)).content
            return Prompt(changed(item.turns), answer)
        case _:
            assert_never(item)


def unsupervised(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    """Return the turns of a prompt: no answer in it is one that the loss counts."""
    return tuple(Turn(turn.role, turn.content, turn.input, supervised=turn.role != "assistant") for turn in turns)


def loaded(text: str) -> Canonical:
    """Return the row that its `dumped` wrote."""
    match json.loads(text):
        case list(turns):
            return Conversation(_turns(turns))
        case {"prompt": prompt, "chosen": chosen, "rejected": rejected}:
            return Preference(_turns(prompt), _turns(chosen), _turns(rejected))
        case {"label": label, "turns": turns}:
            return Judged(Conversation(_turns(turns)), label)
        case {"prompt": prompt, "answer": answer}:
            return Prompt(_turns(prompt), answer)
        case other:
            raise ValueError(f"expected a row as `dumped` writes it, found {str(other)[:60]}")


def _values(turns: tuple[Turn, ...]) -> list[dict[str, Any]]:
    # dataclasses.asdict takes four times as long. What is usual is left out.
    return [
        {"role": turn.role, "content": turn.content, "input": turn.input}
        | ({} if turn.supervised else {"supervised": False})
        for turn in turns
    ]


def _turns(values: list[dict[str, Any]]) -> tuple[Turn, ...]:
    return tuple(Turn(**turn) for turn in values)
