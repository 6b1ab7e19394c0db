"""What a run of rollouts says where nothing was learned."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pytest

from core.errors import NumericError
from core.run.events import Notice
from core.training.policy_loop import _is_nothing_left
from core.training.resume import Position
from core.training.rollout import RolledOut


def work_of(emitted: list[Notice], *, step: int = 0) -> Any:
    return SimpleNamespace(
        session=SimpleNamespace(emit=emitted.append),
        position=Position(step=step),
        steps=20,
        config=SimpleNamespace(cadence=SimpleNamespace(max_skipped_steps=0)),
        writing=SimpleNamespace(sources=[SimpleNamespace(name="vowels"), SimpleNamespace(name="judge")]),
    )


def rolled(*rewards: float) -> RolledOut:
    return cast(RolledOut, SimpleNamespace(number=3, rewards=rewards, judged=[*filter(math.isfinite, rewards)]))


def test_rewards_that_are_not_finite_are_named_as_the_cause() -> None:
    emitted: list[Notice] = []
    with pytest.raises(NumericError) as caught:
        _is_nothing_left(work_of(emitted), rolled(math.nan, math.inf))
    words = (
        "nothing was learned from rollout 3: all 2 responses were left out, since their reward is not a finite number"
    )
    assert emitted[0].message == words
    assert words in caught.value.message
    assert "(vowels, judge)" in caught.value.hint
    assert _is_nothing_left(work_of(emitted, step=5), rolled(math.nan))
    assert emitted[-1].message.endswith("all 1 responses were left out, since their reward is not a finite number")


def test_equal_rewards_are_no_fault_of_them() -> None:
    emitted: list[Notice] = []
    with pytest.raises(NumericError, match="no response of it says what is better") as caught:
        _is_nothing_left(work_of(emitted), rolled(1.0, 1.0, math.nan))
    assert "always get the best reward" in caught.value.hint
