"""Low-rank runs from configuration to result: each phase with each adapter, resumed, sampled from, and built upon."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.model.adapters import load_adapted
from core.model.base_record import read_record, weights_digest
from core.model.resolve import base_of
from core.queries.model import SampleQuestion, sample
from core.run.directory import Home, RunDirectory
from core.run.events import Evaluated, Failed, Finished, Resumed, Started
from core.run.records import read_exit
from tests.core.test_exact_resume import worker_of
from tests.training_runs import (
    broken_off,
    events,
    finish,
    new_run,
    pretrain_preset,
    sft_preset,
    start,
    trace,
    wait,
    work,
    write_instructions,
    write_texts,
)

LOW_RANK = ["lora", "qlora"]


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a finished run named base."""
    path = tmp_path_factory.mktemp("adapters") / "home"
    path.mkdir(mode=0o700)
    write_texts(path.parent / "texts")
    write_instructions(path.parent / "rows.jsonl")
    home = Home(path)
    assert work(new_run(home, pretrain_preset(path.parent / "texts"), "base"), 1) == 0
    return home


def preset_of(
    home: Home, phase: str, kind: str, *, steps: int = 4, model: Any = None, **changes: Any
) -> dict[str, Any]:
    changes = {
        "adapter": {"kind": kind} | ({"rank": 4} if kind in LOW_RANK else {}),
        "schedule": {"steps": steps, "warmup_steps": 1},
        "cadence": {"evaluate_first": True, "checkpoint_steps": 2},
        **changes,
    }
    if phase == "sft":
        preset = sft_preset(home.path.parent / "rows.jsonl", "base", **changes)
    else:
        data = {"tokenizer": {"kind": "model"}, **changes.pop("data", {})}
        preset = pretrain_preset(home.path.parent / "texts", data=data, **changes)
    preset["model"] = {"kind": "run", "run": "base", **(model or {})}
    return preset


def of(run: RunDirectory, kind: type) -> list[Any]:
    return [event for event in events(run) if isinstance(event, kind)]


def held_out(run: RunDirectory) -> list[tuple[int, float]]:
    return [(event.step, event.values["eval/loss"]) for event in of(run, Evaluated)]


@pytest.mark.parametrize("phase", ["pretrain", "sft"])
@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_each_phase_runs_with_each_adapter_and_gradient_checkpointing_changes_no_bit(
    shared_home: Home, phase: str, kind: str
) -> None:
    base = shared_home.runs / "base" / "model"
    before = weights_digest(base)
    runs = []
    for checkpointing in (False, True):
        preset = preset_of(shared_home, phase, kind, model={"gradient_checkpointing": checkpointing})
        preset["schedule"]["peak_learning_rate"] = 2e-3  # the base is trained well enough to be spoiled by more
        run = new_run(shared_home, preset, f"{phase}-{kind}-{int(checkpointing)}")
        assert work(run, 1) == 0
        runs.append(run)
    losses = held_out(runs[0])
    assert [step for step, _ in losses] == [0, 4]
    assert losses[1][1] < losses[0][1]
    assert trace(runs[0]) == trace(runs[1])
    assert weights_digest(base) == before

    (started,) = of(runs[0], Started)
    trained = load_file(max(runs[0].checkpoints.glob("step-????????")) / "model.safetensors")
    assert started.facts["adapter"] == kind
    assert started.facts["trainable_parameters"] == sum(tensor.numel() for tensor in trained.values())
    if kind == "full":
        assert started.facts["parameters"] == started.facts["trainable_parameters"]
        return
    assert all(".lora_" in name for name in trained)
    assert started.facts["trainable_parameters"] < 0.4 * started.facts["parameters"]
    record = read_record(runs[0].model)
    assert record.digest == before
    assert (record.quantization is not None) == (kind == "qlora")
    assert json.loads((runs[0].model / "adapter_config.json").read_text())["r"] == 4
    assert not (runs[0].model / "config.json").exists()


