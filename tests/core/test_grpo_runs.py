"""Runs of GRPO from configuration to result: with every adapter, dealt out in other ways, resumed, and learning."""

from __future__ import annotations

import json
import math
from statistics import fmean
from typing import Any

import pytest

from core.run.directory import Home, RunDirectory
from core.run.events import Evaluated, Finished, Notice, Resumed, Sampled, Started
from core.training.checkpoint import load_newest
from tests.core.policy_runs import THE, check_killed, column, home_with_base, of, policy_preset, reward_of
from tests.training_runs import WORDS, broken_off, new_run, trace, work

REWARDS = f"""{THE}
def vowels(prompts, responses, answers):
    return [sum(map(text.count, "aeiou")) / len(text) if text else 0.0 for text in responses]

def no_vowels(prompts, responses, answers):
    return [-value for value in vowels(prompts, responses, answers)]

def flat(prompts, responses, answers):
    # Differs between prompts, not between the responses to one.
    return [float(len(prompt)) for prompt in prompts]
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a finished run named base, prompts and a file of rewards."""
    return home_with_base(tmp_path_factory.mktemp("grpo") / "home", REWARDS, dropout=0.0)


def preset_of(home: Home, *, phase: str = "grpo", **changes: Any) -> dict[str, Any]:
    sections = {
        "rewards": reward_of(home, "the"),
        "rollout": {"responses": 16, "max_new_tokens": 6, "micro_size": 16},
        "grpo": {"group": 4},
        "schedule": {"kind": "constant", "peak_learning_rate": 3e-3, "steps": 4},
        "batch": {"size": 8, "micro_size": 4, "sequence_length": 128},
        "cadence": {"evaluate_steps": 2, "sample_steps": 2, "checkpoint_steps": 2, "log_steps": 1},
    }
    return policy_preset(home, phase, sections, changes)


def trained(home: Home, name: str, **changes: Any) -> RunDirectory:
    run = new_run(home, preset_of(home, **changes), name)
    assert work(run, 1) == 0
    return run


def held_out(run: RunDirectory) -> list[float]:
    return [event.values["eval/reward"] for event in of(run, Evaluated)]


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_every_adapter_begins_at_ratio_one_and_at_the_reference(home: Home, kind: str, checkpointing: bool) -> None:
    run = trained(
        home,
        f"{kind}-{checkpointing}",
        adapter={"kind": kind} | ({"rank": 4} if kind != "full" else {}),
        model={"kind": "run", "run": "base", "gradient_checkpointing": checkpointing},
        grpo={"group": 4, "kl_coefficient": 0.1, "drop_flat_groups": False},
    )
    ratio_kl, divergence, clipped = (column(run, name) for name in ("ratio_kl", "kl", "clip_fraction"))
    assert ratio_kl[0] == pytest.approx(0.0, abs=1e-4)
    assert divergence[0] == pytest.approx(0.0, abs=1e-4)
    assert clipped[0] == 0.0
    assert divergence[-1] != 0.0
    assert max(column(run, "flat_groups")) <= 1.0
    assert of(run, Finished)
    assert all(event.values["reward"] >= 0 and event.marks for event in of(run, Sampled))


@pytest.mark.slow(reason="four runs")
@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_reward_run_judges_with_weights_of_its_own_or_the_policys(home: Home, kind: str) -> None:
    adapter = {"kind": kind} | ({"rank": 4} if kind != "full" else {})
    pairs = [{"prompt": f"{WORDS[n % 15]} {n}", "chosen": "the the", "rejected": f"of {n}"} for n in range(30)]
    path = home.path.parent / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, pairs)) + "\n", encoding="utf-8")
    source = {"kind": "json", "path": str(path)}
    data = {"kind": "preferences", "sources": [source], "template": "alpaca", "max_tokens": 100}
    data["held_out_fraction"] = 0.2
    judge = preset_of(home, phase="reward", adapter=adapter, schedule={"steps": 6}, cadence={"sample_steps": 0})
    judge = {name: judge[name] for name in judge.keys() - {"rewards", "rollout", "grpo"}} | {"data": data}
    assert work(new_run(home, judge, f"judge-{kind}"), 1) == 0
    rewards = [{"kind": "run", "run": f"judge-{kind}"}, {"kind": "regex", "pattern": "the", "weight": 0.5}]
    run = trained(home, f"judged-{kind}", adapter=adapter, rewards=rewards, grpo={"group": 4, "kl_coefficient": 0.1})
    assert len(column(run, "reward")) == 4
    (words,) = [notice.message for notice in of(run, Notice) if notice.code == "models_in_memory"]
    assert words.startswith("3 models")
    assert ("reference shares the base" in words) == (kind == "lora")


