"""DPO and its kin from configuration to result: with each adapter and loss, resumed, refused, the reference kept."""

from __future__ import annotations

import math
from typing import Any

import pytest
from safetensors.torch import load_file

from core.model.base_record import weights_digest
from core.run.directory import Home, RunDirectory
from core.run.events import Evaluated, Failed, Notice, Progress, Resumed, Sampled, Started
from core.run.metrics import MetricsReader
from tests.core.preference_runs import home_with_base, of, preference_preset
from tests.training_runs import broken_off, finish, new_run, trace, work

slow = pytest.mark.slow(reason="runs of the same kind as those by default; together they take half a minute")
PAIRED = {"eval/loss", "eval/accuracy", "eval/margin", "eval/chosen_reward", "eval/rejected_reward"}


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return home_with_base(tmp_path_factory.mktemp("dpo") / "home")


def column(run: RunDirectory, name: str) -> list[float]:
    reader = MetricsReader(run)
    reader.refresh()
    return [float(value) for value in reader.columns(name)[1]]


def reference_was_computed(run: RunDirectory) -> bool:
    return any(event.stage == "reference" for event in of(run, Progress))


@pytest.mark.parametrize("kind", ["full", pytest.param("lora", marks=slow), "qlora"])
def test_it_learns_with_each_adapter_and_gradient_checkpointing_changes_no_bit(shared_home: Home, kind: str) -> None:
    base = weights_digest(shared_home.runs / "base" / "model")
    runs = []
    changes: dict[str, Any] = {"schedule": {"peak_learning_rate": 3e-4}} if kind == "full" else {}
    for checkpointing in (False, True):
        changes["model"] = {"gradient_checkpointing": checkpointing}
        preset = preference_preset(shared_home, "dpo", kind, **changes)
        run = new_run(shared_home, preset, f"{kind}-{int(checkpointing)}")
        assert work(run, 1) == 0
        runs.append(run)
    assert trace(runs[0]) == trace(runs[1])
    assert weights_digest(shared_home.runs / "base" / "model") == base
    first, last = of(runs[0], Evaluated)
    assert last.values.keys() == PAIRED
    assert first.values["eval/loss"] == pytest.approx(math.log(2), abs=1e-4)
    (started,) = of(runs[0], Started)
    assert started.facts["guess_loss"] == pytest.approx(math.log(2))
    assert first.values["eval/margin"] == pytest.approx(0, abs=1e-4)
    assert last.values["eval/loss"] < first.values["eval/loss"]
    assert last.values["eval/margin"] > 0
    assert column(runs[0], "train/loss")[0] == pytest.approx(math.log(2), abs=1e-4)
    assert column(runs[0], "train/margin")[0] == pytest.approx(0, abs=1e-4)
    assert of(runs[0], Sampled)
    # The base of the tests has dropout, with which a policy would not begin as its reference.
    assert [event for event in of(runs[0], Notice) if event.code == "no_dropout"]
    # Another way to the same bits makes no other reference.
    assert reference_was_computed(runs[0])
    assert not reference_was_computed(runs[1])
    (started,) = of(runs[0], Started)
    trained = load_file(max(runs[0].checkpoints.glob("step-????????")) / "model.safetensors")
    assert started.facts["trainable_parameters"] == sum(tensor.numel() for tensor in trained.values())
    if kind != "full":
        assert all(".lora_" in name for name in trained)


@pytest.mark.parametrize(
    ("dpo", "rows"),
    [
        pytest.param({"loss": "ipo"}, "pairs", marks=slow),
        ({"loss": "orpo", "beta": 0.5}, "pairs"),
        pytest.param({"loss": "kto", "beta": 0.5}, "pairs", marks=slow),
        ({"loss": "kto", "beta": 0.5}, "judged"),
        ({"loss": "sigmoid", "likelihood_weight": 0.5, "reference": "each_step"}, "pairs"),
    ],
    ids=["ipo", "orpo", "kto", "kto_judged", "each_step"],
)
def test_each_loss_falls(shared_home: Home, dpo: dict[str, Any], rows: str) -> None:
    name = f"{dpo['loss']}-{rows}"
    run = new_run(shared_home, preference_preset(shared_home, "dpo", "lora", rows=rows, dpo=dpo), name)
    assert work(run, 1) == 0
    first, last = of(run, Evaluated)
    assert last.values["eval/loss"] < first.values["eval/loss"]
    assert ("eval/accuracy" in last.values) == (rows == "pairs")
    assert ("eval/reference_point" in last.values) == (dpo["loss"] == "kto")
    facts = of(run, Started)[0].facts
    assert (facts["train_pairs"] > 0, facts["judged_answers"] > 0) == (rows == "pairs", rows == "judged")
    if "reference" in dpo or dpo["loss"] == "orpo":
        assert not reference_was_computed(run)


@pytest.mark.parametrize("loss", ["sigmoid", pytest.param("kto", marks=slow)])
def test_a_run_that_was_broken_off_ends_as_one_that_was_not(shared_home: Home, loss: str) -> None:
    changes = {"dpo": {"loss": loss}, "schedule": {"steps": 6}, "adapter": {"dropout": 0.1}}
    preset = preference_preset(shared_home, "dpo", "lora", **changes)
    whole, broken = (new_run(shared_home, preset, f"{name}-{loss}") for name in ("whole", "broken"))
    assert work(whole, 1) == 0
    broken_off(broken, saves=1)
    for path in (shared_home.cache / "references").iterdir():
        path.write_bytes(path.read_bytes()[:-1] + b"?")  # it is computed again, from the base and not from step 2
    assert work(broken, 2) == 0
    assert trace(broken) == trace(whole)
    (resumed,) = of(broken, Resumed)
    assert (resumed.step, resumed.exact) == (2, True)
    assert [event for event in of(broken, Notice) if event.code == "reference_damaged"]


@slow
@pytest.mark.parametrize("phase", ["reward", "dpo"])
def test_a_run_that_was_killed_ends_as_one_that_was_not(
    shared_home: Home, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    """In processes of their own: what is kept of the reference outlives the one that was killed."""
    preset = preference_preset(shared_home, phase, schedule={"steps": 6})
    whole, killed = (new_run(shared_home, preset, f"{phase}-{name}") for name in ("unharmed", "killed"))
    assert finish(whole) == 0
    monkeypatch.setenv("FOOTPLATE_FAULT", "checkpoint.committed:kill9:1")
    assert finish(killed) == 128 + 9
    monkeypatch.delenv("FOOTPLATE_FAULT")
    assert finish(killed) == 0
    assert trace(killed) == trace(whole)


def test_answers_that_were_judged_are_no_pairs(shared_home: Home) -> None:
    run = new_run(shared_home, preference_preset(shared_home, "dpo", rows="judged"), "judged")
    assert work(run, 1) == 5
    (failed,) = of(run, Failed)
    assert "dpo.loss: sigmoid compares two answers" in failed.message