@pytest.mark.parametrize("kind", LOW_RANK)
def test_the_result_is_the_model_that_was_evaluated_and_it_writes(shared_home: Home, kind: str) -> None:
    """What lies in the run's folder has the parameters of the last checkpoint; sampling takes them as they are."""
    run = new_run(shared_home, preset_of(shared_home, "sft", kind), f"result-{kind}")
    assert work(run, 1) == 0
    checkpoint = load_file(max(run.checkpoints.glob("step-????????")) / "model.safetensors")
    exported = load_file(run.model / "adapter_model.safetensors")
    assert {f"base_model.model.{name.replace('.default', '')}" for name in checkpoint} == set(exported)
    for name, tensor in checkpoint.items():
        assert torch.equal(exported[f"base_model.model.{name.replace('.default', '')}"], tensor)
    question = SampleQuestion(verb="sample", run=str(run.path), prompt="Say the loss", max_new_tokens=6, temperature=0)
    answer = sample(question)
    assert answer["template"] == "alpaca"
    (last,) = [e for e in of(run, Finished)]
    assert last.facts["eval/loss"] == held_out(run)[-1][1]


@pytest.mark.parametrize("kind", LOW_RANK)
def test_another_run_begins_with_the_merged_model(shared_home: Home, kind: str) -> None:
    first = new_run(shared_home, preset_of(shared_home, "sft", kind, steps=2), f"first-{kind}")
    assert work(first, 1) == 0
    preset = preset_of(shared_home, "sft", "lora", steps=2, model={"run": f"first-{kind}"})
    second = new_run(shared_home, preset, f"second-{kind}")
    assert work(second, 1) == 0
    # Merged into the base in float32: the loss of before, but for what quantisation had changed.
    assert held_out(second)[0][1] == pytest.approx(held_out(first)[-1][1], abs=1e-5 if kind == "lora" else 0.02)
    base = base_of(second.model, shared_home)
    assert base.name.startswith("merged-")
    load_adapted(base, second.model, quantized=False)


@pytest.mark.parametrize(("kind", "tied"), [("full", True), ("lora", True), ("lora", False), ("qlora", True)])
def test_rows_of_added_tokens_are_trained_and_come_back(shared_home: Home, kind: str, *, tied: bool) -> None:
    name = "base" if tied else "base-untied"
    if not tied and not (shared_home.runs / name).exists():
        texts = shared_home.path.parent / "texts"
        preset = pretrain_preset(texts, model={"tie_embeddings": False}, schedule={"steps": 4})
        assert work(new_run(shared_home, preset, name), 1) == 0
    tokenizer = {"kind": "model", "added_tokens": ["<|one|>", "<|two|>"]}
    preset = preset_of(shared_home, "pretrain", kind, data={"tokenizer": tokenizer}, model={"run": name})
    run = new_run(shared_home, preset, f"added-{kind}-{int(tied)}")
    assert work(run, 1) == 0
    checkpoint = load_file(max(run.checkpoints.glob("step-????????")) / "model.safetensors")
    if kind == "full":
        assert checkpoint["model.embed_tokens.weight"].shape[0] == 302
        assert load_file(run.model / "model.safetensors")["model.embed_tokens.weight"].shape[0] == 302
        return
    rows = {key: tensor for key, tensor in checkpoint.items() if "trainable_tokens_delta" in key}
    assert len(rows) == (1 if tied else 2)
    model = load_adapted(base_of(run.model, shared_home), run.model, quantized=True)
    assert read_record(run.model).added_tokens == ["<|one|>", "<|two|>"]
    heads = {"embed_tokens": model.get_input_embeddings(), "lm_head": model.get_output_embeddings()}
    for key, tensor in rows.items():
        (module,) = [module for part, module in heads.items() if part in key]
        assert torch.equal(module.weight[300:], tensor)
    # As logits a token of no text is pushed away from where it began, at the mean of the others.
    (matrix, *_) = [
        t for k, t in load_file(shared_home.runs / name / "model" / "model.safetensors").items() if "embed" in k
    ]
    start = matrix[:300].double().mean(0).float()
    moved = rows["model.embed_tokens.token_adapter.trainable_tokens_delta.default"] - start
    assert bool(moved.any()) == tied  # without a head on the same rows, nothing asks for a token of no text
    assert bool((rows.get("lm_head.token_adapter.trainable_tokens_delta.default", start + 1) != start).any())


