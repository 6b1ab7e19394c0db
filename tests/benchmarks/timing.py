"""Ratios of steps that two entrants made one after the other."""

from __future__ import annotations

import statistics
from collections.abc import Sequence


def paired(rival: Sequence[float], footplate: Sequence[float]) -> float:
    """Return the median over steps of the rival's time over Footplate's: above 1, Footplate is faster."""
    return statistics.median(b / a for b, a in zip(rival, footplate, strict=True))


def quartiles(rival: Sequence[float], footplate: Sequence[float]) -> list[float]:
    """Return the quartiles of the same ratios."""
    ratios = sorted(b / a for b, a in zip(rival, footplate, strict=True))
    return [ratios[len(ratios) // 4], ratios[(3 * len(ratios)) // 4 - (len(ratios) % 4 == 0)]]
