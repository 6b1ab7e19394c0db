"""Pipelines from the command line, with real stages: what is printed, listed, passed on and continued."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.run.directory import Home, RunDirectory
from core.run.stages import read_stages
from tests.training_runs import pretrain_preset
from tui.commands.context import Context
from tui.commands.runs import runs

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def command(footplate: list[str], environment: dict[str, str], tmp_path: Path) -> Command:
    (tmp_path / "texts").mkdir()
    for number in range(60):
        (tmp_path / "texts" / f"{number}.txt").write_text(f"text number {number}, of a few words and {number * 7} more")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        words = [*footplate, *arguments]
        return subprocess.run(words, env=environment, capture_output=True, text=True, cwd=tmp_path, timeout=240)

    return run


def preparation(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "phase": "prepare",
        "about": {"title": name},
        "data": {
            "kind": "text",
            "sources": [{"kind": "files", "path": "texts"}],
            "tokenizer": {"kind": "train", "vocabulary_size": 300},
            "held_out_fraction": 0.2,
        },
    }


def write(folder: Path, *stages: dict[str, Any]) -> str:
    values = {"phase": "pipeline", "about": {"title": "stages"}, "pipeline": list(stages)}
    (folder / "path.yaml").write_text(json.dumps(values))
    return "path.yaml"


def test_a_stage_is_a_run_that_is_listed_below_its_pipeline(command: Command, tmp_path: Path, home: Home) -> None:
    done = command("run", write(tmp_path, preparation("one")), "--set", "one.data.tokenizer.vocabulary_size=290")
    assert done.returncode == 0, done.stderr
    assert "stage 1 of 1, one" in done.stdout
    assert done.stdout.splitlines()[-1].split() == ["one", "path-one"]
    manifest = json.loads((home.runs / "path-one" / "data" / "manifest.json").read_text())
    assert manifest["vocabulary_size"] == 290

    output = io.StringIO()
    runs(Context(home, {}, output, io.StringIO(), False), as_json=True)
    listed = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [(one["run"], one["pipeline"], one["stage"]) for one in listed] == [
        ("path", None, None), ("path-one", "path", "one"),
    ]  # fmt: skip


def test_a_stage_without_its_files_is_refused_before_anything_is_made(command: Command, tmp_path: Path) -> None:
    other = preparation("two")
    other["data"]["sources"][0]["path"] = "nowhere"
    refused = command("run", write(tmp_path, preparation("one"), other))
    assert refused.returncode == 2
    assert "pipeline.1.data.sources.0.path: there is no" in refused.stderr
    assert not (tmp_path / "home" / "runs").exists()


@pytest.mark.slow(reason="three runs with torch in a row")
def test_a_model_is_trained_on_and_compared_and_a_failing_stage_goes_on(
    command: Command, tmp_path: Path, home: Home
) -> None:
    first = {**pretrain_preset(tmp_path / "texts"), "name": "base", "data": {"kind": "run", "run": "one"}}
    first["cadence"] = {"evaluate_first": True}
    second = {**first, "name": "more", "model": {"kind": "run", "run": "base"}}
    preset = write(tmp_path, preparation("one"), first, second)
    failed = command("run", preset, "--set", "more.batch.sequence_length=4096")
    assert failed.returncode == 2, failed.stdout + failed.stderr
    assert "footplate resume path --set more.section.field=VALUE" in failed.stderr

    done = command("resume", "path", "--set", "more.batch.sequence_length=32", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    losses = {row["stage"]: row for row in rows if row["type"] == "before_after" and row["series"] == "eval/loss"}
    assert losses["base"]["better"] is True
    assert losses["more"]["before"] == pytest.approx(losses["base"]["after"], abs=1e-6)
    assert list(read_stages(RunDirectory(home.runs / "path"))) == ["one", "base", "more"]
    assert len(RunDirectory(home.runs / "path-base").attempts()) == 1
    config = yaml.safe_load((home.runs / "path-more" / "config.yaml").read_text())
    assert config["model"]["run"] == "path-base"
