"""The learning rate, against numbers worked by hand and the textbook's lambda."""

from __future__ import annotations

import math

import pytest

from core.config.optimization import Constant, Cosine, Linear, WarmupStableDecay
from core.training.schedule import learning_rate_at


def cosine(**more: object) -> Cosine:
    return Cosine.model_validate(
        {"kind": "cosine", "peak_learning_rate": 3e-4, "warmup_steps": 10, "steps": 110, "floor_ratio": 0.1, **more}
    )


@pytest.mark.parametrize(("step", "expected"), [(0, 3e-5), (9, 3e-4), (10, 3e-4), (60, 1.65e-4), (110, 3e-5)])
def test_cosine_with_warmup(step: int, expected: float) -> None:
    assert learning_rate_at(step, steps=110, schedule=cosine()) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("step", range(0, 110, 7))
def test_warmup_from_zero_is_the_textbook_lambda(step: int) -> None:
    warmup, steps = 10, 110
    if step < warmup:
        factor = step / max(1, warmup)
    else:
        progress = (step - warmup) / max(1, steps - warmup)
        factor = max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
    schedule = cosine(floor_ratio=0.0, warmup_start="zero")
    assert learning_rate_at(step, steps=steps, schedule=schedule) == pytest.approx(3e-4 * factor, abs=1e-18)


def test_linear_ends_at_its_floor() -> None:
    schedule = Linear(kind="linear", peak_learning_rate=1.0, warmup_steps=2, floor_ratio=0.5)
    rates = [learning_rate_at(step, steps=6, schedule=schedule) for step in range(7)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.875, 0.75, 0.625, 0.5])


def test_constant_stays_at_its_peak() -> None:
    schedule = Constant(kind="constant", peak_learning_rate=0.25, warmup_steps=1)
    assert [learning_rate_at(step, steps=4, schedule=schedule) for step in range(4)] == [0.25] * 4


def test_warmup_stable_decay_falls_only_at_the_end() -> None:
    schedule = WarmupStableDecay(
        kind="warmup_stable_decay", peak_learning_rate=1.0, warmup_steps=2, decay_ratio=0.4, floor_ratio=0.2
    )
    rates = [learning_rate_at(step, steps=10, schedule=schedule) for step in range(11)]
    assert rates == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.8, 0.6, 0.4, 0.2])
