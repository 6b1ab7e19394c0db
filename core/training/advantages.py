"""Rewards, advantages and returns of rolled-out responses: pure functions on tensors, none of them with a gradient.

Responses differ in length. What belongs to their tokens is laid end to end in a flat (targets,) tensor, one entry for
each token of a response in order, with `lengths` to say where each response ends; there is no padding that could count.
All lengths are at least 1, and sum to targets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor


def response_sums(values: Tensor, lengths: Sequence[int]) -> Tensor:
    """Return the sum of `values`, (targets,), over each response: (responses,)."""
    owner = token_owners(lengths, values.device)
    return values.new_zeros(len(lengths)).index_add(0, owner, values)


def token_owners(lengths: Sequence[int], device: torch.device | None = None) -> Tensor:
    """Return which response each token belongs to: (targets,) int64."""
    sizes = torch.tensor(lengths, dtype=torch.int64, device=device)
    return torch.arange(len(lengths), device=device).repeat_interleave(sizes)


@torch.no_grad()
def token_rewards(scores: Tensor, divergences: Tensor, lengths: Sequence[int], *, coefficient: float) -> Tensor:
    """Return the reward of each token, (targets,): -coefficient * KL, and at a response's last token its score besides.

    scores: (responses,). divergences: (targets,), the KL divergence from the reference estimated at each token, in
    nats. Over a response the rewards sum to score - coefficient * sum of KL (Ouyang et al. 2022, arXiv:2203.02155,
    equation 2; Ziegler et al. 2019, arXiv:1909.08593, equation 2).
    """
    rewards = divergences * -coefficient
    ends = torch.tensor(lengths, dtype=torch.int64, device=rewards.device).cumsum(0) - 1
    return rewards.index_add(0, ends, scores.to(rewards))


@torch.no_grad()
def generalised_advantages(
    rewards: Tensor, values: Tensor, lengths: Sequence[int], *, gamma: float, decay: float
) -> tuple[Tensor, Tensor]:
    """Return advantages and returns of each token, (targets,) each, from rewards and values, (targets,) each.

    Schulman et al. 2015, arXiv:1506.02438, equation 16, with delta_t = r_t + gamma * V_(t+1) - V_t and
    A_t = delta_t + gamma * decay * A_(t+1); V is 0 behind a response's last token, also where it was cut. Returns are
    advantages + values.
    """
    owner = token_owners(lengths, rewards.device)
    places = torch.cat([torch.arange(length, device=rewards.device) for length in lengths])
    longest = max(lengths)
    grid = rewards.new_zeros(2, len(lengths), longest + 1)  # one column of zeros: what stands behind the last token
    grid[0, owner, places], grid[1, owner, places] = rewards, values
    deltas = grid[0, :, :-1] + gamma * grid[1, :, 1:] - grid[1, :, :-1]
    advantages = torch.zeros_like(grid[0])
    for place in reversed(range(longest)):
        advantages[:, place] = deltas[:, place] + gamma * decay * advantages[:, place + 1]
    flat = advantages[owner, places]
    return flat, flat + values


@torch.no_grad()
def whitened(values: Tensor, counted: Tensor | None = None) -> Tensor:
    """Return `values` with mean 0 and variance 1 (unbiased) over those that count; the others become 0.

    counted: bool of the same shape; None where all count. Values that are all equal, or only one, become 0.
    """
    mean, variance = moments(values, counted)
    result = (values - mean) * torch.rsqrt(variance + 1e-8)
    return result if counted is None else result.masked_fill(~counted, 0.0)


@torch.no_grad()
def moments(values: Tensor, counted: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return mean and unbiased variance, scalars, over the values that count; variance 0 where only one does."""
    taken = values if counted is None else values[counted]
    mean = taken.mean()
    return mean, (taken - mean).square().sum() / max(taken.numel() - 1, 1)


@torch.no_grad()
def group_advantages(rewards: Tensor, group: int, *, scale: Literal["group", "none"], eps: float = 1e-4) -> Tensor:
    """Return the advantage of each response, (responses,), from rewards of which each `group` in turn share a prompt.

    The reward minus the mean of its group, for `group` divided by the group's standard deviation (unbiased) + eps:
    Shao et al. 2024, arXiv:2402.03300, section 4.1.2. `none` leaves the division out: Liu et al. 2025,
    arXiv:2503.20783, section 3.2. A reward that is NaN counts in no mean, and its response's advantage is 0.
    """
    table = rewards.view(-1, group).double()  # in float32 the squares of large rewards would be infinite
    centred = table - table.nanmean(dim=1, keepdim=True)
    if scale == "group":
        others = (table.isfinite().sum(dim=1, keepdim=True) - 1).clamp(min=1)
        deviation = (centred.square().nansum(dim=1, keepdim=True) / others).sqrt()
        centred = centred / (deviation + eps)
    return centred.nan_to_num(nan=0.0).view(-1).float()


@torch.no_grad()
def flat_groups(rewards: Tensor, group: int) -> Tensor:
    """Tell of each group, (groups,) bool, whether its rewards are all equal up to float32 rounding, but for NaN.

    Such a group says nothing about which response is better: its advantages are 0.
    """
    table = rewards.view(-1, group)
    lowest = table.nan_to_num(nan=math.inf).amin(dim=1)
    highest = table.nan_to_num(nan=-math.inf).amax(dim=1)
    largest = torch.maximum(lowest.abs(), highest.abs()).clamp(min=1.0)
    return highest - lowest <= 1e-6 * largest


def adapted_coefficient(coefficient: float, divergence: float, *, target: float, responses: int, horizon: int) -> float:
    """Return the KL coefficient after a rollout in which the KL divergence of a response was `divergence` nats.

    Ziegler et al. 2019, arXiv:1909.08593, section 2.2: beta * (1 + clip(KL / target - 1, -0.2, 0.2) * n / horizon),
    where a rollout longer than the horizon counts as one horizon: else the coefficient could fall below 0.
    """
    error = min(max(divergence / target - 1.0, -0.2), 0.2)
    return coefficient * (1.0 + error * min(responses / horizon, 1.0))


@dataclass(frozen=True)
class RunningMoments:
    """Mean and variance of all numbers seen so far, in float64 (Chan, Golub and LeVeque 1979).

    The three fields are the whole state: a checkpoint that holds them continues to the bit.
    """

    count: int = 0
    mean: float = 0.0
    squares: float = 0.0
    """Sum of squared distances from the mean."""

    def including(self, values: Sequence[float]) -> RunningMoments:
        """Return the moments with `values` among the numbers seen."""
        if not values:
            return self
        mean = math.fsum(values) / len(values)
        squares = math.fsum((value - mean) ** 2 for value in values)
        count = self.count + len(values)
        step = mean - self.mean
        moved = self.mean + step * len(values) / count
        return RunningMoments(count, moved, self.squares + squares + step**2 * self.count * len(values) / count)

    @property
    def deviation(self) -> float:
        """Standard deviation (unbiased); 0 for fewer than two numbers."""
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0

    def normalised(self, values: Sequence[float]) -> list[float]:
        """Return (value - mean) / standard deviation; where all numbers seen are equal, value - mean."""
        divisor = self.deviation or 1.0
        return [(value - self.mean) / divisor for value in values]
