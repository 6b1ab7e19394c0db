"""Rules between the fields of reward, dpo, ppo and grpo presets; see core/config/rules.py.

model      exists already, and so does its tokenizer
lengths    an answer with its prompt fits into a sequence, and so does what a rollout may write
rollout    responses are whole steps and whole groups; nothing of changing length is compiled
dpo        each of its numbers counts only with the losses that know it
ppo        how a KL divergence is adapted, what a value function begins as, what can be offloaded
rewards    one has a weight; patterns can be read; code is not run yet
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import lcm

from core.config.partial import Partial
from core.config.yaml_text import Value, shown
from core.errors import Problem

_ROLLING = ("ppo", "grpo")
_PAIRED = ("reward", "dpo")


def _model(draft: Partial) -> Iterator[Problem]:
    if draft.at("model.kind") == "scratch":
        message = "must be a model that exists (pretrained, gguf, run or preset): a new one has nothing to be aligned"
        yield Problem("model.kind", message, found="scratch")
    elif draft.at("data.tokenizer.kind") == "train":
        message = "must be model or load: the ids of a new tokenizer mean nothing to a model that exists"
        yield Problem("data.tokenizer.kind", message, found="train")


def _lengths(draft: Partial) -> Iterator[Problem]:
    sequence = draft.whole("batch.sequence_length")
    is_rolling, kind = draft.at("phase") in _ROLLING, draft.at("data.kind")
    default = {"preferences": 2048, "prompts": 1024}.get(str(kind))
    longest = draft.whole("data.max_tokens", default) if default else 0
    if sequence is None or longest is None:
        return
    if longest + is_rolling > sequence:
        relation = "below" if is_rolling else "at most"
        message = f"must be {relation} batch.sequence_length ({sequence:,})"
        yield Problem("data.max_tokens", message, found=_found(draft, "data.max_tokens", longest))
        return
    new, room = draft.whole("rollout.max_new_tokens", 512), sequence - (longest or 1)
    if is_rolling and new and new > room:
        prompts = f"prompts of data.max_tokens ({longest:,})" if longest else "prompts"
        message = f"must be at most {room:,}: batch.sequence_length ({sequence:,}) holds {prompts} too"
        yield Problem("rollout.max_new_tokens", message, found=_found(draft, "rollout.max_new_tokens", new))


def _rollout(draft: Partial) -> Iterator[Problem]:
    if draft.at("phase") not in _ROLLING:
        return
    responses, size = draft.whole("rollout.responses", 64), draft.whole("batch.size")
    group = draft.whole("grpo.group", 8) if draft.at("phase") == "grpo" else 1
    if responses and size and group and responses <= 1_000_000 and (responses % size or responses % group):
        step = lcm(size, group)
        nearest = [multiple for multiple in (responses // step * step, (responses // step + 1) * step) if multiple]
        of = f"batch.size ({size:,})" + (f" and of grpo.group ({group:,})" if group > 1 else "")
        message = f"must be a multiple of {of}; nearest: {' or '.join(f'{number:,}' for number in nearest)}"
        yield Problem("rollout.responses", message, found=_found(draft, "rollout.responses", responses))
    if draft.at("model.compile") is True:
        message = "must be false: responses have other lengths each time, for which a model would be compiled anew"
        yield Problem("model.compile", message, found="true")


def _pairs(draft: Partial) -> Iterator[Problem]:
    phase = draft.at("phase")
    if phase in _PAIRED and draft.at("data.format") == "judged":
        if phase == "reward":
            message = "has single answers, and a reward model learns from pairs; dpo.loss kto learns from those"
            yield Problem("data.format", message, found="judged")
        elif draft.at("dpo.loss", "sigmoid") != "kto":
            message = "must be kto with data.format judged, whose answers stand alone"
            found = shown(draft.at("dpo.loss")) if draft.has("dpo.loss") else "sigmoid, its default"
            yield Problem("dpo.loss", message, found=found)


def _dpo(draft: Partial) -> Iterator[Problem]:
    if draft.at("phase") != "dpo":
        return
    loss = draft.at("dpo.loss", "sigmoid")
    only: list[tuple[str, float, bool, str]] = [
        ("label_smoothing", 0.0, loss == "sigmoid", "counts only with dpo.loss sigmoid; leave it at 0"),
        ("likelihood_weight", 0.0, loss != "orpo", "must be 0 with dpo.loss orpo, which has that loss by itself"),
        ("good_weight", 1.0, loss == "kto", "counts only with dpo.loss kto; leave it at 1"),
        ("bad_weight", 1.0, loss == "kto", "counts only with dpo.loss kto; leave it at 1"),
    ]  # fmt: skip
    for name, default, counts, message in only:
        value = draft.number(f"dpo.{name}", default)
        if value is not None and value != default and not counts:
            yield Problem(f"dpo.{name}", message, found=shown(value))
    if loss == "kto" and draft.number("dpo.good_weight", 1.0) == 0 == draft.number("dpo.bad_weight", 1.0):
        yield Problem("dpo.bad_weight", "is 0 like dpo.good_weight, so that nothing would be learnt", found="0")
    if draft.at("dpo.reference") != "each_step":
        return
    if loss == "orpo":
        yield Problem("dpo.reference", "counts nothing with dpo.loss orpo, which has no reference", found="each_step")
    elif draft.at("adapter.kind", "full") == "full":
        message = "must be cached with adapter.kind full: without an adapter there is none to switch off"
        yield Problem("dpo.reference", message, found="each_step")


def _divergence(draft: Partial) -> Iterator[Problem]:
    if draft.at("phase") != "ppo":
        return
    if not draft.has("ppo.kl_target"):
        horizon, default = draft.whole("ppo.kl_horizon"), 10_000
        if horizon is not None and horizon != default:
            message = f"counts only with ppo.kl_target; leave it at {default:,}"
            yield Problem("ppo.kl_horizon", message, found=f"{horizon:,}")
    elif draft.at("ppo.kl") == "loss":
        message = "counts only with ppo.kl reward; leave it empty"
        yield Problem("ppo.kl_target", message, found=shown(draft.at("ppo.kl_target")))
    elif draft.number("ppo.kl_coefficient", 0.05) == 0:
        message = "must be above 0 with ppo.kl_target: it is adapted by factors, and 0 stays 0"
        yield Problem("ppo.kl_coefficient", message, found="0")


def _value_function(draft: Partial) -> Iterator[Problem]:
    if draft.at("phase") != "ppo" or draft.at("ppo.value_begins_with") != "reward":
        return
    rewards = draft.list_at("rewards")
    kinds = [reward.get("kind") if isinstance(reward, dict) else None for reward in rewards]
    message = ""
    if draft.at("ppo.value") == "shared":
        message = "must be policy with ppo.value shared, which is a head on the policy"
    elif rewards and kinds != ["run"]:
        message = "must be policy unless there is one reward alone, of kind run"
    if message:
        yield Problem("ppo.value_begins_with", message, found="reward")


def _offloaded(draft: Partial) -> Iterator[Problem]:
    if draft.at("phase") != "ppo":
        return
    rewards = [reward.get("kind") for reward in draft.list_at("rewards") if isinstance(reward, dict)]
    names = [name for name in draft.list_at("ppo.offload") if isinstance(name, str)]
    for index, name in enumerate(names):
        message = ""
        if name in names[:index]:
            message = "stands there twice"
        elif name == "value" and draft.at("ppo.value") == "shared":
            message = "is no model of its own with ppo.value shared"
        elif name == "reward" and rewards and not {"run", "classifier"} & {str(kind) for kind in rewards}:
            message = "is no model: no reward is of kind run or classifier"
        elif draft.at("adapter.kind") in ("lora", "qlora") and name != "reward":
            message = "shares the weights of the one base with the others; with an adapter there is nothing to offload"
        if message:
            yield Problem(f"ppo.offload.{index}", message, found=shown(name))


def _adapter(draft: Partial) -> Iterator[Problem]:
    if draft.at("adapter.kind") not in ("lora", "qlora") or draft.at("adapter.embeddings") != "whole":
        return
    with_reference = {
        "ppo": "ppo",
        "grpo": "grpo.kl_coefficient above 0" if draft.number("grpo.kl_coefficient", 0.0) else "",
        "dpo": "dpo.reference each_step" if draft.at("dpo.reference") == "each_step" else "",
    }
    if what := with_reference.get(str(draft.at("phase"))):
        message = f"must be new_tokens or frozen with {what}: the reference is this model with its adapter switched off"
        yield Problem("adapter.embeddings", f"{message}, and has the same embeddings", found="whole")


def _without_text(draft: Partial) -> Iterator[Problem]:
    every = draft.whole("cadence.sample_steps")
    if every and draft.at("phase") == "reward":
        message = "counts nothing for a reward model, which writes no text; leave it at 0"
        yield Problem("cadence.sample_steps", message, found=shown(every))


def _rewards(draft: Partial) -> Iterator[Problem]:
    rewards = draft.list_at("rewards")
    weights: list[Value] = []
    for index, reward in enumerate(rewards):
        if not isinstance(reward, dict):
            continue
        weights.append(reward.get("weight", 1.0))
        pattern = reward.get("pattern")
        if reward.get("kind") == "code_tests":
            message = "must be another one: code is not run before there is a sandbox for it"
            yield Problem(f"rewards.{index}.kind", message, found=shown("code_tests"))
        elif reward.get("kind") == "regex" and isinstance(pattern, str) and (words := _unreadable(pattern)):
            yield Problem(f"rewards.{index}.pattern", f"is no regular expression: {words}", found=shown(pattern))
    if rewards and weights and all(weight == 0 and not isinstance(weight, bool) for weight in weights):
        message = "is 0, like all other weights, so that nothing would be learnt"
        yield Problem(f"rewards.{len(rewards) - 1}.weight", message, found="0")


def _unreadable(pattern: str) -> str:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return ""


def _found(draft: Partial, path: str, value: int) -> str:
    return f"{shown(value)}{'' if draft.has(path) else ', its default'}"


ALIGNMENT_RULES: tuple[Callable[[Partial], Iterator[Problem]], ...] = (
    _model, _lengths, _rollout, _pairs, _dpo, _divergence, _value_function, _offloaded, _adapter, _without_text,
    _rewards,
)  # fmt: skip
