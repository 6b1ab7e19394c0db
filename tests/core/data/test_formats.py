from __future__ import annotations

from typing import Any

import pytest

from core.data.formats import Conversation, Turn, conversation, detect, loaded
from core.data.sources import Row
from core.data.tally import RowError, Tally
from core.errors import DataError


def turns(values: dict[str, Any], tally: Tally | None = None) -> list[tuple[str, str]]:
    """A row of messages as (role, content)."""
    found = conversation(Row(values, "rows:1"), "messages", tally or Tally("s", 1.0))
    return [(turn.role, turn.content) for turn in found.turns]


def said(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in pairs]}


def alpaca(**values: Any) -> Conversation:
    return conversation(Row(values, "rows:1"), "alpaca", Tally("s", 1.0))


def test_alpaca_with_and_without_input() -> None:
    expected = (Turn("user", "Add.", "1 2"), Turn("assistant", "3"))
    assert alpaca(instruction="Add.", input="1 2", output="3").turns == expected
    for blank in ("", "  \n", None):
        assert alpaca(instruction="Add.", input=blank, output="3").turns == (Turn("user", "Add."), expected[1])
    assert alpaca(instruction="Add.", output="3").turns[0].input == ""
    assert alpaca(instruction="Add.", input="1 2", output="3").messages()[0]["content"] == "Add.\n\n1 2"


def test_response_stands_for_output_only_where_it_can_mean_nothing_else() -> None:
    assert alpaca(instruction="a", input="", response="b").turns[1].content == "b"
    with pytest.raises(RowError, match="expected the key 'output'"):
        alpaca(instruction="a", context="c", response="b")


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({"instruction": "a"}, "format", "expected the key 'output', found 'instruction'"),
        ({"output": "a"}, "format", "expected the key 'instruction'"),
        ({"instruction": "a", "output": ["b"]}, "format", "expected text in 'output'"),
        ({"instruction": "a", "output": "b", "input": 3}, "format", "expected text in 'input', found 3"),
        ({"instruction": "a", "output": " "}, "empty_turn", "expected text in 'output', found nothing"),
        ({"instruction": "", "output": "b"}, "empty_turn", "expected text in 'instruction'"),
        ({"instruction": "a", "output": "b\0"}, "encoding", "NUL"),
        ({"instruction": "a", "output": "b", "history": [["q", "a"]]}, "format", "found a history"),
    ],
)
def test_an_alpaca_row_that_cannot_be_used_says_why(values: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(RowError, match=words) as error:
        alpaca(**values)
    assert error.value.code == code


def test_messages_keep_their_turns() -> None:
    pairs = [("system", "Be brief."), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    tally = Tally("s", 1.0)
    assert turns(said(*pairs), tally) == pairs
    assert not tally.repaired
    assert turns(said(("system", " "), *pairs[1:])) == pairs[1:]


@pytest.mark.parametrize(
    ("pairs", "expected", "repair"),
    [
        (
            [("assistant", "Hi!"), ("user", "a"), ("assistant", "b")],
            [("user", "a"), ("assistant", "b")],
            "opening_answer_left_out",
        ),
        (
            [("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d")],
            [("user", "a\n\nb"), ("assistant", "c\n\nd")],
            "same_role_joined",
        ),
        (
            [("user", "a"), ("assistant", "b"), ("user", "c")],
            [("user", "a"), ("assistant", "b")],
            "last_question_left_out",
        ),
    ],
)
def test_stated_rules_repair_and_are_counted(
    pairs: list[tuple[str, str]], expected: list[tuple[str, str]], repair: str
) -> None:
    tally = Tally("s", 1.0)
    assert turns(said(*pairs), tally) == expected
    assert dict(tally.repaired) == {repair: 1}


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({"conversations": []}, "format", "expected a list in 'messages', found 'conversations'"),
        ({"messages": "hi"}, "format", "expected a list in 'messages', found 'hi'"),
        ({"messages": []}, "no_response", "expected an assistant turn"),
        (said(("user", "a")), "no_response", "expected an assistant turn after a user turn"),
        (said(("assistant", "a")), "no_response", "expected an assistant turn after a user turn"),
        (said(("user", "a"), ("assistant", "")), "empty_turn", r"messages\[1\].content \(assistant\), found nothing"),
        (said(("user", " "), ("assistant", "b")), "empty_turn", r"messages\[0\].content \(user\)"),
        (
            said(("human", "a"), ("assistant", "b")),
            "role",
            r"role system, user or assistant at messages\[0\], found 'hum",
        ),
        (said(("user", "a"), ("system", "b")), "role", "system turn only at the start"),
        ({"messages": [{"content": "a"}]}, "format", r"expected messages\[0\] to have role and content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "format", r"text in messages\[0\].content"),
        ({"messages": ["a"]}, "format", r"expected messages\[0\] to have role"),
    ],
)
def test_a_row_of_messages_that_cannot_be_used_says_why(values: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(RowError, match=words) as error:
        turns(values)
    assert error.value.code == code


def test_the_format_is_seen_in_the_first_rows() -> None:
    messages, instruction = Row(said(("user", "a")), "1"), Row({"instruction": "a", "output": "b"}, "2")
    assert detect([messages] * 3, "s") == "messages"
    assert detect([instruction] * 3, "s") == "alpaca"
    assert detect([instruction, instruction, Row({}, "3")], "s") == "alpaca"
    with pytest.raises(DataError, match=r"found in the first 2 rows: 'answer', 'question'"):
        detect([Row({"question": "a", "answer": "b"}, "1")] * 2, "data.sources[0]")
    with pytest.raises(DataError, match=r"found in the first 2 rows"):
        detect([messages, instruction], "data.sources[0]")


def test_a_conversation_survives_the_spool() -> None:
    original = Conversation((Turn("system", "ü\n"), Turn("user", '"', "in"), Turn("assistant", "\u2028")))
    assert loaded(original.dumped()) == original
