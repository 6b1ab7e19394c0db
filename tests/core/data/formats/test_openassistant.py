from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from core.data.formats import Conversation

Reader = Callable[..., Any]


def message(text: str, *replies: dict[str, Any], role: str = "", **more: Any) -> dict[str, Any]:
    """A message; texts that begin with q are the prompter's."""
    return {
        "text": text,
        "role": role or ("prompter" if text[:1] == "q" else "assistant"),
        "replies": [*replies],
        **more,
    }


def tree(root: dict[str, Any]) -> dict[str, Any]:
    return {"message_tree_id": "t", "tree_state": "ready_for_export", "prompt": root}


def flat(root: dict[str, Any], parent: str | None = None, tree_id: str | None = None) -> list[dict[str, Any]]:
    """The messages of a tree as rows that name their parents; the text is the id."""
    row = {key: value for key, value in root.items() if key != "replies"} | {
        "message_id": root["text"], "parent_id": parent
    }  # fmt: skip
    if tree_id:
        row["message_tree_id"] = tree_id
    return [row] + [found for reply in root["replies"] for found in flat(reply, root["text"], tree_id)]


def marked(item: Conversation) -> str:
    """A conversation as text, unsupervised answers in brackets."""
    return " ".join(turn.content if turn.supervised else f"({turn.content})" for turn in item.turns)


BRANCHING = message(
    "q1",
    message("a-worse", message("q2", message("a3", rank=0)), rank=1),
    message("a-best", message("q4", message("a5", rank=1), message("a6", rank=0)), message("q7"), rank=0),
    message("a-unranked", rank=None),
)
EXPECTED = ["q1 a-best q4 a6", "q1 (a-best) q4 a5", "q1 a-worse q2 a3", "q1 a-unranked"]


def test_from_the_root_to_each_leaf_best_first_and_each_answer_supervised_once(read: Reader) -> None:
    found = read("openassistant_tree", tree(BRANCHING))
    assert [marked(item) for item in found.items] == EXPECTED
    assert dict(found.tally.repaired) == {"unanswered_left_out": 1}
    # The nested form without the wrapping gives the same.
    assert read("openassistant_tree", BRANCHING).items == found.items


def test_flat_messages_give_the_same_as_the_tree_in_any_order(read: Reader) -> None:
    rows = flat(BRANCHING)
    assert [marked(item) for item in read("openassistant_messages", *rows).items] == EXPECTED
    backwards = read("openassistant_messages", *reversed(rows))
    assert sorted(marked(item).replace("(", "").replace(")", "") for item in backwards.items) == sorted(
        text.replace("(", "").replace(")", "") for text in EXPECTED
    )
    assert backwards.items[0] == read("openassistant_messages", *rows).items[0]


def test_every_answer_of_random_trees_is_supervised_exactly_once(read: Reader) -> None:
    generator = random.Random(5)

    def grown(depth: int, name: str) -> dict[str, Any]:
        side = "q" if depth % 2 == 0 else "a"
        width = generator.randint(0, 3) if depth < 6 else 0
        replies = [grown(depth + 1, f"{name}{number}") for number in range(width)]
        return message(side + name, *replies, rank=generator.choice([None, 0, 1, 2]), deleted=generator.random() < 0.1)

    for _ in range(50):
        root = grown(0, "0")
        usable: list[str] = []
        waiting = [root]
        while waiting:
            one = waiting.pop()
            if not one["deleted"]:
                usable += [one["text"]] if one["role"] == "assistant" else []
                waiting += one["replies"]
        for found in (read("openassistant_tree", tree(root)), read("openassistant_messages", *flat(root))):
            counted = [t.content for item in found.items for t in item.turns if t.role == "assistant" and t.supervised]
            assert sorted(counted) == sorted(usable)
            assert all(item.turns[-1].supervised for item in found.items)


def test_deleted_unreviewed_and_empty_messages_are_left_out_with_what_follows(read: Reader) -> None:
    root = message(
        "q1",
        message("a-deleted", message("q2", message("a2")), deleted=True, rank=0),
        message("a-refused", review_result=False),
        message("a-unseen", review_result=None),
        message(" ", role="assistant"),
        message("a-kept", review_result=True, deleted=False),
        review_result=True,
    )
    found = read("openassistant_tree", tree(root))
    assert [marked(item) for item in found.items] == ["q1 a-kept"]
    assert found.tally.repaired["deleted_or_unreviewed_left_out"] == 1
    assert not read("openassistant_tree", tree({**root, "deleted": True})).items


def test_a_tree_without_answers_is_no_bad_row(read: Reader) -> None:
    found = read("openassistant_tree", tree(message("q1")), tree(message("a1", role="assistant")))
    assert not found.items
    assert not found.tally.bad
    assert found.tally.repaired["unanswered_left_out"] == 1
    assert found.tally.repaired["opening_answer_left_out"] == 1


def test_names_of_other_exports(read: Reader) -> None:
    rows = [
        {"task_message_id": "x", "user_message_id": "1", "parent_message_id": None, "text": "q", "role": "prompter"},
        {"task_message_id": "y", "user_message_id": "2", "parent_message_id": "1", "text": "a", "role": "assistant"},
    ]
    found = read("openassistant_messages", *rows)
    assert [marked(item) for item in found.items] == ["q a"]
    assert found.places == ["rows.jsonl:2"]


def test_trees_are_given_out_as_they_end(read: Reader) -> None:
    rows = flat(message("q1", message("a1")), tree_id="x") + flat(message("q2", message("a2")), tree_id="y")
    assert [marked(item) for item in read("openassistant_messages", *rows).items] == ["q1 a1", "q2 a2"]
    # One that comes back after another is seen to be torn apart.
    torn = read("openassistant_messages", rows[0], *rows[2:], rows[1])
    assert torn.tally.bad == {"orphan": 1}
    assert "rows.jsonl:4: expected the messages before this one" in torn.tally.errors[0]


def test_flat_messages_that_cannot_be_used_say_why(read: Reader) -> None:
    good = flat(message("q1", message("a1")))
    bad: list[tuple[dict[str, Any], str]] = [
        ({**good[1], "message_id": "z", "parent_id": "nobody"}, "orphan"),
        ({**good[1], "message_id": "loop", "parent_id": "loop"}, "orphan"),
        (good[1], "duplicate_id"),
        ({**good[1], "message_id": None}, "format"),
        ({**good[1], "message_id": "z", "text": None}, "format"),
        ({**good[1], "message_id": "z", "role": "narrator"}, "role"),
        ({**good[1], "message_id": "z", "text": "\0"}, "encoding"),
    ]
    for row, code in bad:
        found = read("openassistant_messages", *good, row)
        assert found.tally.bad == {code: 1}, row
        assert [marked(item) for item in found.items] == ["q1 a1"]


@pytest.mark.parametrize(
    ("root", "code"),
    [
        (message("q1", {"text": "a"}), "format"),
        ({**message("q1"), "replies": ["a"]}, "format"),
        (message("q1", message("a1", role="narrator")), "role"),
        (message("q1", message("a\0")), "encoding"),
    ],
)
def test_a_tree_that_cannot_be_used_says_why(read: Reader, root: dict[str, Any], code: str) -> None:
    found = read("openassistant_tree", tree(root))
    assert not found.items
    assert found.tally.bad == {code: 1}


def test_a_very_deep_tree_is_read(read: Reader) -> None:
    root = message("a2999")
    for number in reversed(range(2999)):
        root = message(f"{'qa'[number % 2]}{number}", root)
    assert len(read("openassistant_tree", tree(root)).items[0].turns) == 3000
