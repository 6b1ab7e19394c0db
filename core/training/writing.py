"""The policy writes and is judged: what a rollout is made of before the first update on it.

Everything here depends on the parameters, the seed and the number of the rollout alone. The tokens of a response are
those that were written, never its text encoded again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from core.config.phases import GRPOConfig, PPOConfig
from core.errors import DataError
from core.model.batch import PackedBatch
from core.model.log_probs import target_log_probs
from core.model.responses import Asked, respond
from core.model.scalar_head import log_probs_and_values, target_values
from core.training.actors import Actors
from core.training.engine import Engine
from core.training.rewards import Answered, RewardSource
from core.training.rollout import Prompt, RolledOut, cut, epoch_order, packed_responses

P = TypeVar("P")
R = TypeVar("R")

_LARGEST_REWARD = torch.finfo(torch.float32).max

_DRAWING = 1
"""Keeps the generators of responses apart from those of the order of minibatches (rollout.py)."""


@dataclass(frozen=True)
class Writing:
    """What it takes to have the policy write and to find out about what it wrote.

    ends: tokens that end a response. is_leaving is asked before each token.
    """

    config: PPOConfig | GRPOConfig
    engine: Engine
    actors: Actors
    sources: Sequence[RewardSource]
    tokenizer: Tokenizer
    ends: frozenset[int]
    is_leaving: Callable[[], bool]


def roll_out(writing: Writing, prompts: Sequence[Prompt], number: int, *, each: int) -> RolledOut | None:
    """Have the policy write `each` responses to each prompt, judge them and look through them once more.

    Old log-probabilities come from the pass over packed documents that updates use, in the micro-batches of the first
    epoch, and not from writing: the ratio is 1 at the start to the bit.
    Returns None where the run is to leave meanwhile. Raises: what rewards raise.
    """
    begin = time.monotonic()
    rollout = writing.config.rollout
    seeds = response_seeds(writing.config.seed, number, len(prompts) * each)
    answered = write(writing, prompts, each=each, seeds=seeds, temperature=rollout.temperature)
    if answered is None:
        return None
    written = time.monotonic()
    rewards = judge(writing, answered)
    order = epoch_order(writing.config.seed, number, 0, len(answered))
    found = look_through(writing, answered, order=order, each=each)
    return RolledOut(
        number=number,
        each=each,
        prompts=tuple(prompt for prompt in prompts for _ in range(each)),
        answered=tuple(answered),
        rewards=tuple(rewards),
        old=found.old,
        reference=found.reference,
        values=found.values,
        writing_seconds=written - begin,
        seconds=time.monotonic() - begin,
    )


def response_seeds(seed: int, rollout: int, count: int) -> list[int]:
    """Return the seeds of a rollout's responses; a rollout of fewer has the first of them."""
    return [int(word) for word in np.random.SeedSequence([seed, _DRAWING, rollout]).generate_state(count, np.uint64)]


def write(
    writing: Writing, prompts: Sequence[Prompt], *, each: int, seeds: Sequence[int], temperature: float
) -> list[Answered] | None:
    """Return `each` responses to each prompt as the policy writes them; None where the run is to leave meanwhile."""
    rollout = writing.config.rollout
    asked = Asked(
        each=each,
        max_new_tokens=rollout.max_new_tokens,
        temperature=temperature,
        ends=writing.ends,
        seeds=seeds,
        micro_size=rollout.micro_size,
    )
    with writing.actors.computing(writing.actors.policy) as model:
        ids = [prompt.ids for prompt in prompts]
        responses = writing.engine.call(lambda _: respond(model, ids, asked, is_leaving=writing.is_leaving))
    if responses is None:
        return None
    every = [prompt for prompt in prompts for _ in range(each)]
    decode = writing.tokenizer.decode
    found = []
    for prompt, response in zip(every, responses, strict=True):
        # Decoded together with the prompt: what a token reads as may depend on its neighbours.
        before, both = decode([*prompt.ids]), decode([*prompt.ids, *response.tokens])
        text = both[len(before) :] if both.startswith(before) else decode([*response.tokens])
        shown = decode([*prompt.ids], skip_special_tokens=False)
        answer = decode([*prompt.answer_ids]) if prompt.answer_ids else None
        found.append(Answered(prompt.ids, response, shown, text, answer))
    return found


