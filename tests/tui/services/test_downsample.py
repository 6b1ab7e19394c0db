from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.services.downsample import Smoother, envelope, min_max, non_finite


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=2000), st.integers(1, 200))
def test_min_max_keeps_the_extremes_of_the_window(values: list[float], columns: int) -> None:
    x = np.arange(len(values), dtype=float)
    y = np.array(values)
    thin_x, thin_y = min_max(x, y, first=0, last=len(values), columns=columns)
    assert len(thin_x) <= 2 * columns or len(thin_x) == len(x)
    assert thin_y.max() == y.max()
    assert thin_y.min() == y.min()
    assert (np.diff(thin_x) > 0).all()


def test_min_max_leaves_out_what_is_not_finite() -> None:
    x = np.arange(5.0)
    y = np.array([1, np.nan, 3, np.inf, 5])
    assert min_max(x, y, first=0, last=9, columns=9)[1].tolist() == [1, 3, 5]
    assert non_finite(x, y).tolist() == [1, 3]


def test_envelope_spans_each_column() -> None:
    x = np.arange(1000.0)
    _, low, high = envelope(x, np.where(x % 2 == 0, 1.0, -1.0), first=0, last=999, columns=10)
    assert low.tolist() == [-1.0] * 10
    assert high.tolist() == [1.0] * 10


def plain_average(values: list[float], decay: float) -> list[float]:
    total = weight = 0.0
    result = []
    for value in values:
        total, weight = decay * total, decay * weight
        if np.isfinite(value):
            total, weight = total + value, weight + 1
        result.append(total / weight if weight else np.nan)
    return result


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("pieces", [(300,), (1, 63, 64, 65, 107)])
def test_smoother_is_the_debiased_average_by_a_plain_loop(decay: float, pieces: tuple[int, ...]) -> None:
    values = np.random.default_rng(3).normal(size=300)
    values[[0, 5, 130]] = np.nan
    smoother = Smoother(decay)
    parts, start = [], 0
    for size in pieces:
        parts.append(smoother.feed(values[start : start + size]))
        start += size
    # 1e-12: the sums run in another order, over at most 300 terms of size 1.
    np.testing.assert_allclose(np.concatenate(parts), plain_average(values.tolist(), decay), rtol=1e-12, atol=1e-12)


def test_smoother_returns_a_constant_exactly() -> None:
    assert set(Smoother(0.97).feed(np.full(1000, 0.1)).tolist()) == {0.1}


def test_smoothing_a_million_points_is_quick() -> None:
    values = np.random.default_rng(0).normal(size=1_000_000)
    started = time.perf_counter()
    Smoother(0.99).feed(values)
    assert time.perf_counter() - started < 0.5
