from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

Reader = Callable[..., Any]


def said(*pairs: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in pairs]}


def shared(*pairs: tuple[str, str], **more: Any) -> dict[str, Any]:
    return {"conversations": [{"from": role, "value": content} for role, content in pairs], **more}


def test_messages_keep_their_turns(read: Reader) -> None:
    pairs = [("system", "Be brief."), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")]
    found = read("messages", said(*pairs), said(("system", " "), *pairs[1:]))
    assert found.said == [pairs, pairs[1:]]
    assert not found.tally.repaired


@pytest.mark.parametrize(
    ("user", "assistant"),
    [("human", "gpt"), ("user", "assistant"), ("User", "Assistant"), ("human", "chatgpt"), ("user", "bing")],
)
def test_sides_of_sharegpt_have_many_names(read: Reader, user: str, assistant: str) -> None:
    found = read("sharegpt", shared(("system", "s"), (user, "a"), (assistant, "b")))
    assert found.said == [[("system", "s"), ("user", "a"), ("assistant", "b")]]
    keyed = read("sharegpt", shared((user, "a"), (assistant, "b"), system="s"))
    assert keyed.said == found.said


@pytest.mark.parametrize(
    ("pairs", "expected", "repairs"),
    [
        (
            [("assistant", "Hi!"), ("user", "a"), ("assistant", "b")],
            [("user", "a"), ("assistant", "b")],
            ["opening_answer_left_out"],
        ),
        (
            [("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", "d")],
            [("user", "a\n\nb"), ("assistant", "c\n\nd")],
            ["same_role_joined"],
        ),
        (
            [("user", "a"), ("assistant", "b"), ("user", "c"), ("user", "d")],
            [("user", "a"), ("assistant", "b")],
            ["last_question_left_out", "same_role_joined"],
        ),
        (
            [("system", "s"), ("assistant", "Hi!"), ("user", "a"), ("assistant", "b")],
            [("system", "s"), ("user", "a"), ("assistant", "b")],
            ["opening_answer_left_out"],
        ),
    ],
)
def test_stated_rules_repair_and_are_counted(
    read: Reader, pairs: list[tuple[str, str]], expected: list[tuple[str, str]], repairs: list[str]
) -> None:
    for found in (read("messages", said(*pairs)), read("sharegpt", shared(*pairs))):
        assert found.said == [expected]
        assert dict(found.tally.repaired) == dict.fromkeys(repairs, 1)


def test_content_may_be_parts(read: Reader) -> None:
    row = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "value": "a"}, {"type": "text", "text": " b"}]},
            {"role": "assistant", "content": [{"type": "text", "value": "c"}]},
        ]
    }
    assert read("messages", row).said == [[("user", "a b"), ("assistant", "c")]]


def test_a_weight_of_0_takes_an_answer_out_of_the_loss(read: Reader) -> None:
    for key in ("loss_weight", "weight"):
        row = said(("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d"))
        for message, weight in zip(row["messages"], (0.0, 0, 0.0, 1.0), strict=True):
            message[key] = weight
        assert [turn.supervised for turn in read("messages", row).items[0].turns] == [True, False, True, True]
        row["messages"][1][key] = 0.5
        assert read("messages", row).tally.bad == {"format": 1}


def test_a_joined_answer_counts_only_where_all_of_it_does(read: Reader) -> None:
    row = said(("user", "a"), ("assistant", "b"), ("assistant", "c"))
    row["messages"][1]["weight"] = 0
    assert [turn.supervised for turn in read("messages", row).items[0].turns] == [True, False]


def test_tools_are_written_out(read: Reader) -> None:
    call = '{"name": "add", "arguments": {"a": 1}}'
    row = shared(
        ("human", "1 + 1?"), ("function_call", call), ("observation", "2"), ("gpt", "It is 2."),
        tools='[{"name": "add"}]', system="Be brief.",
    )  # fmt: skip
    found = read("sharegpt", row)
    assert found.said == [
        [
            ("system", 'Be brief.\n\n<tools>\n[{"name": "add"}]\n</tools>'),
            ("user", "1 + 1?"),
            ("assistant", f"<tool_call>\n{call}\n</tool_call>"),
            ("user", "<tool_response>\n2\n</tool_response>"),
            ("assistant", "It is 2."),
        ]
    ]
    assert dict(found.tally.repaired) == {"tools_written_out": 1}
    assert read("sharegpt", shared(("human", "a"), ("gpt", "b"), tools="[]")).said == [
        [("user", "a"), ("assistant", "b")]
    ]


def test_tool_calls_of_messages_are_written_out(read: Reader) -> None:
    arguments = {"name": "add", "arguments": '{"a": 1}'}
    row = {
        "messages": [
            {"role": "user", "content": "1 + 1?"},
            {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": arguments}]},
            {"role": "tool", "content": "2"},
            {"role": "assistant", "content": "It is 2.", "tool_calls": []},
        ],
        "tools": [{"name": "add"}],
    }
    written = json.dumps({"name": "add", "arguments": {"a": 1}})
    assert read("messages", row).said[0][2:4] == [
        ("assistant", f"<tool_call>\n{written}\n</tool_call>"),
        ("user", "<tool_response>\n2\n</tool_response>"),
    ]


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({"conversations": []}, "format", "expected the key 'messages', found 'conversations'"),
        ({"messages": "hi"}, "format", "expected a list in 'messages', found 'hi'"),
        ({"messages": None}, "format", "expected a list in 'messages'"),
        ({"messages": []}, "no_response", "expected an assistant turn"),
        (said(("user", "a")), "no_response", "expected an assistant turn after a user turn"),
        (said(("assistant", "a")), "no_response", "expected an assistant turn after a user turn"),
        (said(("user", "a"), ("assistant", "")), "empty_turn", "expected text in messages[1] (assistant), found"),
        (said(("user", " "), ("assistant", "b")), "empty_turn", "expected text in messages[0] (user)"),
        (said(("narrator", "a"), ("assistant", "b")), "role", "at messages[0], found 'narrator'"),
        (said(("user", "a"), ("system", "b")), "role", "system turn only at the start"),
        (said(("user", "a\0"), ("assistant", "b")), "encoding", "NUL"),
        ({"messages": [{"content": "a"}]}, "format", "expected messages[0] to have role and content"),
        ({"messages": [{"role": "user"}]}, "format", "expected messages[0] to have role and content"),
        ({"messages": [{"role": "user", "content": 3}]}, "format", "expected text in messages[0].content, found 3"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "format", "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "value": "x"}]}]}, "format", "part of type text"),
        ({"messages": [{"role": ["user"], "content": "a"}]}, "role", "found ['user']"),
        ({"messages": ["a"]}, "format", "expected messages[0] to have role"),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": ["x"]}]},
            "format",
            "the name of a function at messages[0]",
        ),
    ],
)
def test_a_row_that_cannot_be_used_says_why(read: Reader, values: dict[str, Any], code: str, words: str) -> None:
    found = read("messages", values)
    assert not found.items
    assert dict(found.tally.bad) == {code: 1}
    assert words in found.tally.errors[0]
    assert not found.tally.repaired
