"""MedQA and MedMCQA rows as conversations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.config.sources import Columns
from core.data.formats import Conversation, Turn, detect, recognised
from core.data.rows import Row

Reader = Callable[..., Any]
MEDQA: dict[str, Any] = {
    "question": "Which nerve?", "answer": "Ulnar", "answer_idx": "B", "meta_info": "step1",
    "options": {"A": "Radial", "B": "Ulnar", "C": "Median"},
}  # fmt: skip
MEDMCQA: dict[str, Any] = {
    "id": "1", "question": "Which vitamin?", "opa": "A", "opb": "B12", "opc": "C", "opd": "K", "cop": 2,
    "choice_type": "single", "exp": " Scurvy is a lack of it. ", "subject_name": "Medicine", "topic_name": None,
}  # fmt: skip


def said(question: str, options: str, answer: str) -> Conversation:
    return Conversation((Turn("user", question, options), Turn("assistant", answer)))


def test_medqa_is_recognised_and_read(read: Reader) -> None:
    assert detect([Row(MEDQA, "r")], Columns(), "s") == "multiple_choice"
    wanted = said("Which nerve?", "A. Radial\nB. Ulnar\nC. Median", "B. Ulnar")
    as_list = [{"key": key, "value": text} for key, text in MEDQA["options"].items()]
    found = read(
        "multiple_choice", MEDQA, {**MEDQA, "options": as_list}, {**MEDQA, "options": ["Radial", "Ulnar", "Median"]}
    )
    assert found.items == [wanted] * 3
    assert not found.tally.bad


def test_medmcqa_is_recognised_and_counts_from_zero(read: Reader) -> None:
    assert detect([Row(MEDMCQA, "r")], Columns(), "s") == "multiple_choice"
    options = "A. A\nB. B12\nC. C\nD. K"
    first = said("Which vitamin?", options, "C. C\n\nScurvy is a lack of it.")
    found = read("multiple_choice", MEDMCQA, {**MEDMCQA, "cop": 0, "exp": None}, {**MEDMCQA, "cop": "3", "exp": ""})
    assert found.items == [first, said("Which vitamin?", options, "A. A"), said("Which vitamin?", options, "D. K")]
    assert not found.tally.repaired


def test_the_first_release_counts_from_one(read: Reader) -> None:
    found = read("multiple_choice", MEDMCQA, {**MEDMCQA, "cop": 4, "exp": None}, {**MEDMCQA, "cop": 1, "exp": None})
    assert [item.turns[-1].content[:6] for item in found.items] == ["B. B12", "D. K", "A. A"]
    assert found.tally.repaired == {"options_counted_from_one": 3}


def test_a_row_that_counts_otherwise_is_a_bad_one(read: Reader) -> None:
    found = read("multiple_choice", {**MEDMCQA, "cop": 0}, {**MEDMCQA, "cop": 4}, MEDMCQA)
    assert (len(found.items), found.tally.bad) == (2, {"format": 1})
    assert "expected as the right option one of A, B, C, D or a number from 0 to 3, found 4" in found.tally.errors[0]


def test_a_withheld_answer_gives_nothing(read: Reader) -> None:
    found = read("multiple_choice", {**MEDMCQA, "cop": -1}, {**MEDQA, "answer_idx": None, "answer": ""})
    assert (found.items, found.tally.bad) == ([], {})
    assert found.tally.repaired == {"unanswered_left_out": 2}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (
            {**MEDQA, "answer_idx": "E"},
            "expected as the right option one of A, B, C or a number from 0 to 2, found 'E'",
        ),
        ({**MEDQA, "answer": "Radial"}, "expected the answer of option B, 'Ulnar', found 'Radial'"),
        ({**MEDQA, "options": {"A": "x"}}, "expected two options at least"),
        ({**MEDQA, "options": {"A": "x", "B": 3}}, "expected text in option B, found 3"),
        ({**MEDQA, "options": "A"}, "expected an object or a list in 'options'"),
        ({**MEDQA, "question": " "}, "expected text in 'question', found nothing"),
        ({**MEDMCQA, "opc": None}, "expected as the right option one of A, B, D"),
        ({**MEDMCQA, "exp": 5}, "expected text in 'exp', found 5"),
    ],
)
def test_what_a_row_lacks_is_named(row: dict[str, Any], words: str, read: Reader) -> None:
    found = read("multiple_choice", row)
    assert found.items == []
    assert words in found.tally.errors[0]


@pytest.mark.parametrize("key", ["answer_idx", "options", "question"])
def test_a_row_that_lacks_a_part_is_no_multiple_choice(key: str) -> None:
    row = {name: value for name, value in MEDQA.items() if name != key}
    assert recognised([Row(row, "r")], Columns()) != "multiple_choice"


def test_pubmedqa_gives_the_long_answer_and_the_decision(read: Reader) -> None:
    row = {"QUESTION": "Does it work?", "CONTEXTS": ["We tried it.", "It did."], "LONG_ANSWER": "It may work.",
           "final_decision": "maybe", "LABELS": ["METHODS", "RESULTS"]}  # fmt: skip
    hub = {"question": "Does it work?", "context": {"contexts": ["We tried it.", "It did."], "labels": []},
           "long_answer": "It may work.", "final_decision": "maybe"}  # fmt: skip
    assert detect([Row(row, "r")], Columns(), "s") == "question_answer"
    found = read("question_answer", row, hub)
    assert found.items == [said("Does it work?", "We tried it.\nIt did.", "It may work.\n\nAnswer: maybe")] * 2
    only = read("question_answer", hub, columns=Columns(response="final_decision"))
    assert only.items == [said("Does it work?", "We tried it.\nIt did.", "maybe")]
