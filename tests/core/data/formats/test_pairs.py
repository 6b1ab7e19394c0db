from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from core.config.data import RowFormat
from core.config.sources import Columns
from core.data.formats import Conversation, Turn

Reader = Callable[..., Any]


def pair(question: str, answer: str, given: str = "") -> Conversation:
    return Conversation((Turn("user", question, given), Turn("assistant", answer)))


def test_alpaca_with_and_without_input(read: Reader) -> None:
    assert read("alpaca", {"instruction": "Add.", "input": "1 2", "output": "3"}).items == [pair("Add.", "3", "1 2")]
    for blank in ("", "  \n", None):
        found = read("alpaca", {"instruction": "Add.", "input": blank, "output": "3"})
        assert found.items == [pair("Add.", "3")]
    assert read("alpaca", {"instruction": "Add.", "output": "3"}).items == [pair("Add.", "3")]
    assert read("alpaca", {"instruction": "Add.", "response": "3"}).items == [pair("Add.", "3")]
    assert pair("Add.", "3", "1 2").messages()[0]["content"] == "Add.\n\n1 2"


def test_alpaca_history_and_system_come_first(read: Reader) -> None:
    row = {
        "instruction": "c", "input": "in", "output": "d", "system": "Be brief.", "history": [["a", "b"], ["a2", "b2"]],
    }  # fmt: skip
    assert read("alpaca", row).items[0].turns == (
        Turn("system", "Be brief."), Turn("user", "a"), Turn("assistant", "b"), Turn("user", "a2"),
        Turn("assistant", "b2"), Turn("user", "c", "in"), Turn("assistant", "d"),
    )  # fmt: skip
    assert read("alpaca", {**row, "history": [], "system": ""}).items == [pair("c", "d", "in")]


def test_the_instances_of_a_seed_task_are_conversations(read: Reader) -> None:
    row = {"instruction": "Add.", "instances": [{"input": "1 2", "output": "3"}, {"input": "", "output": "0"}]}
    found = read("alpaca", row)
    assert found.items == [pair("Add.", "3", "1 2"), pair("Add.", "0")]
    assert found.places == ["rows.jsonl:1"] * 2


def test_the_context_of_dolly_is_an_input_that_may_be_missing(read: Reader) -> None:
    row = {"instruction": "When?", "context": "It was 1900.", "response": "1900", "category": "closed_qa"}
    without = {"instruction": "When?", "response": "1900"}
    found = read("dolly", row, {**row, "context": ""}, without)
    assert found.items == [pair("When?", "1900", "It was 1900."), pair("When?", "1900"), pair("When?", "1900")]


def test_a_prompt_and_its_completion_stay_as_they_are(read: Reader) -> None:
    rows = [{"prompt": "a\n", "completion": " b\n"}, {"prompt": "a", "response": "b"}]
    rows += [{"prompt": "def f():\n", "canonical_solution": "    pass\n"}]
    found = read("prompt_completion", *rows)
    assert found.items == [pair("a\n", " b\n"), pair("a", "b"), pair("def f():\n", "    pass\n")]
    assert not found.tally.repaired


def test_a_prompt_that_is_an_alpaca_text_is_taken_apart(read: Reader) -> None:
    head = "Below is an instruction that describes a task. Write a response that completes it.\n\n"
    rows = [
        {"prompt": f"{head}### Instruction:\nAdd\nthem.\n\n### Input:\n1 2\n\n### Response:\n", "response": "3"},
        {"prompt": "### Instruction:\nAdd.\n\n### Response:", "response": "3"},
        {"prompt": "What does ### Response: mean?", "response": "3"},
    ]
    found = read("prompt_completion", *rows)
    assert found.items == [pair("Add\nthem.", "3", "1 2"), pair("Add.", "3"), pair(rows[2]["prompt"], "3")]
    assert dict(found.tally.repaired) == {"alpaca_text_taken_apart": 2}


def test_a_prompt_that_is_a_transcript_becomes_turns_that_are_not_supervised(read: Reader) -> None:
    row = {"prompt": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant:", "response": "d"}
    expected = (Turn("user", "a"), Turn("assistant", "b", supervised=False), Turn("user", "c"), Turn("assistant", "d"))
    assert read("prompt_completion", row).items[0].turns == expected


def test_a_prompt_and_a_completion_of_messages(read: Reader) -> None:
    row = {
        "prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                   {"role": "user", "content": "c"}],
        "completion": [{"role": "assistant", "content": "d"}],
    }  # fmt: skip
    expected = (Turn("user", "a"), Turn("assistant", "b", supervised=False), Turn("user", "c"), Turn("assistant", "d"))
    assert read("prompt_completion", row).items[0].turns == expected
    assert read("prompt_completion", {**row, "completion": "d"}).items[0].turns == expected


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"question": "q", "answer": "a"}, pair("q", "a")),
        ({"question": "q", "answer": ["a", "b"]}, pair("q", "a")),
        ({"question": "q", "context": "c", "answers": {"text": ["a", "a"], "start": [1, 1]}}, pair("q", "a", "c")),
        ({"question": "q", "answers": [{"text": "a", "answer_start": 0}]}, pair("q", "a")),
        ({"QUESTION": "q", "CONTEXTS": ["c1", "c2"], "LONG_ANSWER": "a"}, pair("q", "a", "c1\nc2")),
        ({"question": "q", "context": {"contexts": ["c", "d"]}, "long_answer": "a"}, pair("q", "a", "c\nd")),
        ({"Body": "b", "Question": "q", "Answer": 3.5}, pair("q", "3.5", "b")),
        ({"Question": "q", "Answer": [1, 2]}, pair("q", "[1, 2]")),
        ({"Question": "q", "Answer": False}, pair("q", "false")),
        ({"question": "q", "options": ["A) 1", "B) 2"], "rationale": "r"}, pair("q", "r", "A) 1\nB) 2")),
        ({"text": "q", "code": "c", "test_list": []}, pair("q", "c")),
        ({"system_prompt": "s", "question": "q", "response": "a"},
         Conversation((Turn("system", "s"), Turn("user", "q"), Turn("assistant", "a")))),
    ],
)  # fmt: skip
def test_questions_and_answers_of_many_names(read: Reader, row: dict[str, Any], expected: Conversation) -> None:
    assert read("question_answer", row).items == [expected]


