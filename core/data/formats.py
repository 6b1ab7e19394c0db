"""Rows of a known format as conversations, the one form that templates read.

Rules that hold for every format: an empty system text is none; an empty turn makes the row a bad one. For messages:
turns of one role in a row become one, joined by a blank line; assistant turns before the first user turn and user
turns after the last assistant turn are left out, for nothing asks for the first and nothing answers the last. Rows
that these rules change are counted as repaired.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, assert_never

from core.data.rows import Row
from core.data.sources import check_text
from core.data.tally import RowError, Tally, show
from core.errors import DataError

Role = Literal["system", "user", "assistant"]
Format = Literal["alpaca", "messages"]


@dataclass(frozen=True)
class Turn:
    """What one side says. `input` is what an Alpaca instruction works on; "" where there is none."""

    role: Role
    content: str
    input: str = ""


@dataclass(frozen=True)
class Conversation:
    """Turns that alternate between user and assistant and end with the assistant; at most one system turn, first."""

    turns: tuple[Turn, ...]

    def messages(self) -> list[dict[str, str]]:
        """Return the turns as a chat template reads them; an input follows its instruction after a blank line."""
        return [
            {"role": turn.role, "content": f"{turn.content}\n\n{turn.input}" if turn.input else turn.content}
            for turn in self.turns
        ]

    def dumped(self) -> str:
        """Return the conversation as text from which `loaded` makes it again."""
        return json.dumps([asdict(turn) for turn in self.turns], ensure_ascii=False)


def loaded(text: str) -> Conversation:
    """Return the conversation that `Conversation.dumped` wrote."""
    return Conversation(tuple(Turn(**turn) for turn in json.loads(text)))


def detect(rows: Sequence[Row], source: str) -> Format:
    """Return the format that most of the first rows of a source have.

    Raises: DataError where it is none of those that are known.
    """
    fits: dict[Format, int] = {
        "messages": sum(_is_messages(row.values) for row in rows),
        "alpaca": sum(_is_alpaca(row.values) for row in rows),
    }
    for name, count in fits.items():
        if 2 * count > len(rows):
            return name
    keys = sorted({key for row in rows for key in row.values})
    raise DataError(
        f"{source}: expected rows with the keys instruction and output (alpaca) or messages, "
        f"found in the first {len(rows)} rows: {', '.join(map(show, keys)) or 'no keys'}",
        hint="Rename the keys, or set data.format to see row by row what is missing.",
    )


def conversation(row: Row, shape: Format, tally: Tally) -> Conversation:
    """Return a row as a conversation.

    Raises: RowError where the row lacks something, with what was expected.
    """
    match shape:
        case "alpaca":
            return _from_alpaca(row.values)
        case "messages":
            return _from_messages(row.values, tally)
        case _:
            assert_never(shape)


def _is_messages(values: dict[str, Any]) -> bool:
    return isinstance(values.get("messages"), list)


def _is_alpaca(values: dict[str, Any]) -> bool:
    return "instruction" in values and _answer_key(values) in values


def _answer_key(values: dict[str, Any]) -> str:
    # Some Alpaca files say `response`. With `context` beside it the row is Dolly's, where the input has another name.
    return "response" if "output" not in values and "response" in values and "context" not in values else "output"


def _from_alpaca(values: dict[str, Any]) -> Conversation:
    for key in ("history", "system"):
        if values.get(key):
            raise RowError("format", f"expected instruction, input and output only, found a {key}")
    instruction = _text(values, "instruction")
    given = values.get("input")
    if given is not None and not isinstance(given, str):
        raise RowError("format", f"expected text in 'input', found {show(given)}")
    check_text(given or "")
    output = _text(values, _answer_key(values))
    # A blank input is no input: the second Alpaca template.
    user = Turn("user", instruction, given if given and given.strip() else "")
    return Conversation((user, Turn("assistant", output)))


def _text(values: dict[str, Any], key: str) -> str:
    if key not in values:
        raise RowError("format", f"expected the key {key!r}, found {', '.join(map(repr, values)) or 'no keys'}")
    text = values[key]
    if not isinstance(text, str):
        raise RowError("format", f"expected text in {key!r}, found {show(text)}")
    if not text.strip():
        raise RowError("empty_turn", f"expected text in {key!r}, found nothing")
    check_text(text)
    return text


def _from_messages(values: dict[str, Any], tally: Tally) -> Conversation:
    messages = values.get("messages")
    if not isinstance(messages, list):
        found = show(messages) if "messages" in values else ", ".join(map(repr, values)) or "no keys"
        raise RowError("format", f"expected a list in 'messages', found {found}")
    turns = [turn for number, message in enumerate(messages) if (turn := _turn(message, number)) is not None]
    system = [turn for turn in turns[:1] if turn.role == "system"]
    spoken, repairs = _alternating(turns[len(system) :])
    if not spoken:
        raise RowError("no_response", "expected an assistant turn after a user turn, found none")
    tally.repaired.update(repairs)
    return Conversation((*system, *spoken))


def _turn(message: object, number: int) -> Turn | None:
    where = f"messages[{number}]"
    if not isinstance(message, dict) or "role" not in message or "content" not in message:
        raise RowError("format", f"expected {where} to have role and content, found {show(message)}")
    role, content = message["role"], message["content"]
    if not isinstance(content, str):
        raise RowError("format", f"expected text in {where}.content, found {show(content)}")
    if content.strip():
        check_text(content)
    if role == "system":
        if number:
            raise RowError("role", f"expected a system turn only at the start, found one at {where}")
        return Turn("system", content) if content.strip() else None
    if role not in ("user", "assistant"):
        raise RowError("role", f"expected role system, user or assistant at {where}, found {show(role)}")
    if not content.strip():
        raise RowError("empty_turn", f"expected text in {where}.content ({role}), found nothing")
    return Turn("user" if role == "user" else "assistant", content)


def _alternating(turns: list[Turn]) -> tuple[list[Turn], set[str]]:
    repairs: set[str] = set()
    spoken: list[Turn] = []
    for turn in turns:
        if not spoken and turn.role == "assistant":
            repairs.add("opening_answer_left_out")
        elif spoken and spoken[-1].role == turn.role:
            repairs.add("same_role_joined")
            spoken[-1] = Turn(turn.role, f"{spoken[-1].content}\n\n{turn.content}")
        else:
            spoken.append(turn)
    if spoken and spoken[-1].role == "user":
        repairs.add("last_question_left_out")
        spoken.pop()
    return spoken, repairs