def test_without_a_learning_rate_the_ratio_stays_one_for_all_epochs(home: Home) -> None:
    schedule = {"kind": "constant", "peak_learning_rate": 1e-30, "steps": 6}
    grpo = {"group": 4, "epochs": 3, "kl_coefficient": 0.1, "drop_flat_groups": False}
    run = trained(home, "still", schedule=schedule, grpo=grpo)
    assert len(column(run, "loss")) == 6
    for name in ("ratio_kl", "kl", "clip_fraction"):
        assert column(run, name) == pytest.approx([0.0] * 6, abs=1e-4)


def test_neither_micro_batches_nor_how_many_are_written_at_once_change_anything(home: Home) -> None:
    changes: dict[str, Any] = {"grpo": {"group": 4, "epochs": 2, "loss": "token", "clip_high": 0.3}}
    whole = trained(home, "in-eights", batch={"size": 8, "micro_size": 8}, **changes)
    rollout = {"micro_size": 3}
    parts = trained(home, "in-twos", batch={"size": 8, "micro_size": 2}, rollout=rollout, **changes)
    for name in ("loss", "grad_norm", "reward", "entropy"):
        assert column(parts, name) == pytest.approx(column(whole, name), abs=2e-5)
    assert held_out(parts) == pytest.approx(held_out(whole), abs=1e-6)


def test_a_run_that_breaks_off_ends_where_it_would_have(home: Home) -> None:
    changes: dict[str, Any] = {"grpo": {"group": 4, "kl_coefficient": 0.1, "epochs": 2}, "schedule": {"steps": 12}}
    whole = trained(home, "whole", **changes)
    run = new_run(home, preset_of(home, **changes), "broken")
    broken_off(run, saves=2)
    assert work(run, 2) == 0
    assert of(run, Resumed)[0].exact
    assert trace(run) == trace(whole)