def test_of_several_answers_the_first_and_of_none_nothing(read: Reader) -> None:
    rows = [{"question": "q", "answer": answer} for answer in (["a", "b"], ["a", "a"], [], "", None)]
    found = read("question_answer", *rows)
    assert found.items == [pair("q", "a")] * 2
    assert dict(found.tally.repaired) == {"further_answers_left_out": 1, "unanswered_left_out": 3}
    assert not found.tally.bad


def test_columns_of_other_names(read: Reader) -> None:
    columns = Columns(prompt="dialogue", response="note.text", input="header", system="role")
    row = {"dialogue": "d", "note": {"text": "n"}, "header": "h", "role": "s", "prompt": "other"}
    found = read("prompt_completion", row, columns=columns)
    assert found.items[0].turns == (Turn("system", "s"), Turn("user", "d", "h"), Turn("assistant", "n"))


@pytest.mark.parametrize(
    ("shape", "row", "code", "words"),
    [
        ("alpaca", {"instruction": "a"}, "format", "expected the key 'output' or 'response', found 'instruction'"),
        ("alpaca", {"output": "a"}, "format", "expected the key 'instruction', found 'output'"),
        ("alpaca", {}, "format", "found no keys"),
        ("alpaca", {"instruction": "a", "output": ["b"]}, "format", "expected text in 'output', found ['b']"),
        ("alpaca", {"instruction": "a", "output": None}, "format", "expected text in 'output', found None"),
        ("alpaca", {"instruction": "a", "output": "b", "input": 3}, "format", "expected text in 'input', found 3"),
        ("alpaca", {"instruction": "a", "output": " "}, "empty_turn", "expected text in 'output', found nothing"),
        ("alpaca", {"instruction": "", "output": "b"}, "empty_turn", "expected text in 'instruction'"),
        ("alpaca", {"instruction": "a", "output": "b\0"}, "encoding", "NUL"),
        ("alpaca", {"instruction": "a", "output": "b", "history": "x"}, "format", "expected a list of question and"),
        ("alpaca", {"instruction": "a", "output": "b", "history": [["q"]]}, "format", "its answer in history[0]"),
        ("alpaca", {"instruction": "a", "output": "b", "history": [["q", ""]]}, "empty_turn", "history[0]"),
        ("alpaca", {"instruction": "a", "output": "b", "history": [["q", "\0"]]}, "encoding", "NUL"),
        ("alpaca", {"instruction": "a", "instances": []}, "format", "in 'instances', found []"),
        ("alpaca", {"instruction": "a", "instances": ["x"]}, "format", "in instances[0], found 'x'"),
        ("alpaca", {"instruction": "a", "instances": [{"input": ""}]}, "format", "expected the key 'output'"),
        ("dolly", {"instruction": "a", "context": 1, "response": "b"}, "format", "expected text in 'context'"),
        ("prompt_completion", {"prompt": "a"}, "format", "expected the key 'completion' or 'response' or"),
        ("prompt_completion", {"prompt": [], "completion": "a"}, "format", "ends with the user's turn"),
        (
            "prompt_completion",
            {"prompt": "Human: a\n\nAssistant: b", "completion": "c"},
            "format",
            "ends with the user's",
        ),
        ("question_answer", {"question": "a"}, "format", "expected the key 'answer' or"),
        ("question_answer", {"question": 3, "answer": "b"}, "format", "expected text in 'question', found 3"),
        ("question_answer", {"question": "a", "answer": "\ud800"}, "encoding", "half a surrogate pair"),
        ("question_answer", {"question": "a", "context": "\0", "answer": "b"}, "encoding", "NUL"),
    ],
)
def test_a_row_that_cannot_be_used_says_why(
    read: Reader, shape: RowFormat, row: dict[str, Any], code: str, words: str
) -> None:
    found = read(shape, row)
    assert not found.items
    assert dict(found.tally.bad) == {code: 1}
    assert found.tally.errors[0].startswith("rows.jsonl:1: ")
    assert words in found.tally.errors[0]
