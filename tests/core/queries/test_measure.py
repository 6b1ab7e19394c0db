"""What a kind of training costs: which tokens are measured, what the figures are, and what cannot be measured."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import query
from core.config.presets import dump_config, read_yaml, resolve
from core.errors import OutOfMemoryError, UsageError
from core.model.batch import IGNORED
from core.queries.measure import MeasureQuestion, _largest, measure
from core.run.directory import Home
from core.training import measurement
from core.training.batches import Row
from tests.training_runs import new_run, pretrain_preset, sft_preset, work, write_instructions, write_texts

SHORT: dict[str, Any] = {"schedule": {"steps": 4, "warmup_steps": 1}, "cadence": {}, "sampling": {}}


def yaml_of(preset: dict[str, Any]) -> str:
    return dump_config(resolve(read_yaml(json.dumps(preset), "preset.yaml")))


def ask(home: Home, preset: dict[str, Any], *, steps: int = 2) -> dict[str, Any]:
    """Ask as a console does, and return the last answer."""
    answers = io.StringIO()
    question = {"verb": "measure", "config": yaml_of(preset), "steps": steps}
    query.serve(io.BytesIO(json.dumps(question).encode() + b"\n"), answers, home)
    *said, last = [json.loads(line) for line in answers.getvalue().splitlines()]
    assert all(answer["type"] == "progress" for answer in said)
    if last["type"] == "result":
        steps_said = [answer["done"] for answer in said if answer["stage"] == "step"]
        assert steps_said == list(range(1, steps + 2)), "a first one that is not counted, then so many"
    return dict(last)


def test_unprepared_data_is_measured_on_random_tokens(home: Home, tmp_path: Path) -> None:
    preset = pretrain_preset(write_texts(tmp_path / "texts"), **SHORT)
    found = ask(home, preset)
    assert found["type"] == "result"
    assert (found["kind"], found["is_real"]) == ("full", False)
    assert "random tokens, as its data has not been prepared yet" in found["data"]
    # Two of the three micro-batches of a step, each of two sequences of 32 tokens without padding.
    assert (found["micro_batches"], found["accumulation"], found["step_tokens"]) == (2, 3, 128)
    assert found["tokens_per_second"] == pytest.approx(128 / found["step_seconds"])
    assert found["parameters"] == found["trainable_parameters"] == found["weight_bytes"] // 4
    assert found["optimizer_bytes"] == pytest.approx(8 * found["parameters"], rel=0.01)
    assert found["peak_memory_bytes"] > 100e6
    assert not any(home.cache.rglob("manifest.json")) if home.cache.exists() else True


def trained_base(home: Home, tmp_path: Path) -> dict[str, Any]:
    """Train the run `base`, which prepares its data into the cache, and return its preset."""
    changes = {**SHORT, "model": {"hidden_size": 64, "dropout": 0.0}}
    preset = pretrain_preset(write_texts(tmp_path / "texts"), **changes)
    assert work(new_run(home, preset, "base"), 1) == 0
    return preset


def test_prepared_data_is_measured(home: Home, tmp_path: Path) -> None:
    found = ask(home, trained_base(home, tmp_path))
    assert (found["is_real"], found["data"]) == (True, "the largest sequences of its own data")
    assert found["step_tokens"] == 128


@pytest.mark.slow(reason="imports peft and bitsandbytes, and loads a model in each of three ways")
def test_kinds_differ_in_what_is_trained_and_in_bits(home: Home, tmp_path: Path) -> None:
    trained_base(home, tmp_path)
    rows = write_instructions(tmp_path / "rows.jsonl")
    costs = {}
    for kind in ("full", "lora", "qlora"):
        preset = {**sft_preset(rows, "base", **SHORT), "adapter": {"kind": kind}}
        costs[kind] = ask(home, preset, steps=1)
        assert costs[kind]["kind"] == kind
    trained = {kind: cost["trainable_parameters"] for kind, cost in costs.items()}
    assert trained["lora"] == trained["qlora"] < trained["full"]
    assert costs["lora"]["optimizer_bytes"] < costs["full"]["optimizer_bytes"]
    assert costs["qlora"]["weight_bytes"] < costs["lora"]["weight_bytes"]


def test_what_cannot_be_measured_says_why(home: Home, tmp_path: Path) -> None:
    rows = write_instructions(tmp_path / "rows.jsonl")
    found = ask(home, sft_preset(rows, "nowhere", **SHORT))
    assert (found["type"], found["exit_code"]) == ("error", 2)
    assert "nowhere does not exist" in found["message"]
    prepare = {
        "phase": "prepare",
        "about": {"title": "p"},
        "data": {
            "kind": "text",
            "sources": [{"kind": "files", "path": str(rows)}],
            "tokenizer": {"kind": "train", "vocabulary_size": 300},
        },
    }
    with pytest.raises(UsageError, match="trains nothing"):
        measure(MeasureQuestion(verb="measure", config=yaml_of(prepare)), lambda _: None, home)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[enforce fail] can't allocate memory: 9 bytes")])
def test_too_little_memory_says_what_to_lower(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(measurement, "measure_steps", fail)
    config = yaml_of(pretrain_preset(write_texts(tmp_path / "texts"), **SHORT))
    with pytest.raises(OutOfMemoryError) as raised:
        measure(MeasureQuestion(verb="measure", config=config), lambda _: None, home)
    assert raised.value.exit_code == 7
    assert "batch.micro_size" in raised.value.hint


def test_the_largest_sequences_are_taken() -> None:
    """The most tokens first, of equal ones the most targets; again from the first where there are too few."""

    def row(tokens: int, targets: int) -> Row:
        marks = np.full(tokens, IGNORED)
        marks[:targets] = 1
        return Row(np.zeros(tokens, np.int64), marks, (tokens,))

    rows = [row(5, 5), row(9, 2), row(9, 7), row(3, 1)]
    found = [(len(one.ids), int((one.targets != IGNORED).sum())) for one in _largest(rows, 6)]
    assert found == [(9, 7), (9, 2), (5, 5), (3, 1), (9, 7), (9, 2)]
    with pytest.raises(UsageError, match="no sequence"):
        _largest([], 1)