def judge(writing: Writing, answered: Sequence[Answered]) -> list[float]:
    """Return the reward of each response: what all sources give, added by weight; NaN where no float32 holds that.

    One that was cut has `no_end_reward` instead, where the method names one.
    Raises: DataError where a source gives another number of them; what a source raises.
    """
    totals = [0.0] * len(answered)
    with writing.actors.judging():
        for reward, source in zip(writing.config.rewards, writing.sources, strict=True):
            values = writing.engine.call(_ask, source, answered)
            if len(values) != len(answered):
                raise DataError(f"reward {source.name}: expected {len(answered)} numbers, found {len(values)}")
            totals = [total + reward.weight * value for total, value in zip(totals, values, strict=True)]
    config = writing.config
    no_end = (config.ppo if isinstance(config, PPOConfig) else config.grpo).no_end_reward
    if no_end is not None:
        totals = [total if one.response.ended else no_end for total, one in zip(totals, answered, strict=True)]
    return [total if abs(total) <= _LARGEST_REWARD else math.nan for total in totals]


def _ask(_: Any, question: Callable[[P], R], about: P) -> R:
    """Answer a question under the engine's precision by the model that it knows itself."""
    return question(about)


@dataclass(frozen=True)
class LookedThrough:
    """What models say of responses; see `RolledOut`."""

    old: Tensor
    reference: Tensor | None
    values: Tensor | None


def look_through(
    writing: Writing, answered: Sequence[Answered], *, order: Sequence[int], each: int
) -> LookedThrough:
    """Return log-probabilities and values of each token of a response, in the micro-batches of updates in this order.

    `each`: responses to a prompt.
    """
    actors, temperature, batch = writing.actors, writing.config.rollout.temperature, writing.config.batch
    updates = cut(order, size=batch.size, micro_size=batch.micro_size, each=each)
    groups = [group for update in updates for group in update]
    lengths = [len(one.response.tokens) for one in answered]

    def gathered(look: Callable[[PackedBatch], Tensor]) -> Tensor:
        """Put what `look` gives for each micro-batch, (n, targets), where it belongs."""
        pieces: dict[int, Tensor] = {}
        for group in groups:
            writing.is_leaving()  # not asked: it says that the run goes on, to who looks for one that is stuck
            batch = packed_responses([answered[number] for number in group], (), each=each).to(writing.engine.device)
            with torch.no_grad():
                found = writing.engine.call(_ask, look, batch).float().cpu()
            parts = torch.split(found, [lengths[number] for number in group], dim=-1)
            pieces |= dict(zip(group, parts, strict=True))
        return torch.cat([pieces[number] for number in range(len(answered))], dim=-1)

    with actors.computing(actors.policy) as model:
        reading = actors.policy.reading
        if actors.is_shared:

            def both(batch: PackedBatch) -> Tensor:
                found, values = log_probs_and_values(model, reading, batch, temperature=temperature)
                return torch.stack([found.values, values])

            old, values = gathered(both)
        else:
            old = gathered(lambda batch: target_log_probs(model, reading, batch, temperature=temperature).values)
            values = None
    reference = None
    if actors.reference is not None:
        with actors.computing(actors.reference) as model:
            reading = actors.reference.reading
            reference = gathered(
                lambda batch: target_log_probs(model, reading, batch, temperature=temperature).values
            )
    if actors.value is not None:
        with actors.computing(actors.value) as model:
            reading = actors.value.reading
            values = gathered(lambda batch: target_values(model, reading, batch))
    return LookedThrough(old, reference, values)
