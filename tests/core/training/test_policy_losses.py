"""Losses of policy and value with their gradients, against hand-worked numbers and true divergences."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from core.training.policy_losses import (
    KLEstimator,
    LossKind,
    clipped_policy,
    explained_variance,
    kl_divergences,
    kl_losses,
    token_weights,
    value_losses,
    weighted_kl_losses,
)

P = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
Q = torch.tensor([0.4, 0.4, 0.2], dtype=torch.float64)


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "is_held"),
    [(1.5, 1.0, -1.2, True), (0.5, 1.0, -0.5, False), (1.5, -1.0, 1.5, False), (0.5, -1.0, 0.8, True)],
)
def test_clipped_policy_loss_worked_by_hand(ratio: float, advantage: float, loss: float, is_held: bool) -> None:
    old = torch.tensor([-1.0])
    log_probs = (old + math.log(ratio)).requires_grad_()
    found = clipped_policy(log_probs, old, torch.tensor([advantage]), low=0.2, high=0.2)
    found.losses.sum().backward()
    assert found.losses.item() == pytest.approx(loss, abs=1e-6)
    # Where the clip does not decide, the loss is -A r, and r's derivative by log r is r.
    assert log_probs.grad is not None
    assert float(log_probs.grad) == pytest.approx(0.0 if is_held else -advantage * ratio, abs=1e-6)
    assert bool(found.clipped) is is_held
    assert float(found.ratios) == pytest.approx(ratio, abs=1e-6)
    assert float(found.divergences) == pytest.approx(ratio - 1 - math.log(ratio), abs=1e-6)


def test_the_upper_clip_is_apart() -> None:
    log_probs = torch.tensor([math.log(1.25), math.log(0.75)])
    found = clipped_policy(log_probs, torch.zeros(2), torch.tensor([1.0, -1.0]), low=0.2, high=0.28)
    assert torch.allclose(found.losses, torch.tensor([-1.25, 0.8]))
    assert found.clipped.tolist() == [False, True]


def test_equal_policies_have_ratio_one_and_nothing_clipped() -> None:
    log_probs = torch.tensor([-0.3, -7.0])
    found = clipped_policy(log_probs, log_probs.clone(), torch.tensor([2.0, -3.0]), low=0.2, high=0.2)
    assert found.ratios.tolist() == [1.0, 1.0]
    assert not found.clipped.any()
    assert found.divergences.tolist() == [0.0, 0.0]


def test_far_apart_nothing_overflows() -> None:
    log_probs = torch.tensor([-1000.0, 0.0, -1000.0], requires_grad=True)
    old = torch.tensor([0.0, -1000.0, -1000.0])
    found = clipped_policy(log_probs, old, torch.tensor([1.0, -1.0, 1.0]), low=0.2, high=0.2)
    total = found.losses.sum() + sum(kl_losses(log_probs, old, name).sum() for name in ("k1", "k2", "k3"))
    total.backward()
    assert total.isfinite()
    assert log_probs.grad is not None
    assert log_probs.grad.isfinite().all()
    assert found.divergences.isfinite().all()


@pytest.mark.parametrize(("name", "expected"), [("k1", 0.025267), ("k2", 0.024862), ("k3", 0.025267)])
def test_expected_divergence_of_each_estimator(name: KLEstimator, expected: float) -> None:
    for function in (kl_divergences, kl_losses):
        assert float((P * function(P.log(), Q.log(), name)).sum()) == pytest.approx(expected, abs=1e-6)


def test_k3_is_never_negative() -> None:
    log_probs = torch.linspace(-30.0, 0.0, 1001)
    assert (kl_divergences(log_probs, torch.full_like(log_probs, -3.0), "k3") >= 0).all()


def expected_gradient(
    logits: Tensor, name: KLEstimator, function: Callable[[Tensor, Tensor, KLEstimator], Tensor]
) -> Tensor:
    """Gradient of the mean over the policy's own tokens, which are drawn and have no gradient themselves."""
    leaf = logits.clone().requires_grad_()
    log_probs = leaf.log_softmax(0)
    (log_probs.detach().exp() * function(log_probs, Q.log(), name)).sum().backward()
    assert leaf.grad is not None
    return leaf.grad


