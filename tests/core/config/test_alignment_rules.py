"""Rules of reward models, DPO, PPO and GRPO: each is the only problem, says what would hold, and holds at its edge."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from core.config.presets import Draft, problems
from tests.core.config.cases import (
    ADAPTERS,
    MODELS,
    SOURCES,
    TOKENIZERS,
    alignment,
    preference_data,
    prepare,
    prompt_data,
    text_data,
    training,
)

LORA, QLORA = ADAPTERS[1], ADAPTERS[2]
RUN = {"kind": "run", "run": "prepared"}
JUDGE = [{"kind": "run", "run": "judge"}]
EXACT = [{"kind": "exact"}]


def pairs(**fields: Any) -> dict[str, Any]:
    return prepare({**preference_data(), "tokenizer": dict(TOKENIZERS["load"]), **fields})


def prompts(**fields: Any) -> dict[str, Any]:
    return prepare({**prompt_data(), "tokenizer": dict(TOKENIZERS["load"]), **fields})


def rolled(phase: str, data: dict[str, Any] | None = None, **rollout: Any) -> dict[str, Any]:
    return alignment(phase, data, rollout={"responses": 16, "max_new_tokens": 32, **rollout})


def batched(phase: str, size: int, data: dict[str, Any] | None = None, **sections: Any) -> dict[str, Any]:
    return alignment(phase, data, batch={"size": size, "micro_size": 4, "sequence_length": 64}, **sections)


BROKEN: dict[str, tuple[dict[str, Any], str, str]] = {
    "a new reward model": (alignment("reward", model=dict(MODELS["scratch"])), "model.kind", "a model that exists"),
    "a new policy": (alignment("ppo", model=dict(MODELS["scratch"])), "model.kind", "a model that exists"),
    "new tokens": (alignment("dpo", {**preference_data(), "tokenizer": {"kind": "train"}}), "data.tokenizer.kind",
                   "model or load"),
    "long pairs": (alignment("reward", {**preference_data(), "max_tokens": 65}), "data.max_tokens", "at most"),
    "long pairs by default": (alignment("dpo", {k: v for k, v in preference_data().items() if k != "max_tokens"}),
                              "data.max_tokens", "sequence_length (64)"),
    "long prompts": (rolled("grpo", {**prompt_data(), "max_tokens": 64}), "data.max_tokens", "below"),
    "long responses": (rolled("ppo", max_new_tokens=33), "rollout.max_new_tokens", "at most 32"),
    "long responses by default": (alignment("ppo", rollout={"responses": 16}), "rollout.max_new_tokens", "at most 32"),
    "no room for a prompt": (rolled("ppo", RUN, max_new_tokens=64), "rollout.max_new_tokens", "at most 63"),
    "half a step": (rolled("ppo", responses=20), "rollout.responses", "batch.size (8); nearest: 16 or 24"),
    "half a step by default": (batched("ppo", 12, rollout={"max_new_tokens": 32}), "rollout.responses",
                               "batch.size (12); nearest: 60 or 72"),
    "half a group": (alignment("grpo", grpo={"group": 5}), "rollout.responses",
                     "batch.size (8) and of grpo.group (5); nearest: 40"),
    "compiled rollouts": (alignment("grpo", model={**MODELS["gguf"], "compile": True}), "model.compile", "false"),
    "judged answers for a reward model": (alignment("reward", {**preference_data(), "format": "judged"}),
                                          "data.format", "learns from pairs"),
    "judged answers for pairs": (alignment("dpo", {**preference_data(), "format": "judged"}), "dpo.loss", "kto"),
    "smoothed hinge": (alignment("dpo", dpo={"loss": "hinge", "label_smoothing": 0.1}), "dpo.label_smoothing",
                       "sigmoid"),
    "likelihood twice": (alignment("dpo", dpo={"loss": "orpo", "likelihood_weight": 1.0}), "dpo.likelihood_weight",
                         "must be 0"),
    "good pairs": (alignment("dpo", dpo={"good_weight": 2.0}), "dpo.good_weight", "kto"),
    "bad pairs": (alignment("dpo", dpo={"bad_weight": 0.5}), "dpo.bad_weight", "kto"),
    "no weights": (alignment("dpo", dpo={"loss": "kto", "bad_weight": 0, "good_weight": 0}), "dpo.bad_weight", "0"),
    "no adapter to switch off": (alignment("dpo", dpo={"reference": "each_step"}), "dpo.reference", "cached"),
    "no reference to compute": (alignment("dpo", dpo={"reference": "each_step", "loss": "orpo"}, adapter=dict(LORA)),
                                "dpo.reference", "no reference"),
    "target of a loss": (alignment("ppo", ppo={"kl": "loss", "kl_target": 6.0}), "ppo.kl_target", "ppo.kl reward"),
    "horizon of no target": (alignment("ppo", ppo={"kl_horizon": 64}), "ppo.kl_horizon", "only with ppo.kl_target"),
    "factors of 0": (alignment("ppo", ppo={"kl_coefficient": 0, "kl_target": 6.0}), "ppo.kl_coefficient", "above 0"),
    "value of several rewards": (alignment("ppo", ppo={"value_begins_with": "reward"}), "ppo.value_begins_with",
                                 "one reward"),
    "value of a rule": (alignment("ppo", rewards=EXACT, ppo={"value_begins_with": "reward"}), "ppo.value_begins_with",
                        "kind run"),
    "shared value": (alignment("ppo", rewards=JUDGE, ppo={"value_begins_with": "reward", "value": "shared"}),
                     "ppo.value_begins_with", "policy"),
    "a head offloaded": (alignment("ppo", ppo={"value": "shared", "offload": ["value"]}), "ppo.offload.0", "shared"),
    "a rule offloaded": (alignment("ppo", rewards=EXACT, ppo={"offload": ["policy", "reward"]}), "ppo.offload.1",
                         "is no model"),
    "offloaded twice": (alignment("ppo", ppo={"offload": ["policy", "policy"]}), "ppo.offload.1", "twice"),
    "one base offloaded": (alignment("ppo", ppo={"offload": ["reference"]}, adapter=dict(LORA)), "ppo.offload.0",
                           "one base"),
    "shared embeddings": (alignment("ppo", adapter={**QLORA, "embeddings": "whole"}), "adapter.embeddings", "with ppo"),
    "shared embeddings of groups": (alignment("grpo", adapter={**LORA, "embeddings": "whole"},
                                              grpo={"kl_coefficient": 0.1}), "adapter.embeddings", "kl_coefficient"),
    "shared embeddings of pairs": (alignment("dpo", adapter={**LORA, "embeddings": "whole"},
                                             dpo={"reference": "each_step"}), "adapter.embeddings", "each_step"),
    "samples of scores": (alignment("reward", cadence={"sample_steps": 5}), "cadence.sample_steps", "writes no text"),
    "code tests": (alignment("grpo", rewards=[{"kind": "code_tests"}]), "rewards.0.kind", "sandbox"),
    "half a pattern": (alignment("grpo", rewards=[*EXACT, {"kind": "regex", "pattern": "(a"}]), "rewards.1.pattern",
                       "no regular expression: missing )"),
    "no rewards": (alignment("ppo", rewards=[{"kind": "exact", "weight": 0}]), "rewards.0.weight", "nothing"),
    "packed pairs": (alignment("reward", {**RUN, "pack": False}), "data.pack", "leave it out in reward"),
    "prompts across": (alignment("ppo", {**RUN, "attend_across_documents": True}), "data.attend_across_documents",
                       "leave it out in ppo"),
    "no held-out pairs": (alignment("dpo", {**preference_data(), "held_out_fraction": 0},
                                    cadence={"evaluate_steps": 5}), "cadence.evaluate_steps", "is 0"),
    "text as pairs": (pairs(sources=[SOURCES["files"]]), "data.sources.0.kind", "preferences are rows"),
    "a template of pairs": (pairs(sources=[{**SOURCES["json"], "text_template": "{a}"}]),
                            "data.sources.0.text_template", "columns of preferences"),
    "pairs of a new tokenizer": (pairs(tokenizer={"kind": "train"}, template="chat"), "data.template", "chat template"),
    "pairs of no tokenizer": (prepare(preference_data()), "data.tokenizer.kind", "train or load"),
    "code tokens of pairs": (pairs(tokenizer={"kind": "train"}, template="code"), "data.tokenizer.special_tokens",
                             "data.template code"),
    "damage to pairs": (pairs(format="ranked", damage={"rule": "cut"}), "data.damage.rule", "worse answers"),
    "pairs of one": (pairs(format="alpaca"), "data.damage.rule", "a pair needs a worse one"),
    "cut pairs": (pairs(accept=["dropped_answers", "cut_answers"]), "data.accept.1", "both its answers whole"),
    "pairs of none": (pairs(format="prompts"), "data.format", "data.kind prompts"),
    "answers of prompts": (prompts(filters=[{"kind": "instruction_quality"}]), "data.filters.0.kind", "answers"),
    "lines of prompts": (prompts(filters=[{"kind": "c4_quality"}]), "data.filters.0.kind", "data.kind text"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_rule_is_the_only_problem_and_says_what_would_hold(name: str) -> None:
    values, path, words = BROKEN[name]
    (problem,) = problems(Draft(values))
    assert problem.path == path
    assert words in problem.message
    assert problem.found


@pytest.mark.parametrize(
    "values",
    [
        rolled("ppo", max_new_tokens=32),
        rolled("ppo", RUN, max_new_tokens=63),
        rolled("grpo", responses=48),
        alignment("grpo", grpo={"group": 5}, rollout={"responses": 40, "max_new_tokens": 32}),
        alignment("reward", model={**MODELS["gguf"], "compile": True}),
        alignment("dpo", {**preference_data(), "format": "judged"}, dpo={"loss": "kto", "good_weight": 0}),
        alignment("dpo", dpo={"label_smoothing": 0.4, "likelihood_weight": 1.0}),
        alignment("dpo", dpo={"reference": "each_step"}, adapter=dict(QLORA)),
        alignment("ppo", ppo={"kl": "loss", "kl_estimator": "k1"}),
        alignment("ppo", ppo={"kl_target": 6.0}),
        alignment("ppo", ppo={"kl_coefficient": 0}),
        alignment("ppo", rewards=JUDGE, ppo={"value_begins_with": "reward", "offload": ["reference", "reward"]}),
        alignment("ppo", rewards=[{"kind": "classifier", "path": "a/b"}], ppo={"offload": ["reward"]},
                  adapter=dict(LORA)),
        alignment("ppo", {**prompt_data(), "tokenizer": {"kind": "model", "added_tokens": ["<a>"]}},
                  adapter={**LORA, "embeddings": "new_tokens"}),
        alignment("grpo", adapter={**LORA, "embeddings": "whole"}),
        alignment("dpo", adapter={**LORA, "embeddings": "whole"}),
        alignment("reward", adapter={**LORA, "embeddings": "whole"}),
        alignment("ppo", cadence={"sample_steps": 5}),
        alignment("grpo", rewards=[{"kind": "exact", "weight": 0}, {"kind": "regex", "pattern": "a"}]),
        pairs(format="alpaca", damage={"rule": "other_answer"}),
        pairs(filters=[{"kind": "instruction_quality"}, {"kind": "exact_duplicates", "on": "response"}]),
        prompts(format="alpaca"),
        prompts(format="prompts", template="code"),
    ],
)  # fmt: skip
def test_the_edge_of_a_rule_holds(values: dict[str, Any]) -> None:
    assert problems(Draft(values)) == []


def test_all_that_is_wrong_comes_at_once_and_beside_wrong_fields() -> None:
    values = batched("ppo", 100, {**prompt_data(), "max_tokens": 64}, rollout={"responses": 5, "temperature": "hot"})
    values |= {"ppo": {"clip": 2, "kl": "loss", "kl_target": 1.0}, "rewards": [{"kind": "regex", "pattern": "["}]}
    values["model"] = {**MODELS["gguf"], "compile": True}
    assert {problem.path for problem in problems(Draft(values))} == {
        "data.max_tokens", "rollout.responses", "rollout.temperature", "ppo.clip", "ppo.kl_target",
        "rewards.0.pattern", "model.compile",
    }  # fmt: skip


def test_fine_tuning_needs_nothing_that_alignment_needs() -> None:
    assert problems(Draft(training("pretrain", text_data()))) == []
    unknown = copy.deepcopy({**alignment("ppo"), "phase": "zzz"})
    assert {problem.path for problem in problems(Draft(unknown))} == {"phase"}
