"""OpenAssistant's message trees (Koepf et al. 2023) as conversations from the root to each leaf.

Rules: messages that are deleted, that reviewers rejected or have not seen (`review_result` is there and not true),
or that are empty, are left out with all that follows them; questions that nobody answered are left out. Answers come
best-ranked first, unranked ones after them in their order. An answer that stands in several conversations is
supervised in the first of them only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from core.data.formats.conversation import Conversation, Turn
from core.data.formats.messages import finished
from core.data.rows import Row
from core.data.sources.reading import check_text
from core.data.tally import RowError, Tally, show

PARENTS = ("parent_id", "parent_message_id")
IDS = ("message_id", "user_message_id", "task_message_id")
_SIDES = {"prompter": "user", "user": "user", "human": "user", "assistant": "assistant"}


@dataclass(eq=False)
class _Message:
    role: str
    text: str
    rank: float
    usable: bool
    place: str
    replies: list[_Message] = field(default_factory=list)


def from_tree(values: dict[str, Any], repairs: set[str]) -> list[Conversation]:
    """Return the conversations of one tree with nested replies; what was left out is added to `repairs`.

    Raises: RowError where a message lacks something.
    """
    root = values["prompt"] if isinstance(values.get("prompt"), dict) else values
    return [conversation for _, conversation in _conversations(_nested(root), repairs)]


def from_flat(stream: Iterable[Row], tally: Tally) -> Iterator[tuple[str, Conversation]]:
    """Yield the conversations of messages that name their parents, each with the place of its last message.

    Rows of one `message_tree_id` are to stand together; without such a key all rows are held until the last.
    """
    for rows in _together(stream):
        yield from _flat_group(rows, tally)


def _flat_group(rows: list[Row], tally: Tally) -> Iterator[tuple[str, Conversation]]:
    messages: dict[str, _Message] = {}
    parents: dict[str, str | None] = {}
    for row in rows:
        try:
            name = next((row.values[key] for key in IDS if row.values.get(key) is not None), None)
            if not isinstance(name, str | int):
                raise RowError("format", f"expected the message's id under {' or '.join(IDS)}, found {show(name)}")
            if str(name) in messages:
                raise RowError("duplicate_id", f"expected each message once, found the id {show(name)} again")
            messages[str(name)] = _message(row.values, row.place)
            parent = next((row.values[key] for key in PARENTS if row.values.get(key) is not None), None)
            parents[str(name)] = None if parent is None else str(parent)
        except RowError as error:
            tally.refuse(row.place, error)
    for name, parent in parents.items():
        if parent in messages:
            messages[parent].replies.append(messages[name])
    roots = [messages[name] for name, parent in parents.items() if parent is None]
    reached = {id(message) for root in roots for message in _walk(root)}
    for name, parent in parents.items():
        if id(messages[name]) not in reached:
            found = show(parent)
            words = f"expected the messages before this one, from the root on, beside it, found no way up by {found}"
            tally.refuse(messages[name].place, RowError("orphan", words))
    for root in roots:
        repairs: set[str] = set()
        yield from _conversations(root, repairs)
        tally.repaired.update(repairs)


def _together(stream: Iterable[Row]) -> Iterator[list[Row]]:
    rows: list[Row] = []
    for row in stream:
        if rows and row.values.get("message_tree_id") != rows[-1].values.get("message_tree_id"):
            yield rows
            rows = []
        rows.append(row)
    if rows:
        yield rows


def _nested(root: dict[str, Any]) -> _Message:
    first = _message(root, "")
    waiting = [(root, first)]
    while waiting:
        values, message = waiting.pop()
        for reply in values.get("replies") or []:
            if not isinstance(reply, dict):
                raise RowError("format", f"expected a message in 'replies', found {show(reply)}")
            message.replies.append(_message(reply, ""))
            waiting.append((reply, message.replies[-1]))
    return first


def _message(values: dict[str, Any], place: str) -> _Message:
    text, role, rank = values.get("text"), values.get("role"), values.get("rank")
    if not isinstance(text, str) or not isinstance(role, str):
        raise RowError("format", f"expected a message with text and role, found {show(values)}")
    if role not in _SIDES:
        raise RowError("role", f"expected role prompter or assistant, found {show(role)}")
    check_text(text)
    unreviewed = "review_result" in values and values["review_result"] is not True
    usable = bool(text.strip()) and not values.get("deleted") and not unreviewed
    return _Message(_SIDES[role], text, rank if isinstance(rank, int | float) else float("inf"), usable, place)


def _walk(root: _Message) -> list[_Message]:
    """Return a tree's messages, each before its replies."""
    order = [root]
    for message in order:
        order.extend(message.replies)
    return order


def _conversations(root: _Message, repairs: set[str]) -> Iterator[tuple[str, Conversation]]:
    answered: set[int] = set()
    for message in reversed(_walk(root)):
        if not message.usable:
            repairs.add("deleted_or_unreviewed_left_out")
        elif message.role == "assistant" or any(id(reply) in answered for reply in message.replies):
            answered.add(id(message))
        else:
            repairs.add("unanswered_left_out")
    seen: set[int] = set()
    waiting: list[tuple[_Message, ...]] = [(root,)] if id(root) in answered else []
    while waiting:
        path = waiting.pop()
        replies = sorted((reply for reply in path[-1].replies if id(reply) in answered), key=lambda one: one.rank)
        waiting += [(*path, reply) for reply in reversed(replies)]
        if not replies:
            turns = [
                Turn("user", one.text) if one.role == "user"
                else Turn("assistant", one.text, supervised=id(one) not in seen)
                for one in path
            ]  # fmt: skip
            seen.update(map(id, path))
            try:
                yield path[-1].place, finished(turns, repairs)
            except RowError:  # a tree whose root is an answer, and nothing asks for more
                repairs.add("opening_answer_left_out")