def test_the_first_evaluation_happens_once(shared_home: Home) -> None:
    """Also where a run that trained no step, or whose first checkpoint did not come, begins again."""
    preset = preset_of(shared_home, "sft", "full", cadence={"evaluate_first": True, "checkpoint_steps": 2})
    run = new_run(shared_home, preset, "once")
    assert work(run, 1, fault="checkpoint.wrote_model:enospc:1") == 8  # at step 2: there is no checkpoint
    assert held_out(run)[0][0] == 0
    assert work(run, 2) == 0
    assert of(run, Resumed)[0].step == 0
    assert [step for step, _ in held_out(run)] == [0, 4]


@pytest.mark.parametrize("kind", LOW_RANK)
def test_a_resumed_run_has_the_bits_of_one_that_went_through(shared_home: Home, kind: str) -> None:
    preset = preset_of(shared_home, "sft", kind, steps=6, adapter={"kind": kind, "rank": 4, "dropout": 0.1})
    whole = new_run(shared_home, preset, f"whole-{kind}")
    assert work(whole, 1) == 0
    broken = new_run(shared_home, preset, f"broken-{kind}")
    broken_off(broken, saves=2)
    assert work(broken, 2) == 0
    assert of(broken, Resumed)[0].exact
    assert trace(broken) == trace(whole)


@pytest.mark.slow(reason="ten kills of each adapter, each a process with torch and peft, take minutes")
@pytest.mark.parametrize("kind", LOW_RANK)
def test_ten_kills_are_exact(shared_home: Home, kind: str) -> None:
    """F11: killed at random moments of its training, again and again."""
    preset = preset_of(shared_home, "sft", kind, steps=120, cadence={"checkpoint_steps": 4, "evaluate_steps": 20})
    whole = new_run(shared_home, preset, f"unkilled-{kind}")
    assert finish(whole, seconds=300) == 0
    draw, met, number = random.Random(29), 0, 0
    while met < 10:
        number += 1
        run = new_run(shared_home, preset, f"killed-{kind}-{number}")
        code = 1
        while code != 0:
            attempt = start(run)
            while not run.attempt(attempt).metrics.exists() and read_exit(run.attempt(attempt)) is None:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, 1.5))
            for pid in worker_of(run) if met < 10 else []:
                os.kill(pid, signal.SIGKILL)
            code = wait(run, attempt, seconds=300)
            met += code == 128 + 9
            assert code in (0, 128 + 9)
        assert trace(run) == trace(whole), f"run {number} of seed 29"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"adapter.rank": 8}, "adapter.rank: 4 → 8"),
        ({"adapter.targets": ["attention"]}, "adapter.targets: ['all-linear'] → ['attention']"),
        ({"adapter.alpha": 32.0}, "adapter.alpha: 16.0 → 32.0"),
        ({"model.run": "other"}, "model.run: base → other"),
    ],
    ids=["rank", "targets", "alpha", "base"],
)
def test_another_adapter_or_base_is_refused_with_both_values(
    shared_home: Home, change: dict[str, Any], words: str
) -> None:
    """F76."""
    if "model.run" in change and not (shared_home.runs / "other").exists():
        other = pretrain_preset(shared_home.path.parent / "texts", seed=3, schedule={"steps": 4})
        assert work(new_run(shared_home, other, "other"), 1) == 0
    name = next(iter(change)).replace(".", "-")
    run = new_run(shared_home, preset_of(shared_home, "sft", "lora"), f"swap-{name}")
    broken_off(run, saves=1)
    run.overrides(1).write_text(json.dumps({"set": change}))
    assert work(run, 2) == 4
    (failed,) = of(run, Failed)[-1:]
    assert words in failed.message
    if "model.run" in change:
        digests = [weights_digest(shared_home.runs / base / "model") for base in ("base", "other")]
        assert f"base.digest has changed since the checkpoint ({digests[0][:8]} → {digests[1][:8]})" in failed.message


def test_a_base_that_changed_under_its_name_is_refused(shared_home: Home, tmp_path: Path) -> None:
    run = new_run(shared_home, preset_of(shared_home, "sft", "qlora"), "changed-base")
    broken_off(run, saves=1)
    config = shared_home.runs / "base" / "model" / "config.json"
    before = config.read_bytes()
    config.write_bytes(before + b"\n")
    try:
        assert work(run, 2) == 4
    finally:
        config.write_bytes(before)
    (failed,) = of(run, Failed)[-1:]
    assert "base.digest" in failed.message
    assert work(run, 3) == 0
