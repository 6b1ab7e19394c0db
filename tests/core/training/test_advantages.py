"""Advantages, returns, whitening and what rewards become, against hand-worked numbers and plain loops in float64."""

from __future__ import annotations

import math
import random
import statistics

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from core.training.advantages import (
    RunningMoments,
    adapted_coefficient,
    flat_groups,
    generalised_advantages,
    group_advantages,
    moments,
    response_sums,
    token_rewards,
    whitened,
)


def near(found: Tensor, expected: list[float], *, within: float = 1e-6) -> bool:
    return torch.allclose(found, torch.tensor(expected, dtype=found.dtype), atol=within, rtol=0)


def test_advantages_worked_by_hand() -> None:
    advantages, returns = generalised_advantages(
        torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.5, 0.5, 0.5]), [3], gamma=1.0, decay=0.95
    )
    assert near(advantages, [0.45125, 0.475, 0.5])
    assert near(returns, [0.95125, 0.975, 1.0])
    advantages, returns = generalised_advantages(
        torch.tensor([-0.02, 0.01, 0.97]), torch.tensor([0.2, 0.4, 0.6]), [3], gamma=1.0, decay=0.95
    )
    assert near(advantages, [0.713425, 0.5615, 0.37])
    assert near(returns, [0.913425, 0.9615, 0.97])


@given(st.lists(st.integers(1, 7), min_size=1, max_size=5), st.floats(0.5, 1.0), st.floats(0, 1), st.integers(0, 99))
def test_each_response_has_the_advantages_that_it_has_alone(
    lengths: list[int], gamma: float, decay: float, seed: int
) -> None:
    generator = random.Random(seed)
    rows = [[(generator.gauss(0, 1), generator.gauss(0, 1)) for _ in range(length)] for length in lengths]
    expected = []
    for row in rows:
        following, behind, backwards = 0.0, 0.0, []
        for reward, value in reversed(row):
            following = reward + gamma * behind - value + gamma * decay * following
            behind = value
            backwards.append(following)
        expected.extend(reversed(backwards))
    rewards = torch.tensor([reward for row in rows for reward, _ in row])
    values = torch.tensor([value for row in rows for _, value in row])
    advantages, returns = generalised_advantages(rewards, values, lengths, gamma=gamma, decay=decay)
    assert near(advantages, expected, within=1e-5)
    assert torch.equal(returns, advantages + values)


def test_advantages_and_returns_have_no_gradient() -> None:
    values = torch.zeros(3, requires_grad=True)
    for found in generalised_advantages(torch.ones(3), values, [3], gamma=1.0, decay=0.9):
        assert not found.requires_grad


def test_whitening_counts_only_what_counts() -> None:
    padded, counted = torch.tensor([1.0, 2.0, 3.0, 0.0, 0.0]), torch.tensor([True, True, True, False, False])
    mean, variance = moments(padded, counted)
    assert (float(mean), float(variance)) == (2.0, 1.0)
    assert near(whitened(padded, counted), [-1.0, 0.0, 1.0, 0.0, 0.0])
    assert torch.equal(whitened(padded[:3]), whitened(padded, counted)[:3])


@pytest.mark.parametrize("values", [[5.0], [0.25, 0.25, 0.25]])
def test_whitening_what_does_not_differ_gives_zeros(values: list[float]) -> None:
    assert near(whitened(torch.tensor(values)), [0.0] * len(values))


def test_the_score_stands_at_the_last_token_and_the_rewards_sum_to_it_less_the_divergence() -> None:
    divergences = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5])
    rewards = token_rewards(torch.tensor([2.0, -1.0]), divergences, [2, 3], coefficient=0.1)
    assert near(rewards, [-0.01, 2.0 - 0.02, -0.03, -0.04, -1.0 - 0.05])
    assert near(response_sums(rewards, [2, 3]), [2.0 - 0.1 * 0.3, -1.0 - 0.1 * 1.2])


def test_groups_are_compared_within_themselves() -> None:
    rewards = torch.tensor([1.0, 0.0, 0.0, 3.0, 5.0, 4.0])
    deviation = [1 / math.sqrt(3) + 1e-4, 1.0 + 1e-4]
    assert near(group_advantages(rewards, 3, scale="none"), [2 / 3, -1 / 3, -1 / 3, -1.0, 1.0, 0.0])
    expected = [2 / 3 / deviation[0], *2 * [-1 / 3 / deviation[0]], -1 / deviation[1], 1 / deviation[1], 0.0]
    assert near(group_advantages(rewards, 3, scale="group"), expected)


def test_flat_groups_are_found_and_have_no_advantage() -> None:
    rewards = torch.tensor([0.3, 0.3, 0.3, 0.3001, 1e4, 1e4 + 1e-3, 0.0, 1.0, 0.0, 1e-9])
    assert flat_groups(rewards, 2).tolist() == [True, False, True, False, True]
    assert group_advantages(torch.full((4,), 0.7), 4, scale="group").tolist() == [0.0] * 4


def test_a_reward_that_is_no_number_counts_nowhere() -> None:
    nan = math.nan
    rewards = torch.tensor([1.0, nan, 3.0, 2.0, nan, nan, nan, nan, nan, nan, nan, 5.0])
    found = group_advantages(rewards, 4, scale="group", eps=0.0)[:4]
    assert near(found, [-1.0, 0.0, 1.0, 0.0])
    assert near(group_advantages(rewards, 4, scale="none"), [-1.0, 0.0, 1.0, *[0.0] * 9])
    assert flat_groups(rewards, 4).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("divergence", "expected"), [(12.0, 0.201024), (3.0, 0.198976), (6.0, 0.2), (6.6, 0.200512), (-100.0, 0.198976)]
)
def test_the_coefficient_follows_the_divergence(divergence: float, expected: float) -> None:
    found = adapted_coefficient(0.2, divergence, target=6.0, responses=256, horizon=10_000)
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("divergence", "expected"), [(0.0, 0.16), (60.0, 0.24)])
def test_a_coefficient_stays_positive_in_rollouts_longer_than_its_horizon(divergence: float, expected: float) -> None:
    found = adapted_coefficient(0.2, divergence, target=6.0, responses=64, horizon=1)
    assert found == pytest.approx(expected, abs=1e-9)


def test_large_rewards_have_advantages() -> None:
    """Their squares are no number in float32."""
    found = group_advantages(torch.tensor([1e30, -1e30]), 2, scale="group")
    assert near(found, [2**-0.5, -(2**-0.5)])


@given(st.lists(st.lists(st.floats(-100, 100), max_size=9), max_size=6))
def test_running_moments_are_those_of_all_numbers(parts: list[list[float]]) -> None:
    running = RunningMoments()
    for part in parts:
        running = running.including(part)
    seen = [value for part in parts for value in part]
    assert running.count == len(seen)
    if len(seen) > 1:
        assert running.mean == pytest.approx(statistics.fmean(seen), abs=1e-9)
        assert running.deviation == pytest.approx(statistics.stdev(seen), abs=1e-9)


def test_normalised_rewards() -> None:
    running = RunningMoments().including([1.0, 2.0]).including([3.0])
    assert running.normalised([3.0, 0.0]) == pytest.approx([1.0, -2.0])
    assert RunningMoments().including([2.0, 2.0]).normalised([2.0, 3.0]) == [0.0, 1.0]
