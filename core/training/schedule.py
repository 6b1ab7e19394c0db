"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math
from typing import assert_never

from core.config.optimization import Constant, Cosine, Linear, WarmupStableDecay


def learning_rate_at(step: int, *, steps: int, schedule: Constant | Linear | Cosine | WarmupStableDecay) -> float:
    """Return the learning rate of the update that makes `step` into `step + 1`.

    With W warm-up steps, peak p, floor f = p · floor_ratio and T steps: below W it is p·(t+1)/W, or p·t/W with
    `warmup_start: zero`; then the schedule falls from p at W so that its value at T, which no update has, is f.
    Source: cosine as in Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5, without restarts.
    """
    peak, warmup = schedule.peak_learning_rate, schedule.warmup_steps
    if step < warmup:
        return peak * (step + (1 if schedule.warmup_start == "one" else 0)) / warmup
    match schedule:
        case Constant():
            return peak
        case Linear():
            floor = peak * schedule.floor_ratio
            return floor + (peak - floor) * _remaining(step, warmup, steps)
        case Cosine():
            floor = peak * schedule.floor_ratio
            return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * (1 - _remaining(step, warmup, steps))))
        case WarmupStableDecay():
            floor = peak * schedule.floor_ratio
            begin = max(warmup, steps - math.ceil(schedule.decay_ratio * steps))
            return floor + (peak - floor) * (1.0 if step < begin else _remaining(step, begin, steps))
        case _:
            assert_never(schedule)


def _remaining(step: int, begin: int, end: int) -> float:
    return max(0.0, (end - step) / (end - begin))
