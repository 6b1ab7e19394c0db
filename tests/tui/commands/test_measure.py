"""`measure`: the table, the objects, and the exit code where nothing could be measured; the helper stands in."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import ConfigurationError, ExitCode, UsageError
from core.run.directory import Home
from core.run.launch import child_environment
from tests.tui.measuring_helper import answer
from tui.commands import measure as command
from tui.commands.context import Context
from tui.commands.query import QueryError

PRESET = """\
phase: sft
about: {title: tiny}
model: {kind: pretrained, path: MODEL}
data: {kind: instructions, sources: [{kind: json, path: rows.jsonl}], template: alpaca}
schedule: {kind: constant, peak_learning_rate: 1e-4, steps: 5}
batch: {size: 2, micro_size: 2, sequence_length: 2048}
"""
SCRATCH = """\
phase: pretrain
about: {title: scratch}
model: {kind: scratch, layers: 2, hidden_size: 32, heads: 2, context_length: 64}
data: {kind: text, sources: [{kind: standard_library}], tokenizer: {kind: train, vocabulary_size: 300}}
schedule: {kind: constant, peak_learning_rate: 1e-3, steps: 6}
batch: {size: 2, micro_size: 2, sequence_length: 32}
"""


class Helper:
    """Stands in for the helper process: keeps what it was asked, fails for `failing`."""

    def __init__(self) -> None:
        self.asked: list[tuple[Mapping[str, Any], Context]] = []
        self.failing: dict[str, QueryError] = {}

    def __call__(
        self, question: Mapping[str, Any], context: Context, *, seconds: float, progress: Callable[..., None]
    ) -> dict[str, Any]:
        kind = str(question["config"]).split("adapter:\n  kind: ")[1].split("\n")[0]
        self.asked.append((question, context))
        progress({"type": "progress", "stage": "step", "done": 1, "total": 4})
        if kind in self.failing:
            raise self.failing[kind]
        return answer(kind)


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, piped: Context) -> Helper:
    """The helper, presets tiny and scratch, and a folder without the rows that tiny names."""
    (tmp_path / "model").mkdir()
    piped.home.presets.mkdir(mode=0o700)
    (piped.home.presets / "tiny.yaml").write_text(PRESET.replace("MODEL", str(tmp_path / "model")))
    (piped.home.presets / "scratch.yaml").write_text(SCRATCH)
    monkeypatch.chdir(tmp_path)
    stands_in = Helper()
    monkeypatch.setattr(command, "ask", stands_in)
    return stands_in


def written(context: Context) -> tuple[str, str]:
    assert isinstance(context.output, io.StringIO)
    assert isinstance(context.words, io.StringIO)
    return context.output.getvalue(), context.words.getvalue()


def test_the_table_compares_with_the_first_kind(piped: Context, helper: Helper) -> None:
    assert command.measure("tiny", ["batch.size=16"], piped, steps=2, as_json=False) == 0
    table, words = written(piped)
    head, *rows = [line.split("  ") for line in table.splitlines()]
    assert head[0] == "adapter"
    cells = {row[0]: [cell.strip() for cell in row if cell.strip()] for row in rows}
    assert cells["full"][1:5] == ["100", "1.00 x", "3.1 GB", "1.00 x"]
    assert cells["qlora"][1:] == ["240", "2.40 x", "1.4 GB", "0.44 x", "158.0 MB", "2.0 MB", "922k (0.7%)"]
    assert "lora: step 1 of 4" in words
    assert "random tokens" in words
    assert [question["steps"] for question, _ in helper.asked] == [2, 2, 2]
    assert all("size: 16" in question["config"] for question, _ in helper.asked)


def test_a_helper_has_the_environment_of_a_worker(piped: Context, helper: Helper) -> None:
    command.measure("tiny", [], piped, steps=1, as_json=False)
    wanted = child_environment(piped.environment, piped.home)
    for _, context in helper.asked:
        assert wanted.items() <= context.environment.items()
        assert context.environment["FOOTPLATE_HOME"] == str(piped.home.path)


def test_a_home_that_is_not_there_yet_is_made(piped: Context, helper: Helper, tmp_path: Path) -> None:
    first = replace(piped, home=Home(tmp_path / "new" / "home"))
    assert command.measure("quickstart", [], first, steps=1, as_json=False) == 0
    assert first.home.cache.is_dir()


def test_json_has_an_object_a_kind(piped: Context, helper: Helper) -> None:
    helper.failing["lora"] = QueryError("no memory", hint="Buy some.", exit_code=ExitCode.MEMORY)
    assert command.measure("tiny", [], piped, steps=1, as_json=True) == 0
    full, lora, qlora = [json.loads(line) for line in written(piped)[0].splitlines()]
    assert (full["kind"], qlora["kind"], full["is_real"]) == ("full", "qlora", False)
    assert lora == {"kind": "lora", "error": "no memory", "hint": "Buy some."}


def test_the_first_failure_is_the_exit_code_where_nothing_was_measured(piped: Context, helper: Helper) -> None:
    for kind, code in (("full", ExitCode.MEMORY), ("lora", ExitCode.USAGE), ("qlora", ExitCode.USAGE)):
        helper.failing[kind] = QueryError(f"not {kind}", exit_code=code)
    assert command.measure("tiny", [], piped, steps=1, as_json=False) == ExitCode.MEMORY
    table, words = written(piped)
    assert table == ""
    assert all(f"{kind}: not {kind}" in words for kind in ("full", "lora", "qlora"))


def test_a_kind_that_does_not_hold_is_not_asked_about(piped: Context, helper: Helper) -> None:
    assert command.measure("scratch", [], piped, steps=1, as_json=False) == 0
    assert len(helper.asked) == 1
    assert "qlora: adapter.kind must be full with model.kind scratch" in written(piped)[1]


@pytest.mark.parametrize(
    ("preset", "overrides", "steps", "error", "words"),
    [
        ("tiny", [], 0, UsageError, "--steps 0"),
        ("tiny", ["batch.size=0"], 1, ConfigurationError, "batch.size"),
        ("prepare-code", [], 1, UsageError, "trains nothing"),
        ("nothing", [], 1, UsageError, "nothing"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_asked(
    piped: Context, helper: Helper, preset: str, overrides: list[str], steps: int, error: type[UsageError], words: str
) -> None:
    with pytest.raises(error, match=words):
        command.measure(preset, overrides, piped, steps=steps, as_json=False)
    assert helper.asked == []
