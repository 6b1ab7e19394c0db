"""Runs whose loss weighs classes of source code, as real processes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.run.directory import Home, RunDirectory
from core.run.events import Failed
from tests.training_runs import events, finish, new_run, pretrain_preset, trace

CODE = (
    "def add_{n}(first, second):\n\t# Return both, {n}\n\treturn first + second * {n}\n\n\nprint(add_{n}('ä', \"b\"))\n"
)
WEIGHTS = {"keyword": 2, "comment": 0, "whitespace": 0.3, "name": 1.5}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    folder = tmp_path / "code"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number:02}.py").write_text(CODE.replace("{n}", str(number)))
    return Home(path)


def run_of(home: Home, name: str) -> RunDirectory:
    preset = pretrain_preset(
        home.path.parent / "code",
        data={"syntax": "auto"},
        loss={"syntax_weights": WEIGHTS},
        schedule={"steps": 10},
    )
    return new_run(home, preset, name)


def model_of(run: RunDirectory) -> bytes:
    return (run.model / "model.safetensors").read_bytes()


@pytest.mark.slow(reason="runs of real processes")
def test_a_weighted_run_that_was_killed_goes_on_bit_for_bit(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, broken = run_of(home, "whole"), run_of(home, "broken")
    assert finish(whole) == 0
    monkeypatch.setenv("FOOTPLATE_FAULT", "checkpoint.committed:kill9:1")
    assert finish(broken) == 128 + 9
    monkeypatch.delenv("FOOTPLATE_FAULT")
    assert finish(broken) == 0
    assert trace(broken) == trace(whole)
    assert model_of(broken) == model_of(whole)


@pytest.mark.slow(reason="a run of real processes")
def test_weights_on_data_of_an_earlier_run_without_marks_are_refused(home: Home) -> None:
    prepared = {
        "phase": "prepare", "about": {"title": "x"},
        "data": {"kind": "text", "sources": [{"kind": "files", "path": str(home.path.parent / "code")}],
                 "tokenizer": {"kind": "train", "vocabulary_size": 300}, "held_out_fraction": 0.1},
    }  # fmt: skip
    assert finish(new_run(home, prepared, "prepared")) == 0
    preset = pretrain_preset(home.path.parent / "code", loss={"syntax_weights": WEIGHTS})
    preset["data"] = {"kind": "run", "run": "prepared"}
    run = new_run(home, json.loads(json.dumps(preset)), "refused")
    assert finish(run) != 0
    (failed,) = [event for event in events(run) if isinstance(event, Failed)]
    assert "loss.syntax_weights: expected data whose tokens are marked" in failed.message
    assert "data.syntax" in failed.hint
