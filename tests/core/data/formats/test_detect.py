from __future__ import annotations

from typing import Any

import pytest

from core.config.data import RowFormat
from core.config.sources import Columns
from core.data.formats import detect, recognised
from core.data.rows import Row
from core.errors import DataError

ASKED, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
DIALOGUE = "\n\nHuman: q\n\nAssistant: a"


def rows(*values: dict[str, Any]) -> list[Row]:
    return [Row(one, f"rows.jsonl:{number}") for number, one in enumerate(values, start=1)]


TABLE: list[tuple[dict[str, Any], RowFormat | None]] = [
    ({"instruction": "q", "input": "", "output": "a"}, "alpaca"),
    ({"instruction": "q", "input": "", "response": "a"}, "alpaca"),
    ({"instruction": "q", "input": "", "output": "a", "history": []}, "alpaca"),
    ({"id": "1", "instruction": "q", "instances": [{"input": "", "output": "a"}]}, "alpaca"),
    ({"instruction": "q", "context": "", "response": "a", "category": "c"}, "dolly"),
    ({"messages": [ASKED, ANSWER]}, "messages"),
    ({"conversations": [{"from": "human", "value": "q"}], "tools": "[]"}, "sharegpt"),
    ({"message_tree_id": "t", "prompt": {"text": "q", "role": "prompter", "replies": []}}, "openassistant_tree"),
    ({"message_id": "m", "parent_id": None, "text": "q", "role": "prompter", "replies": []}, "openassistant_tree"),
    ({"message_id": "m", "parent_id": None, "text": "q", "role": "prompter"}, "openassistant_messages"),
    ({"user_message_id": "m", "parent_message_id": None, "text": "q", "role": "prompter"}, "openassistant_messages"),
    ({"prompt": "q", "completion": "a"}, "prompt_completion"),
    ({"prompt": "q", "response": "a"}, "prompt_completion"),
    ({"prompt": "def f():", "canonical_solution": "pass", "test": "t"}, "prompt_completion"),
    ({"question": "q", "answer": "a"}, "question_answer"),
    ({"question": "q", "answer": ["a"]}, "question_answer"),
    ({"question": "q", "context": "c", "answers": {"text": ["a"]}}, "question_answer"),
    ({"QUESTION": "q", "CONTEXTS": ["c"], "LONG_ANSWER": "a"}, "question_answer"),
    ({"Body": "b", "Question": "q", "Answer": 3}, "question_answer"),
    ({"text": "q", "code": "c", "test_list": [], "task_id": 1}, "question_answer"),
    ({"system_prompt": "", "question": "q", "response": "a"}, "question_answer"),
    ({"prompt": "q", "chosen": "a", "rejected": "b"}, "preference"),
    ({"chosen": [ASKED, ANSWER], "rejected": [ASKED, ASKED]}, "preference"),
    ({"chosen_messages": [ASKED, ANSWER], "rejected_messages": [ASKED]}, "preference"),
    ({"conversations": [{}], "chosen": {"from": "gpt"}, "rejected": {"from": "gpt"}}, "preference"),
    ({"chosen": DIALOGUE, "rejected": DIALOGUE}, "transcript_pair"),
    ({"instruction": "q", "input": "", "output": ["a", "b"], "history": []}, "ranked"),
    ({"messages": [ASKED, ANSWER], "label": True}, "judged"),
    ({"prompt": "q", "completion": "a", "label": False}, "judged"),
    ({"prompt": "q"}, "prompts"),
    ({"question_id": 1, "category": "c", "turns": ["q", "q"]}, "prompts"),
    # Documents and other things are none.
    ({"text": "A document."}, None),
    ({"text": "A document.", "code": "eng"}, None),
    ({"goal": "g", "sol1": "1", "sol2": "2"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("row", "shape"), TABLE)
def test_the_format_is_seen_in_the_rows(row: dict[str, Any], shape: RowFormat | None) -> None:
    assert recognised(rows(row, row, {}), Columns()) == shape


@pytest.mark.parametrize(
    ("columns", "row", "shape"),
    [
        (Columns(prompt="d", response="n"), {"d": "q", "n": "a"}, "prompt_completion"),
        (Columns(prompt="d", response="n.text"), {"d": "q", "n": {"text": "a"}}, "prompt_completion"),
        # Both sides are named: nothing else of the row matters.
        (
            Columns(prompt="prompt", response="chosen"),
            {"prompt": "q", "chosen": "a", "rejected": "b"},
            "prompt_completion",
        ),
        (Columns(prompt="ask"), {"ask": "q", "output": "a"}, "alpaca"),
        (Columns(response="reply"), {"question": "q", "reply": "a"}, "question_answer"),
        (Columns(messages="talk"), {"talk": [ASKED, ANSWER]}, "messages"),
        (Columns(messages="talk", label="ok"), {"talk": [ASKED, ANSWER], "ok": 1}, "judged"),
        (Columns(prompt="ask", chosen="win", rejected="lose"), {"ask": "q", "win": "a", "lose": "b"}, "preference"),
        (Columns(prompt="ask", response="all"), {"ask": "q", "all": ["a", "b"]}, "ranked"),
        (Columns(prompt="ask", response="all"), {"ask": "q", "output": ["a", "b"]}, None),
        (Columns(prompt="text"), {"text": "q"}, "prompts"),
        (Columns(prompt="missing"), {"prompt": "q", "completion": "a"}, None),
    ],
)
def test_columns_of_other_names_are_looked_at(columns: Columns, row: dict[str, Any], shape: RowFormat | None) -> None:
    assert recognised(rows(row), columns) == shape


def test_more_than_half_of_the_rows_decide() -> None:
    alpaca, messages = {"instruction": "a", "output": "b"}, {"messages": [ASKED, ANSWER]}
    assert detect(rows(alpaca, alpaca, {}), Columns(), "s") == "alpaca"
    with pytest.raises(DataError, match="found in the first 2 rows: 'instruction', 'messages', 'output'"):
        detect(rows(alpaca, messages), Columns(), "s")


def test_an_unknown_format_is_told_with_the_keys_that_were_found() -> None:
    with pytest.raises(
        DataError, match=r"data.sources\[0\]: expected rows of a known format.*first row: 'goal', 'sol1'"
    ) as e:
        detect(rows({"goal": "a", "sol1": "b"}), Columns(), "data.sources[0]")
    assert "columns" in (e.value.hint or "")
    with pytest.raises(DataError, match="found in the first row: no keys"):
        detect(rows({}), Columns(), "s")
    with pytest.raises(DataError, match="and 70 more"):
        detect(rows({f"key{number}": 1 for number in range(100)}), Columns(), "s")
