"""Round numbers for axes, and numbers in few characters. Pure."""

from __future__ import annotations

import math

Range = tuple[float, float]


def number_text(value: float) -> str:
    """Return a number in at most 7 characters: 1.842, 12k, 1.63e-5, NaN."""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else ("inf" if value > 0 else "-inf")
    if value == 0:
        return "0"
    size = abs(value)
    for digits in (4, 3, 2, 1):
        if size >= 1e6 or size < 1e-3:
            mantissa, exponent = f"{value:.{min(digits, 3) - 1}e}".split("e")
            text = f"{mantissa}e{int(exponent)}"
        elif size >= 10_000:
            text = f"{value / 1000:.{digits}g}k"
        else:
            text = f"{value:.{digits}g}"
        if len(text) <= 7:
            break
    return text


def rounded(low: float, high: float) -> Range:
    """Return the range widened to round numbers, and opened where it is a single value."""
    span = high - low
    if span <= max(abs(low), abs(high), 1e-280) * 1e-9:
        pad = max(abs(high) * 0.1, 1e-12)
        return low - pad, high + pad
    step = nice(span / 15)
    bottom, top = math.floor(low / step) * step, math.ceil(high / step) * step
    return (bottom, top) if math.isfinite(bottom) and math.isfinite(top) and top > bottom else (low, high)


def tick_values(y_range: Range, count: int, *, logarithmic: bool) -> list[float]:
    """Return about `count` round places of an axis; on a logarithmic one the logarithms of round numbers."""
    ticks = _decades(y_range, count) if logarithmic else []
    if len(ticks) >= 2:
        return ticks
    step = nice((y_range[1] - y_range[0]) / count)
    first = math.ceil(y_range[0] / step - 1e-9)
    return [index * step for index in range(first, math.floor(y_range[1] / step + 1e-9) + 1)][:50]


def nice(size: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that is not below `size`."""
    power = 10.0 ** math.floor(math.log10(size))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= size * (1 - 1e-9))


def _decades(y_range: Range, count: int) -> list[float]:
    """Return logarithms of round numbers inside the range: 1, 2 and 5 of each decade, or only 1 where those crowd."""
    powers = range(math.floor(y_range[0]) - 1, math.ceil(y_range[1]) + 1)
    for factors in ((1, 2, 5), (1,)):
        ticks = [power + math.log10(factor) for power in powers for factor in factors]
        ticks = [tick for tick in ticks if y_range[0] <= tick <= y_range[1]]
        if len(ticks) <= 2 * count:
            return ticks
    return ticks[:: -(-len(ticks) // count)]
