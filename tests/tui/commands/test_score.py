"""`score`: a line or an object a row, and the summary; the helper stands in."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from core.run.directory import Home
from core.run.launch import make_home
from tests.training_runs import new_run, pretrain_preset
from tui.commands import score as command
from tui.commands.context import Context

PAIRS = [
    {"place": "r.jsonl:1", "chosen": 2.0, "rejected": 1.0, "margin": 1.0},
    {"place": "r.jsonl:2", "chosen": 0.0, "rejected": 0.5, "margin": -0.5},
    {"place": "r.jsonl:3", "chosen": 3.0, "rejected": 1.0, "margin": 2.0},
]
ANSWERS = [{"place": "r.jsonl:1", "score": 1.0, "label": False}, {"place": "a\x1b[2J.jsonl:2", "score": 3.0}]


@pytest.fixture
def context(home: Home, tmp_path: Path) -> Context:
    make_home(home)
    run = new_run(home, pretrain_preset(tmp_path), "judge")
    run.model.mkdir()
    (run.model / "config.json").touch()
    (tmp_path / "rows.jsonl").touch()
    return Context(home, {}, io.StringIO(), io.StringIO(), input_is_terminal=False)


def _answering(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], **answer: Any) -> list[Mapping[str, Any]]:
    asked: list[Mapping[str, Any]] = []

    def ask(question: Mapping[str, Any], _: Context, *, seconds: float, progress: Callable[..., None]) -> Any:
        asked.append(question)
        for row in rows:
            progress({"type": "progress", "stage": "score", "scores": [row]})
        return {"rows": len(rows), "bad_rows": 0, "errors": [], **answer}

    monkeypatch.setattr(command, "ask", ask)
    return asked


def _said(context: Context) -> tuple[str, str]:
    assert isinstance(context.output, io.StringIO)
    assert isinstance(context.words, io.StringIO)
    return context.output.getvalue(), context.words.getvalue()


def test_objects_and_the_summary_of_pairs(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _answering(monkeypatch, PAIRS)
    assert command.score("judge", str(tmp_path / "rows.jsonl"), context, as_json=True) == 0
    output, words = _said(context)
    assert [json.loads(line) for line in output.splitlines()] == PAIRS
    assert words.splitlines() == [
        "3 pairs: mean score 1.2500, spread 0.9895",
        "the better answer is above the worse one in 66.7% of pairs, by 0.8333 in the mean",
    ]
    run = str(context.home.runs / "judge")
    assert asked == [{"verb": "score", "run": run, "file": str(tmp_path / "rows.jsonl")}]


def test_lines_for_a_person_and_bad_rows(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _answering(monkeypatch, ANSWERS + PAIRS[:1], bad_rows=3, errors=["r.jsonl:4: no \x1b[31mprompt", "r.jsonl:5: no"])
    assert command.score("judge", str(tmp_path / "rows.jsonl"), context, as_json=False) == 0
    output, words = _said(context)
    assert output.splitlines()[0] == "r.jsonl:1  1.0000  bad"
    assert output.splitlines()[2] == "r.jsonl:1  2.0000  1.0000  +1.0000"
    assert "\x1b" not in output + words
    assert words.splitlines()[0] == "2 answers, 1 pair: mean score 1.7500, spread 0.8292"
    assert "3 rows could not be scored:" in words
    assert words.endswith("  and 1 more\n")


def test_what_is_not_there_is_refused(context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = _answering(monkeypatch, PAIRS)
    with pytest.raises(UsageError, match="there is nothing at"):
        command.score("judge", str(tmp_path / "none.jsonl"), context, as_json=False)
    with pytest.raises(UsageError, match="there is no run"):
        command.score("other", str(tmp_path / "rows.jsonl"), replace(context), as_json=False)
    (context.home.runs / "judge" / "model" / "config.json").unlink()
    with pytest.raises(UsageError, match="has no model yet"):
        command.score("judge", str(tmp_path / "rows.jsonl"), context, as_json=False)
    assert asked == []
