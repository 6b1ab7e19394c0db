"""From a million points to a few a column, without losing a spike; smoothing without inventing one.

All functions are pure and take and return float64 arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_BLOCK = 64


def min_max(x: Array, y: Array, *, first: float, last: float, columns: int) -> tuple[Array, Array]:
    """Return at most two points a column (its smallest and its largest value, in the order of time).

    Shapes: x and y are (n,), x ascending; the result is (m,), m <= 2 * columns. Points outside [first, last] are left
    out, non-finite values too; what is left of the window's minimum and maximum always survives.
    """
    start, stop = np.searchsorted(x, first, "left"), np.searchsorted(x, last, "right")
    x, y = x[start:stop], y[start:stop]
    keep = np.isfinite(y)
    if not keep.all():
        x, y = x[keep], y[keep]
    if len(y) <= 2 * columns or columns < 1:
        return x, y
    edges = np.linspace(first, np.nextafter(last, np.inf), columns + 1)
    starts = np.unique(np.searchsorted(x, edges[:-1], "left"))
    starts = starts[starts < len(x)]
    ends = np.append(starts[1:], len(x))
    chosen = np.empty(2 * len(starts), dtype=np.intp)
    for index, (begin, end) in enumerate(zip(starts, ends, strict=True)):
        piece = y[begin:end]
        low, high = int(piece.argmin()), int(piece.argmax())
        chosen[2 * index], chosen[2 * index + 1] = begin + min(low, high), begin + max(low, high)
    chosen = np.unique(chosen)
    return x[chosen], y[chosen]


def non_finite(x: Array, y: Array) -> Array:
    """Return the x at which y is NaN or infinite."""
    return x[~np.isfinite(y)]


def envelope(x: Array, y: Array, *, first: float, last: float, columns: int) -> tuple[Array, Array, Array]:
    """Return the band that the values fill: x, smallest and largest value of each column that has a finite one."""
    thin_x, thin_y = min_max(x, y, first=first, last=last, columns=columns)
    if len(thin_x) == 0 or last <= first:
        empty = np.empty(0)
        return empty, empty, empty
    column = np.clip(((thin_x - first) / (last - first) * columns).astype(np.intp), 0, columns - 1)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    centre = first + (column[starts] + 0.5) * (last - first) / columns
    return centre, np.minimum.reduceat(thin_y, starts), np.maximum.reduceat(thin_y, starts)


@dataclass
class Smoother:
    """Exponential moving average, fed piece by piece.

    value_n = sum of decay^(n-i) * y_i over the finite y_i, divided by the same sum of weights: so it has no bias at
    the start (Adam's correction; Kingma and Ba 2015, section 3), and a value that is not finite is left out, not
    spread. A series that has been constant is returned as it is, because rounding would draw noise on it.
    """

    decay: float
    _sum: float = 0.0
    _weight: float = 0.0
    _lowest: float = field(default=np.inf)
    _highest: float = field(default=-np.inf)

    def feed(self, values: Array) -> Array:
        """Return the smoothed values that belong to the next `values`; NaN until the first finite one."""
        finite = np.isfinite(values)
        clean = np.where(finite, values, 0.0)
        if finite.any():
            self._lowest = min(self._lowest, float(values[finite].min()))
            self._highest = max(self._highest, float(values[finite].max()))
        sums, self._sum = _filter(clean, self.decay, self._sum)
        if finite.all():
            weights, self._weight = _all_weights(len(values), self.decay, self._weight)
        else:
            weights, self._weight = _filter(finite.astype(np.float64), self.decay, self._weight)
        if self.decay == 0 or self._lowest == self._highest:
            return np.where(finite, values, self._lowest if self._lowest == self._highest else np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weights > 1e-12, sums / weights, np.nan)


def _all_weights(count: int, decay: float, carry: float) -> tuple[Array, float]:
    """Return what `_filter` gives for `count` ones, without computing those that have reached their limit."""
    limit = 1 / (1 - decay)
    rising = min(count, math.ceil(-40 / math.log(decay)) if decay > 0 else 1)
    weights = np.full(count, limit)
    powers = decay ** np.arange(1, rising + 1, dtype=np.float64)
    weights[:rising] = limit * (1 - powers) + carry * powers
    return weights, float(weights[-1]) if count else carry


def _filter(values: Array, decay: float, carry: float) -> tuple[Array, float]:
    """Return s_n = decay * s_(n-1) + v_n for all n, beginning after `carry`, and the last of them.

    Blocks of 64 become one matrix product, so that only n/64 steps run in Python (a million: about 30 ms).
    """
    count = len(values)
    if count == 0:
        return values, carry
    blocks = -(-count // _BLOCK)
    padded = np.zeros(blocks * _BLOCK)
    padded[:count] = values
    exponents = np.arange(_BLOCK)
    lower = np.tril(decay ** np.maximum(exponents[:, None] - exponents[None, :], 0).astype(np.float64))
    inside = padded.reshape(blocks, _BLOCK) @ lower.T
    block_decay = decay**_BLOCK
    carries = np.empty(blocks)
    running = carry
    for index, total in enumerate(inside[:, -1].tolist()):
        carries[index] = running
        running = running * block_decay + total
    powers = decay ** (exponents + 1.0)
    result = (inside + carries[:, None] * powers[None, :]).reshape(-1)[:count]
    return result, float(result[-1])
