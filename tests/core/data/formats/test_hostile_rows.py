"""Rows of any JSON under the keys that formats know: bad ones are counted, none ends in a traceback."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from core.config.data import RowFormat
from core.config.sources import Columns
from core.data.formats import Canonical, Conversation, Judged, Preference, Prompt, canonical, loaded, recognised
from core.data.rows import Row
from core.data.tally import Tally

KEYS = [
    "instruction", "input", "output", "response", "history", "system", "instances", "context", "prompt", "completion",
    "question", "answer", "answers", "messages", "conversations", "tools", "label", "chosen", "rejected", "turns",
    "message_id", "parent_id", "text", "role", "replies", "rank", "deleted", "review_result", "message_tree_id",
    "from", "value", "content", "type", "weight", "tool_calls", "function", "name", "arguments",
    "opa", "opb", "opc", "cop", "options", "answer_idx", "exp", "key", "LONG_ANSWER", "final_decision",
]  # fmt: skip
TEXTS = ["", " ", "a", "b\n", "user", "assistant", "system", "tool", "prompter", "function_call", "\0", "\ud800",
         "\n\nHuman: a\n\nAssistant: b", "\n\nHuman: a\n\nAssistant:", "{", "text"]  # fmt: skip
leaves = st.one_of(
    st.sampled_from(TEXTS), st.none(), st.booleans(), st.integers(-2, 2), st.floats(allow_nan=True), st.just(10**400)
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.sampled_from(KEYS), inner, max_size=4)),
    max_leaves=12,
)
rows = st.lists(st.dictionaries(st.sampled_from(KEYS), values, max_size=6), max_size=4)


@settings(max_examples=100, deadline=None)
@given(found=rows)
def test_bad_rows_are_counted(found: list[dict[str, Any]]) -> None:
    stream = [Row(one, f"f:{number}") for number, one in enumerate(found)]
    recognised(stream, Columns())
    shapes: tuple[RowFormat, ...] = get_args(RowFormat)
    for shape in shapes:
        tally = Tally("s", 1.0, rows=len(found))
        for _, item in canonical(stream, shape, Columns(), tally):
            _check(item)
        assert tally.bad.total() <= len(found)


def _check(item: Canonical) -> None:
    match item:
        case Conversation(turns):
            spoken = turns[1:] if turns[0].role == "system" else turns
            assert [turn.role for turn in spoken] == ["user", "assistant"] * (len(spoken) // 2)
            assert all(turn.content.strip() for turn in turns)
            assert loaded(item.dumped()) == item
            item.dumped().encode()
        case Preference(prompt, chosen, rejected):
            assert prompt[-1].role == "user"
            assert chosen != rejected
            assert {side[end].role for side in (chosen, rejected) for end in (0, -1)} == {"assistant"}
        case Judged(conversation, label):
            assert isinstance(label, bool)
            _check(conversation)
        case Prompt(turns):
            assert turns[-1].role == "user"
