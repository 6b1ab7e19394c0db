"""Reward models from configuration to result: with each adapter, resumed, refused, loaded again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.data.tokens.shards import TokenShards
from core.model.base_record import weights_digest
from core.model.reading import Reading
from core.model.reward_model import load_reward_model
from core.model.reward_record import read_reward_record
from core.model.scalar_head import document_scores
from core.run.directory import Home
from core.run.events import Evaluated, Failed, Finished, Notice, Resumed, Sampled, Started
from core.training.pairs import PairRows, pack_pairs
from tests.core.preference_runs import home_with_base, of, preference_preset
from tests.training_runs import broken_off, new_run, trace, work

slow = pytest.mark.slow(reason="a run of the same kind as those by default")
SHOWN = {
    "eval/loss", "eval/accuracy", "eval/margin", "eval/confidence", "eval/calibration_error", "eval/chosen_mean",
    "eval/rejected_mean", "eval/score_spread", "eval/score_p05", "eval/score_p50", "eval/score_p95",
}  # fmt: skip


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return home_with_base(tmp_path_factory.mktemp("reward") / "home")


def scores_of(home: Home, run: Any) -> torch.Tensor:
    """Return the scores that the written model gives to held-out pairs, (pairs, 2)."""
    (finished,) = of(run, Finished)
    model = load_reward_model(run.model, home)
    rows = PairRows(TokenShards(Path(finished.facts["data"]), "held_out"), length=64)
    scores = []
    for number in range(len(rows)):
        batch = pack_pairs([rows[number]], numbers=(number,))
        with torch.no_grad():
            scores.append(document_scores(model, Reading("unpacked", "matrix"), batch.packed))
    return torch.stack(scores)


@pytest.mark.parametrize("kind", ["full", pytest.param("lora", marks=slow), "qlora"])
def test_it_learns_with_each_adapter_and_gradient_checkpointing_changes_no_bit(shared_home: Home, kind: str) -> None:
    base = weights_digest(shared_home.runs / "base" / "model")
    runs = []
    for checkpointing in (False, True):
        changes = {"model": {"gradient_checkpointing": checkpointing}, "schedule": {"steps": 16}}
        run = new_run(
            shared_home, preference_preset(shared_home, "reward", kind, **changes), f"{kind}-{int(checkpointing)}"
        )
        assert work(run, 1) == 0
        runs.append(run)
    assert trace(runs[0]) == trace(runs[1])
    assert weights_digest(shared_home.runs / "base" / "model") == base
    first, last = of(runs[0], Evaluated)
    assert last.values.keys() == SHOWN
    assert last.values["eval/loss"] < 0.6 < first.values["eval/loss"]
    assert not of(runs[0], Sampled)
    (started,) = of(runs[0], Started)
    trained = load_file(max(runs[0].checkpoints.glob("step-????????")) / "model.safetensors")
    assert started.facts["trainable_parameters"] == sum(tensor.numel() for tensor in trained.values())
    assert "score.weight" in trained
    assert started.facts["guess_loss"] == pytest.approx(math.log(2))
    if kind != "full":
        assert all(".lora_" in name or name == "score.weight" for name in trained)
    record = read_reward_record(runs[0].model)
    assert (record.template, record.base_digest) == ("alpaca", base)

    scores = scores_of(shared_home, runs[0]).double()
    margin = float((scores[:, 0] - scores[:, 1]).mean())
    assert margin == pytest.approx(last.values["eval/margin"], abs=1e-5)
    assert float(scores[:, 0].mean()) == pytest.approx(last.values["eval/chosen_mean"], abs=1e-5)
    (words,) = [event for event in of(runs[0], Notice) if event.code == "calibration"]
    assert "of the held-out pairs it tells" in words.message


def test_a_run_that_was_broken_off_ends_as_one_that_was_not(shared_home: Home) -> None:
    preset = preference_preset(shared_home, "reward", "lora", reward={"centring": 0.1}, schedule={"steps": 6})
    whole, broken = (new_run(shared_home, preset, name) for name in ("whole", "broken"))
    assert work(whole, 1) == 0
    broken_off(broken, saves=1)
    assert work(broken, 2) == 0
    assert trace(broken) == trace(whole)
    (resumed,) = of(broken, Resumed)
    assert (resumed.step, resumed.exact) == (2, True)


def test_answers_that_were_judged_are_no_pairs(shared_home: Home) -> None:
    run = new_run(shared_home, preference_preset(shared_home, "reward", rows="judged"), "judged")
    assert work(run, 1) == 5
    (failed,) = of(run, Failed)
    assert "a reward model compares two answers" in failed.message
    assert "kto" in failed.hint


def test_dropout_is_off_when_it_scores(shared_home: Home) -> None:
    """The base has dropout: two evaluations of the same weights, with a learning rate of next to nothing, are equal."""
    changes = {"schedule": {"peak_learning_rate": 1e-12}, "cadence": {"evaluate_steps": 1}}
    run = new_run(shared_home, preference_preset(shared_home, "reward", **changes), "still")
    assert work(run, 1) == 0
    losses = [event.values["eval/loss"] for event in of(run, Evaluated)]
    assert len(losses) == 5
    assert all(math.isclose(loss, losses[0], abs_tol=1e-6) for loss in losses)
