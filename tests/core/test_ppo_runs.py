"""Runs of PPO from configuration to result: every adapter, broken off and asked to leave, learning a toy task."""

from __future__ import annotations

import json
from statistics import fmean
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from core.run import session
from core.run.directory import Home, RunDirectory
from core.run.events import Evaluated, Failed, Finished, Notice, Resumed, Sampled, Started, Stopped
from core.run.metrics import MetricsReader
from core.training import policy_setup, writing
from core.training.actors import Actors
from core.training.checkpoint import load_newest
from tests.core.policy_runs import THE, check_killed, column, home_with_base, of, policy_preset, reward_of
from tests.training_runs import WORDS, new_run, trace, work

REWARDS = f"""import random
{THE}
def letters(prompts, responses, answers):
    # Uncertain by a global generator, which evaluations and samples ask too.
    return [text.count("e") / 4 + random.random() / 1000 for text in responses]

def fewer(prompts, responses, answers):
    return [-value for value in letters(prompts, responses, answers)]

def flaky(prompts, responses, answers):
    # As letters, but for an error while there is such a file, once something was trained.
    import pathlib
    flag = pathlib.Path(__file__).with_name("fails")
    if flag.exists() and len(responses) == 8 and flag.write_text(flag.read_text() + "x") == 2:
        raise ValueError("the judge is away")
    return letters(prompts, responses, answers)

def sometimes(prompts, responses, answers):
    return [float("nan") if number % 3 == 1 else 1.0 * number for number, _ in enumerate(responses)]

def never(prompts, responses, answers):
    return [float("inf") for _ in responses]
"""
LOW_RANK = {"rank": 4, "embeddings": "frozen"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home with a finished run named base, prompts and a file of rewards."""
    return home_with_base(tmp_path_factory.mktemp("ppo") / "home", REWARDS, dropout=0.1)


def preset_of(home: Home, *, function: str = "letters", **changes: Any) -> dict[str, Any]:
    sections = {
        "rewards": reward_of(home, function),
        "rollout": {"responses": 8, "max_new_tokens": 6, "micro_size": 8},
        "ppo": {"epochs": 2, "kl_target": 1.0, "kl_horizon": 100, "normalise_rewards": True, "reward_clip": 3.0},
        "schedule": {"kind": "linear", "peak_learning_rate": 3e-3, "steps": 12},
        "batch": {"size": 4, "micro_size": 2, "sequence_length": 128},
        "cadence": {"evaluate_steps": 4, "evaluate_first": True, "sample_steps": 3, "checkpoint_steps": 4},
    }
    return policy_preset(home, "ppo", sections, changes)


def trained(home: Home, name: str, **changes: Any) -> RunDirectory:
    run = new_run(home, preset_of(home, **changes), name)
    assert work(run, 1) == 0
    return run


@pytest.fixture(scope="module")
def whole(home: Home) -> RunDirectory:
    """A run that nothing disturbs: three rollouts of four updates."""
    return trained(home, "whole")


@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_every_adapter_begins_at_ratio_one_and_checkpointing_changes_no_bit(home: Home, kind: str) -> None:
    runs = [
        trained(
            home,
            f"{kind}-{on}",
            adapter={"kind": kind} | (LOW_RANK if kind != "full" else {}),
            model={"kind": "run", "run": "base", "gradient_checkpointing": on},
            schedule={"steps": 4},
        )
        for on in (False, True)
    ]
    for name in ("ratio_kl", "kl", "clip_fraction"):
        assert column(runs[0], name)[0] == pytest.approx(0.0, abs=1e-6)
    assert column(runs[0], "ratio")[0] == pytest.approx(1.0, abs=1e-6)
    assert column(runs[0], "ratio_kl")[-1] > 0
    plain, checkpointed = map(trace, runs)
    assert plain.parameters == checkpointed.parameters
    assert plain.rows == checkpointed.rows


def test_a_run_shows_what_it_does_before_and_after(whole: RunDirectory) -> None:
    assert [event.step for event in of(whole, Evaluated)] == [0, 4, 8, 12]
    assert all({"eval/reward", "eval/response_length", "eval/ended"} == set(e.values) for e in of(whole, Evaluated))
    sampled = of(whole, Sampled)
    assert [event.step for event in sampled] == [4] * 4 + [8] * 4 + [12] * 4
    assert all(len(event.marks) == len(event.tokens) == event.values["length"] for event in sampled)
    assert sampled[0].values["kl"] == pytest.approx(sum(sampled[0].marks))
    (started,), (finished,) = of(whole, Started), of(whole, Finished)
    assert started.steps == finished.step == 12
    assert finished.facts["eval/reward"] == of(whole, Evaluated)[-1].values["eval/reward"]
    assert "models_in_memory" in [notice.code for notice in of(whole, Notice)]
    reader = MetricsReader(whole)
    reader.refresh()
    for series in started.series:
        if series.name.startswith("train/"):
            assert all(value == value for value in reader.columns(series.name)[1]), series.name
    AutoModelForCausalLM.from_pretrained(whole.model)


@pytest.mark.parametrize(
    "fault", ["rollout.written:enospc:2", "rollout.updated:enospc:7", "checkpoint.wrote_state:eio:2"]
)
def test_a_run_that_breaks_off_ends_where_it_would_have(home: Home, whole: RunDirectory, fault: str) -> None:
    """While it writes, in the middle of the updates of a rollout, and while it saves."""
    run = new_run(home, preset_of(home), fault.replace(".", "-").replace(":", "-"))
    assert work(run, 1, fault=fault) == 8, "the fault did not fire"
    assert work(run, 2) == 0
    (resumed,) = of(run, Resumed)
    assert resumed.exact
    assert resumed.step == 4
    assert trace(run) == trace(whole)


def test_an_error_of_a_reward_costs_no_rollout_that_came_before(home: Home, whole: RunDirectory) -> None:
    run = new_run(home, preset_of(home, function="flaky", cadence={"checkpoint_steps": 0}), "judge-away")
    flag = home.path.parent / "fails"
    flag.touch()
    assert work(run, 1) != 0
    flag.unlink()
    assert "the judge is away" in of(run, Failed)[-1].message
    assert [path.name for path in run.checkpoints.glob("step-*")] == ["step-00000004"]
    assert work(run, 2) == 0
    assert of(run, Resumed)[-1].exact
    assert (trace(run).parameters, trace(run).rows) == (trace(whole).parameters, trace(whole).rows)


def test_asked_to_leave_while_it_writes_a_run_gives_the_rollout_up(
    home: Home, whole: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "POLL_SECONDS", 0.0)
    # Without another checkpoint at that step, so that leaving saves the one that counts.
    run = new_run(home, preset_of(home, cadence={"checkpoint_steps": 0}), "left-writing")
    asked = ask_to_stop(monkeypatch, run, during=4)  # an evaluation, the first rollout, samples, the second
    assert work(run, 1) == 0
    assert asked == [1, 2, 3, 4]
    assert [event.step for event in of(run, Stopped)] == [4]
    run.stop.unlink()  # which `launch` does
    assert work(run, 2) == 0
    assert trace(run) == trace(whole)


def ask_to_stop(monkeypatch: pytest.MonkeyPatch, run: RunDirectory, *, during: int) -> list[int]:
    """Ask the run to stop within the `during`th time that its policy writes; return what counts these."""
    real, calls = writing.respond, list[int]()

    def respond(model: Any, prompts: Any, asked: Any, **more: Any) -> Any:
        if asked.temperature or not calls:
            calls.append(len(calls) + 1)
        if len(calls) == during:
            run.stop.touch()
        return real(model, prompts, asked, **more)

    monkeypatch.setattr(writing, "respond", respond)
    return calls


def test_more_steps_go_on_as_if_they_had_been_there_from_the_start(home: Home) -> None:
    """A run ends with a whole rollout, so 10 steps are 12, and 14 are 16."""
    schedule = {"kind": "constant", "steps": 14}
    longer = trained(home, "longer", schedule=schedule)
    run = trained(home, "extended", schedule={**schedule, "steps": 10})
    assert [event.step for event in of(run, Finished)] == [12]
    run.overrides(1).write_text(json.dumps({"set": {"schedule.steps": 14}}))
    assert work(run, 2) == 0
    assert [event.step for event in of(run, Finished)] == [12, 16]
    ours, theirs = trace(run), trace(longer)
    assert (ours.parameters, ours.rows) == (theirs.parameters, theirs.rows)


def test_rewards_that_are_no_numbers_are_left_out_and_said(home: Home) -> None:
    run = trained(home, "sometimes", function="sometimes", schedule={"steps": 4})
    (notice,) = [notice for notice in of(run, Notice) if notice.code == "non_finite_reward"]
    assert "3 of 8 responses of rollout 0 are left out" in notice.message
    assert column(run, "score") == [pytest.approx((0 + 2 + 3 + 5 + 6) / 5)] * 4
    run = new_run(home, preset_of(home, function="never", cadence={"max_skipped_steps": 1}), "never")
    assert work(run, 1) == 6
    assert "2 rollouts in a row taught nothing" in of(run, Failed)[-1].message


def test_updates_that_move_the_policy_far_are_the_last_of_their_rollout(home: Home) -> None:
    ppo = {"epochs": 8, "stop_kl": 1e-4, "value": "shared"}
    run = trained(home, "far", ppo=ppo, schedule={"peak_learning_rate": 1e-2, "kind": "constant", "steps": 16})
    loaded = load_newest(run)
    assert loaded is not None
    assert loaded.snapshot.state["method"]["rollout"] > 1, "16 updates would have been one rollout"
    assert of(run, Finished)[0].step >= 16
    assert "value.weight" in loaded.snapshot.tensors["model"]
    assert "value.weight" not in load_file(run.model / "model.safetensors"), "the policy alone is exported"


@pytest.mark.parametrize("kind", ["full", "lora"])
def test_a_reward_run_judges_and_the_value_function_begins_as_it(
    home: Home, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """With an adapter on the same base the two share it."""
    answers = [{"chosen": f"{WORDS[n % 5]} the the", "rejected": f"of {WORDS[n % 3]}"} for n in range(24)]
    rows = [{"prompt": f"{WORDS[n % 15]} {WORDS[n % 7]}", **one} for n, one in enumerate(answers)]
    path = home.path.parent / "pairs.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    adapter = {"kind": kind} | (LOW_RANK if kind != "full" else {})
    preset = preset_of(home)
    data = {**preset["data"], "kind": "preferences", "sources": [{"kind": "json", "path": str(path)}]}
    judge = {name: preset[name] for name in ("about", "model", "schedule", "batch", "precision")}
    judge |= {"phase": "reward", "data": data, "adapter": adapter, "cadence": {}}
    assert work(new_run(home, judge, f"judge-{kind}"), 1) == 0

    seen: list[Any] = []
    real = policy_setup.actors_of
    monkeypatch.setattr(policy_setup, "actors_of", lambda *a, **k: seen.append(noted(real(*a, **k))) or seen[0][0])
    rewards = [{"kind": "run", "run": f"judge-{kind}"}]
    ppo = {"value_begins_with": "reward"}
    run = trained(home, f"judged-{kind}", rewards=rewards, adapter=adapter, ppo=ppo, schedule={"steps": 4})
    actors, values = seen[0]
    (notice,) = [notice.message for notice in of(run, Notice) if notice.code == "models_in_memory"]
    assert notice.startswith("4 models")
    if kind == "full":
        scores = load_file(home.runs / "judge-full" / "model" / "model.safetensors")
        assert torch.equal(values["value.weight"], scores["score.weight"])
        body = [name for name in values if name.startswith("model.")]
        assert len(body) > 5
        assert all(torch.equal(values[name], scores[name]) for name in body)
    else:
        role = actors.rewards["judge-lora"]
        trained_of = dict(actors.policy.model.named_parameters())
        names = [name for name in values if f".{role.adapter}." in name and "lora_" in name]
        assert names
        assert all(torch.equal(values[name.replace(f".{role.adapter}.", ".value.")], values[name]) for name in names)
        assert all(torch.equal(trained_of[name], values[name]) for name in names), "the reward's adapter moved"
        assert any(bool(values[name].any()) for name in names if "lora_B" in name), "the reward's adapter is empty"
        assert role.model is actors.policy.model
    assert column(run, "score")[0] != 0


def noted(actors: Actors) -> tuple[Actors, dict[str, Any]]:
    """Return the models of a run with copies of the value function's parameters as they are at the start."""
    assert actors.value is not None
    return actors, {name: p.detach().clone() for name, p in actors.value.model.named_parameters()}


@pytest.mark.slow(reason="real processes, killed ten times each")
@pytest.mark.parametrize("kind", ["full", "lora", "qlora"])
def test_a_run_that_is_killed_again_and_again_ends_where_it_would_have(
    home: Home, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    adapter = {"kind": kind} | (LOW_RANK if kind != "full" else {})
    check_killed(home, preset_of(home, adapter=adapter, schedule={"steps": 48}), kind, monkeypatch)


TOY: dict[str, Any] = {
    "schedule": {"kind": "constant", "peak_learning_rate": 1e-2, "warmup_steps": 2, "steps": 120},
    "rollout": {"responses": 64, "micro_size": 64},
    "batch": {"size": 64, "micro_size": 64},
    "cadence": {"evaluate_first": True, "evaluate_steps": 0, "sample_steps": 0, "checkpoint_steps": 0},
}


@pytest.mark.slow(reason="runs of 60 rollouts")
def test_a_toy_task_is_learned_and_a_great_coefficient_holds_the_policy(home: Home) -> None:
    """The optimum is 1: a response of nothing but " the"."""
    ppo: dict[str, Any] = {"epochs": 2, "kl_target": None, "kl_horizon": 10_000, "kl_coefficient": 0.001}
    ppo |= {"normalise_rewards": False, "reward_clip": None}
    learned = trained(home, "learned", function="the", ppo=ppo, **TOY)
    held_out = [event.values["eval/reward"] for event in of(learned, Evaluated)]
    assert held_out[0] < 0.5
    assert held_out[-1] > 0.9
    assert fmean(column(learned, "score")[-4:]) > 0.9
    assert 4 < column(learned, "kl")[-1] < 40  # 6 tokens, each of which was one of 300

    ppo = {**ppo, "kl": "loss", "kl_estimator": "k2", "kl_coefficient": 1000.0}
    held = trained(home, "held", function="the", ppo=ppo, **TOY)
    assert max(map(abs, column(held, "kl"))) < 1.5  # not 0: Adam's steps have one size, however small the gradient
    assert column(held, "score")[-1] == pytest.approx(column(learned, "score")[0], abs=0.1)


@pytest.mark.slow(reason="runs of 60 rollouts")
def test_a_reversed_reward_goes_the_other_way(home: Home) -> None:
    ppo = {"epochs": 2, "kl_target": None, "kl_horizon": 10_000, "kl_coefficient": 0.001}
    more = column(trained(home, "more", ppo=ppo, **TOY), "score")
    fewer = column(trained(home, "fewer", function="fewer", ppo=ppo, **TOY), "score")
    assert fewer[0] == -more[0]  # the same responses
    assert fmean(more[-4:]) > 1.5 * more[0]
    assert -fmean(fewer[-4:]) < 0.3 * more[0]
