"""Losses of preferences: numbers worked by hand, a loop in float64, and the edges of float32."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from core.training.preference_losses import (
    calibration_error,
    centring_loss,
    hinge_loss,
    ipo_loss,
    kto_loss,
    kto_reference_point,
    length_normalised,
    log_odds,
    odds_ratio_loss,
    pairwise_loss,
    preferred,
    sigmoid_loss,
)


def each(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


@pytest.mark.parametrize(
    ("difference", "loss"), [(0, 0.693147), (2, 0.126928), (-2, 2.126928), (-100, 100.0), (-1e4, 1e4), (100, 0.0)]
)
def test_pairwise_by_hand_and_without_overflow(difference: float, loss: float) -> None:
    worse = each(1.5).requires_grad_()
    found = pairwise_loss(each(1.5 + difference), worse)
    assert found.item() == pytest.approx(loss, abs=1e-6)
    found.backward()
    assert worse.grad is not None
    assert worse.grad.item() == pytest.approx(1 / (1 + math.exp(min(difference, 700))), abs=1e-6)


def test_a_margin_moves_the_difference() -> None:
    assert pairwise_loss(each(3.0), each(0.0), margin=1.0).item() == pytest.approx(0.126928, abs=1e-6)


def test_centring() -> None:
    assert centring_loss(each(3.0, 1.0), each(-1.0, -1.0)).tolist() == [4.0, 0.0]


def test_a_tie_is_half_right() -> None:
    assert preferred(each(2.0, 1.0, 1.0), each(1.0, 1.0, 2.0)).tolist() == [1.0, 0.5, 0.0]


def test_calibration_by_hand() -> None:
    """Two pairs at p = 0.6 of which one came true: |0.5 - 0.6|; one at p = 0.9 that did: |1 - 0.9|."""
    logit = [math.log(p / (1 - p)) for p in (0.62, 0.62, 0.91)]
    differences = each(logit[0], -logit[1], logit[2])
    assert calibration_error(differences) == pytest.approx((2 * 0.12 + 0.09) / 3, abs=1e-6)


def test_calibration_of_a_perfect_and_of_a_boasting_model() -> None:
    true = torch.full((1000,), math.log(0.75 / 0.25))
    true[:250] *= -1  # three of four come true, as said
    assert calibration_error(true) == pytest.approx(0, abs=1e-6)
    assert calibration_error(true * 100) == pytest.approx(0.25, abs=1e-3)
    assert calibration_error(torch.zeros(5)) == 0  # says 0.5, and ties are half
    assert math.isnan(calibration_error(torch.zeros(0)))


@pytest.mark.parametrize(
    ("loss", "margin", "expected"),
    [
        (lambda m: sigmoid_loss(m, beta=0.1), 0.0, math.log(2)),
        (lambda m: sigmoid_loss(m, beta=0.1), 20.0, 0.126928),
        (lambda m: sigmoid_loss(m, beta=0.1), -20.0, 2.126928),
        (lambda m: sigmoid_loss(m, beta=1.0), -1e3, 1e3),
        (lambda m: sigmoid_loss(m, beta=0.1, label_smoothing=0.1), 20.0, 0.9 * 0.126928 + 0.1 * 2.126928),
        (lambda m: ipo_loss(m, beta=0.1), 0.0, 25.0),
        (lambda m: ipo_loss(m, beta=0.1), 5.0, 0.0),
        (lambda m: hinge_loss(m, beta=0.1), 4.0, 0.6),
        (lambda m: hinge_loss(m, beta=0.1), 11.0, 0.0),
    ],
)
def test_losses_of_margins_by_hand(loss: Callable[[Tensor], Tensor], margin: float, expected: float) -> None:
    assert loss(each(margin)).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_log_odds_in_float32_are_those_of_float64_from_end_to_end() -> None:
    x = -torch.logspace(-6, 2, 200)
    exact = [v - math.log(-math.expm1(v)) for v in x.double().tolist()]
    assert log_odds(x).tolist() == pytest.approx(exact, rel=2e-6, abs=1e-6)


def test_odds_of_certainty_are_finite_with_a_finite_gradient() -> None:
    better = each(0.0, -1e-9, -50.0).requires_grad_()
    loss = odds_ratio_loss(better, each(-1.0, -200.0, -1e-9))
    loss.sum().backward()
    assert better.grad is not None
    assert loss.isfinite().all()
    assert better.grad.isfinite().all()


def test_odds_ratio_by_hand() -> None:
    """P = 0.8 against p = 0.5: odds 4 against 1, -log(4 / 5)."""
    assert odds_ratio_loss(each(math.log(0.8)), each(math.log(0.5))).item() == pytest.approx(-math.log(0.8), abs=1e-6)


def test_kto_by_hand() -> None:
    """Beta 0.5, z 2: a good one at r = 4 has sigmoid(1) = 0.731059; a bad one at r = 4 has 1 - sigmoid(-1)."""
    found = kto_loss(each(4.0, 4.0, 2.0), torch.tensor([True, False, False]), torch.tensor(2.0), beta=0.5,
                     good_weight=2.0, bad_weight=3.0)  # fmt: skip
    assert found.tolist() == pytest.approx([2 * 0.268941, 3 * 0.731059, 1.5], abs=3e-6)


def test_the_reference_point_is_a_mean_not_below_zero_without_gradient() -> None:
    ratios = each(3.0, -1.0).requires_grad_()
    assert kto_reference_point(ratios).item() == 1.0
    assert not kto_reference_point(ratios).requires_grad
    assert kto_reference_point(-ratios).item() == 0.0


def test_length_normalisation() -> None:
    assert length_normalised(each(-6.0, 0.0), each(3.0, 0.0)).tolist() == [-2.0, 0.0]


def test_all_losses_equal_a_loop_in_float64() -> None:
    generator = torch.Generator().manual_seed(3)
    better, worse = (-torch.rand(50, generator=generator) * 8 - 0.01 for _ in range(2))
    margins = (better - worse) * 5

    def log_sigmoid(x: float) -> float:
        return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))

    def odds(x: float) -> float:
        p = math.exp(x)
        return math.log(p / (1 - p))

    pairs = list(zip(better.double().tolist(), worse.double().tolist(), margins.double().tolist(), strict=True))
    found = [
        pairwise_loss(better, worse, margin=0.3),
        sigmoid_loss(margins, beta=0.2, label_smoothing=0.15),
        ipo_loss(margins, beta=0.2),
        hinge_loss(margins, beta=0.2),
        odds_ratio_loss(better, worse),
    ]
    expected = [
        [-log_sigmoid(b - w - 0.3) for b, w, _ in pairs],
        [-0.85 * log_sigmoid(0.2 * m) - 0.15 * log_sigmoid(-0.2 * m) for _, _, m in pairs],
        [(m - 2.5) ** 2 for _, _, m in pairs],
        [max(0.0, 1 - 0.2 * m) for _, _, m in pairs],
        [-log_sigmoid(odds(b) - odds(w)) for b, w, _ in pairs],
    ]
    for one, other in zip(found, expected, strict=True):
        assert one.tolist() == pytest.approx(other, rel=1e-5, abs=1e-5)
