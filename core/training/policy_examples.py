"""What a run of PPO or GRPO shows of its policy: responses with what they are worth, and held-out rewards."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from statistics import fmean

import torch

from core.run.events import Evaluated, Sampled
from core.training.policy_losses import kl_divergences
from core.training.rollout import Prompt
from core.training.writing import Writing, judge, look_through, write

SAMPLES = 4
"""Responses that are shown at a time."""


def sample(writing: Writing, prompts: Sequence[Prompt], *, seeds: Sequence[int], step: int) -> list[Sampled]:
    """Return a response to each prompt with its reward and the KL of each token; fewer where the run is to leave."""
    answered = write(writing, prompts, each=1, seeds=seeds, temperature=writing.config.rollout.temperature)
    if answered is None:
        return []
    rewards = judge(writing, answered)
    found = look_through(writing, answered, order=range(len(answered)), each=1)
    lengths = [len(one.response.tokens) for one in answered]
    marks: list[tuple[float, ...]] = [()] * len(answered)
    if found.reference is not None:
        divergences = kl_divergences(found.old, found.reference, "k1")
        marks = [tuple(part.tolist()) for part in torch.split(divergences, lengths)]
    return [
        Sampled(
            step=step,
            prompt=one.prompt,
            text=one.text,
            values={"reward": reward, "length": float(length), **({"kl": math.fsum(own)} if own else {})},
            tokens=tuple(writing.tokenizer.decode([token], skip_special_tokens=False) for token in one.response.tokens),
            marks=own,
            mark_title="KL from the reference, nats" if own else "",
        )
        for one, reward, length, own in zip(answered, rewards, lengths, marks, strict=True)
    ]


def evaluate(writing: Writing, prompts: Sequence[Prompt], *, step: int) -> Evaluated | None:
    """Return the mean reward of the likeliest responses to held-out prompts; None where the run is to leave meanwhile.

    Responses without a finite reward are left out of its mean.
    """
    begin = time.monotonic()
    answered = write(writing, prompts, each=1, seeds=[0] * len(prompts), temperature=0.0)
    if answered is None:
        return None
    rewards = [reward for reward in judge(writing, answered) if math.isfinite(reward)]
    lengths = [len(one.response.tokens) for one in answered]
    values = {
        "eval/reward": fmean(rewards) if rewards else math.nan,
        "eval/response_length": fmean(lengths),
        "eval/ended": fmean(one.response.ended for one in answered),
    }
    return Evaluated(step=step, values=values, tokens=sum(lengths), seconds=time.monotonic() - begin)
