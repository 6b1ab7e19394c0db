from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from core import query
from core.run.directory import Home

ROOT = Path(__file__).parent.parent.parent.parent


def ask(home: Home, *questions: dict[str, Any]) -> list[dict[str, Any]]:
    answers = io.StringIO()
    query.serve(io.BytesIO(b"".join(json.dumps(one).encode() + b"\n" for one in questions)), answers, home)
    return [json.loads(line) for line in answers.getvalue().splitlines()]


@pytest.fixture
def data(tmp_path: Path) -> dict[str, Any]:
    """A data section of eight instructions."""
    path = tmp_path / "rows.jsonl"
    rows = ({"instruction": f"ask {number}", "output": f"say {number}. " * 9} for number in range(8))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return {"kind": "instructions", "sources": [{"kind": "json", "path": str(path)}]}


def test_preview_of_a_data_section(home: Home, data: dict[str, Any]) -> None:
    first, last = ask(home, {"verb": "preview", "data": data, "start": 2, "rows": 3},
                      {"verb": "preview", "data": data, "start": 6, "rows": 3})  # fmt: skip
    assert [row["number"] for row in first["rows"]] == [2, 3, 4]
    assert (first["kind"], first["formats"], first["start"], first["total"]) == ("instructions", ["alpaca"], 2, None)
    assert first["rows"][0]["turns"][0]["text"] == "ask 2"
    assert (len(last["rows"]), last["total"]) == (2, 8)


def test_an_answer_fits_into_a_line_whatever_the_rows_hold(home: Home, data: dict[str, Any]) -> None:
    path = Path(data["sources"][0]["path"])
    path.write_text((json.dumps({"instruction": "\U0001f600" * 50_000, "output": "y"}) + "\n") * 99)
    (answer,) = ask(home, {"verb": "preview", "data": data, "rows": 99})
    assert answer["type"] == "result"
    assert len(json.dumps(answer)) <= 1 << 20
    assert answer["rows"][0]["turns"][0]["characters"] == 50_000


def test_inspect_a_path_and_a_source(home: Home, data: dict[str, Any]) -> None:
    source = data["sources"][0]
    whole, begun, as_source = ask(
        home,
        {"verb": "inspect", "path": source["path"]},
        {"verb": "inspect", "path": source["path"], "limit": 3},
        {"verb": "inspect", "source": source},
    )
    assert (whole["format"], whole["rows"], whole["bad_rows"], whole["complete"]) == ("alpaca", 8, 0, True)
    assert whole["columns"] == ["instruction", "output"]
    assert (begun["rows"], begun["complete"]) == (3, False)
    assert (as_source["rows"], as_source["format"]) == (8, "alpaca")


@pytest.mark.parametrize(
    ("question", "words"),
    [({}, "path or a source"), ({"path": "/no/such"}, "/no/such"), ({"path": ""}, "path"), ({"path": 1}, "path"),
     ({"path": "/tmp", "limit": 0}, "limit"), ({"source": {"kind": "path"}}, "source")],
)  # fmt: skip
def test_a_wrong_inspection_is_answered_by_an_error(home: Home, question: dict[str, Any], words: str) -> None:
    (answer,) = ask(home, {"verb": "inspect", **question})
    assert (answer["type"], answer["exit_code"]) == ("error", 2)
    assert words in answer["message"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"rows": 0}, "rows"),
        ({"start": -1}, "start"),
        ({"rows": "5"}, "rows"),
        ({"path": "/no/such"}, "either a path or a data section"),
        ({"data": None, "path": "/no/such"}, "/no/such"),
        ({"data": None}, "either a path or a data section"),
        ({"data": {"kind": "text"}}, "data"),
        ({"data": {"kind": "instructions", "sources": [{"kind": "json", "path": "/no/such"}]}}, "/no/such"),
        ({"rovs": 1}, "rovs"),
    ],
)
def test_a_wrong_question_is_answered_by_an_error(
    home: Home, data: dict[str, Any], wrong: dict[str, Any], words: str
) -> None:
    (answer,) = ask(home, {"verb": "preview", "data": data, **wrong})
    assert (answer["type"], answer["exit_code"]) == ("error", 2)
    assert words in answer["message"]


def test_questions_about_data_bring_no_torch(environment: dict[str, str], data: dict[str, Any], words: Path) -> None:
    code = (
        "import io, sys, core.query as query\nfrom core.run.directory import Home\nfrom pathlib import Path\n"
        "query.serve(sys.stdin.buffer, sys.stdout, Home(Path('/nowhere')))\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    inspection = {"verb": "inspect", "path": data["sources"][0]["path"]}
    preview = {"verb": "preview", "data": data}
    trial = {"verb": "filter_report", "data": {**data, "filters": [{"kind": "instruction_quality"}]}}
    questions = [inspection, preview, trial, {"verb": "tokens", "data": data, "tokenizer": str(words)}]
    lines = b"".join(json.dumps(question).encode() + b"\n" for question in questions)
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, input=lines, capture_output=True, cwd=ROOT, env=environment, timeout=60, check=True)
    *answers, modules = done.stdout.decode().splitlines()
    types = [json.loads(answer)["type"] for answer in answers]
    assert [name for name in types if name != "progress"] == ["result"] * len(questions)
    assert not set(modules.split()) & {"torch", "transformers", "datasets", "textual"}


def test_preview_of_pairs_and_prompts(home: Home, data: dict[str, Any]) -> None:
    damaged = {**data, "kind": "preferences", "damage": {"rule": "cut"}}
    made, asked = ask(home, {"verb": "preview", "data": damaged, "rows": 1},
                      {"verb": "preview", "data": {**data, "kind": "prompts"}, "rows": 1})  # fmt: skip
    (pair,), (prompt,) = made["rows"], asked["rows"]
    assert (made["kind"], pair["kind"]) == ("preferences", "preference")
    assert pair["chosen"][0]["text"].startswith(pair["rejected"][0]["text"])
    assert pair["chosen"][0]["characters"] > pair["rejected"][0]["characters"] > 0
    assert (asked["kind"], prompt["kind"], prompt["turns"][0]["text"]) == ("prompts", "prompt", "ask 0")
    assert prompt["answer"] == {"text": "say 0. " * 9, "characters": 63}


def test_rows_that_are_no_pairs_are_refused_in_words(home: Home, data: dict[str, Any]) -> None:
    (refused,) = ask(home, {"verb": "preview", "data": {**data, "kind": "preferences"}})
    assert (refused["type"], refused["exit_code"]) == ("error", 5)
    assert "expected pairs of answers" in refused["message"]
    assert "data.damage.rule" in refused["hint"]