def test_gradients_of_the_estimators_in_the_loss() -> None:
    logits = P.log().clone().requires_grad_()
    log_probs = logits.log_softmax(0)
    (log_probs.exp() * (log_probs - Q.log())).sum().backward()  # KL(p || q), exactly
    true = logits.grad
    assert true is not None
    for name in ("k1", "k2"):
        assert torch.allclose(expected_gradient(P.log(), name, kl_losses), true, atol=1e-12)
    # What kl_losses mends: k1 as it stands has no gradient but noise.
    assert torch.allclose(expected_gradient(P.log(), "k1", kl_divergences), torch.zeros(3, dtype=P.dtype), atol=1e-12)
    # k3's is the gradient of KL(q || p) by the policy's logits: p - q.
    assert torch.allclose(expected_gradient(P.log(), "k3", kl_losses), P - Q, atol=1e-12)


def test_the_weighted_divergence_is_the_true_one_with_its_gradient_after_updates_too() -> None:
    old = torch.tensor([0.2, 0.2, 0.6], dtype=torch.float64).log()  # who drew the tokens
    logits = P.log().clone().requires_grad_()
    log_probs = logits.log_softmax(0)
    found = (old.exp() * weighted_kl_losses(log_probs, old, Q.log())).sum()
    true = (log_probs.exp() * (log_probs - Q.log())).sum()
    assert found.item() == pytest.approx(true.item(), abs=1e-12)
    expected, mine = torch.autograd.grad(true, logits, retain_graph=True), torch.autograd.grad(found, logits)
    assert torch.allclose(mine[0], expected[0], atol=1e-12)


def test_value_loss_is_clipped_about_the_old_values() -> None:
    values = torch.tensor([1.0, 0.1, -1.0], requires_grad=True)
    old, returns = torch.tensor([0.0, 0.0, 0.0]), torch.tensor([2.0, 1.0, 0.5])
    found = value_losses(values, old, returns, clip=0.2)
    # 1.0 moved further than .2 from 0: (.2 - 2)^2 counts; .1 did not; -1 is the worse of the two itself.
    assert torch.allclose(found, torch.tensor([1.8**2, 0.9**2, 1.5**2]) / 2)
    found.sum().backward()
    assert values.grad is not None
    assert torch.allclose(values.grad, torch.tensor([0.0, 0.1 - 1.0, -1.0 - 0.5]))
    assert torch.allclose(value_losses(values, old, returns, clip=None), (values - returns).square() / 2)


def test_explained_variance() -> None:
    returns = torch.tensor([1.0, 2.0, 3.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(torch.full((3,), 7.0), returns) == pytest.approx(0.0, abs=1e-6)
    assert explained_variance(-returns, returns) == pytest.approx(-3.0, abs=1e-6)
    assert math.isnan(explained_variance(returns, torch.ones(3)))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("sequence", (4.0 / 2 + 5.0) / 2), ("token", 9.0 / 3), ("constant", (4.0 + 5.0) / 8 / 2)],
)
def test_aggregations_do_not_depend_on_the_dealing_over_micro_batches(kind: LossKind, expected: float) -> None:
    losses, lengths = torch.tensor([1.0, 3.0, 5.0]), [2, 1]
    weights, count = token_weights(lengths, kind, longest=8)
    assert float((weights * losses).sum() / count) == pytest.approx(expected)
    first, some = token_weights([2], kind, longest=8)
    second, others = token_weights([1], kind, longest=8)
    total = float((first * losses[:2]).sum() + (second * losses[2:]).sum())
    assert total / (some + others) == pytest.approx(expected)