@pytest.mark.slow(reason="a real process, killed ten times")
def test_a_run_that_is_killed_again_and_again_ends_where_it_would_have(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    grpo = {"group": 4, "kl_coefficient": 0.1, "epochs": 2}
    check_killed(home, preset_of(home, grpo=grpo, schedule={"steps": 48}), "grpo", monkeypatch)


def test_only_flat_groups_give_a_notice_and_no_update(home: Home) -> None:
    rewards = reward_of(home, "flat")
    cadence = {"evaluate_steps": 2, "max_skipped_steps": 1}
    run = new_run(home, preset_of(home, rewards=rewards, cadence=cadence), "flat")
    assert work(run, 1) == 6
    notices = [event for event in of(run, Notice) if event.code == "nothing_learned"]
    assert [notice.step for notice in notices] == [0, 0]
    assert column(run, "loss") == []


def test_a_run_ends_before_its_last_step_where_nothing_is_left_to_learn(home: Home) -> None:
    """The reward is flat from the second rollout on."""
    path = home.path.parent / "once.py"
    body = "    calls.append(1)", "    return [len(text) * (len(calls) < 2) for text in r]"
    lines = "calls = []", "def reward(p, r, a):", *body
    path.write_text("\n".join(lines), encoding="utf-8")
    cadence = {"checkpoint_steps": 2, "max_skipped_steps": 2, "evaluate_steps": 0, "sample_steps": 0}
    rewards = [{"kind": "python", "path": str(path)}]
    run = trained(home, "sated", rewards=rewards, cadence=cadence, schedule={"steps": 40})
    assert [event.step for event in of(run, Finished)] == [2]
    notices = [notice for notice in of(run, Notice) if notice.code.startswith("nothing")]
    assert [notice.code for notice in notices] == ["nothing_learned"] * 3 + ["nothing_left"]
    assert "from rollout 1:" in notices[0].message
    assert (run.checkpoints / "step-00000002").is_dir()
    assert [event.step for event in of(run, Evaluated)] == [2]


def test_a_run_of_epochs_ends_with_them_however_many_groups_were_flat(home: Home) -> None:
    """One pass over the prompts, 4 a rollout: from the first half of the rollouts nothing is learned."""
    path = home.path.parent / "late.py"
    body = "    calls.append(1)", "    return [len(text) * (len(calls) > 4) for text in r]"
    path.write_text("\n".join(("calls = []", "def reward(p, r, a):", *body)), encoding="utf-8")
    schedule = {"kind": "linear", "epochs": 1.0, "steps": None}
    cadence = {"evaluate_steps": 0, "sample_steps": 0, "checkpoint_steps": 0, "max_skipped_steps": 20}
    rewards, grpo = [{"kind": "python", "path": str(path)}], {"group": 4, "drop_flat_groups": True}
    run = trained(home, "epochs", rewards=rewards, grpo=grpo, schedule=schedule, cadence=cadence)
    (started,), (finished,) = of(run, Started), of(run, Finished)
    assert started.steps == 2 * math.ceil(started.facts["train_prompts"] / 4)
    loaded = load_newest(run)
    assert loaded is not None
    assert loaded.snapshot.state["method"]["rollout"] == started.steps / 2
    assert loaded.snapshot.step == finished.step < started.steps
    assert [event.step for event in of(run, Evaluated)] == [finished.step]
    assert column(run, "learning_rate")[-1] <= 3e-3 * 2 / started.steps, "it falls as if every update had been made"


TOY: dict[str, Any] = {
    "schedule": {"kind": "constant", "peak_learning_rate": 1e-2, "warmup_steps": 2, "steps": 30},
    "rollout": {"responses": 64, "micro_size": 64},
    "batch": {"size": 64, "micro_size": 64},
    "cadence": {"evaluate_first": True, "evaluate_steps": 15, "log_steps": 1},
}


@pytest.mark.slow(reason="runs of 30 rollouts")
def test_a_toy_task_is_learned_and_a_great_coefficient_holds_the_policy(home: Home) -> None:
    """The optimum is 1: a response of nothing but " the"."""
    learned = trained(home, "learned", grpo={"group": 8, "kl_coefficient": 0.001}, **TOY)
    before, after = held_out(learned)[0], column(learned, "reward")[-1]
    assert before < 0.5
    assert after > 0.9
    assert held_out(learned)[-1] > 0.9
    assert 4 < column(learned, "kl")[-1] < 40  # 6 tokens, each of which was one of 300

    held = trained(home, "held", grpo={"group": 8, "kl_coefficient": 1000.0}, **TOY)
    assert max(map(abs, column(held, "kl"))) < 1  # not 0: Adam's steps have one size, however small the gradient
    assert column(held, "reward")[-1] == pytest.approx(column(learned, "reward")[0], abs=0.1)


@pytest.mark.slow(reason="runs of 30 rollouts")
def test_a_reversed_reward_goes_the_other_way(home: Home) -> None:
    found = {}
    for function in ("vowels", "no_vowels"):
        rewards = reward_of(home, function)
        found[function] = column(trained(home, function, grpo={"group": 8}, rewards=rewards, **TOY), "reward")
    start = found["vowels"][0]
    assert found["no_vowels"][0] == -start  # the same responses
    assert fmean(found["vowels"][-3:]) > 1.5 * start
    assert -fmean(found["no_vowels"][-3:]) < 0.2 * start
