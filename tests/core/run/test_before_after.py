"""First and last held-out values of a run, from the events that count."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from core.run.before_after import BeforeAfter, before_after
from core.run.directory import RunDirectory
from core.run.event_log import EventWriter
from core.run.events import AnyEvent, Evaluated, Resumed, Series, Started

REWARD = Series(name="eval/reward", title="reward", panel="reward", lower_is_better=False)
LOSS = Series(name="eval/loss", title="held-out loss", panel="loss", lower_is_better=True)
SPREAD = Series(name="eval/score_spread", title="spread", panel="score")
TRAINED = Series(name="train/loss", title="loss", panel="loss", lower_is_better=True)


def evaluated(step: int, **values: float) -> Evaluated:
    return Evaluated(step=step, values={f"eval/{name}": value for name, value in values.items()}, tokens=1, seconds=0.0)


def written(run: RunDirectory, *attempts: Sequence[AnyEvent]) -> RunDirectory:
    for number, events in enumerate(attempts, 1):
        writer = EventWriter(run.events, number)
        for event in events:
            writer.write(event)
        writer.close()
    return run


STARTED = Started(phase="ppo", series=(TRAINED, LOSS, REWARD, SPREAD))


def test_first_and_last_of_each_declared_series_in_its_order(run: RunDirectory) -> None:
    events = [STARTED, evaluated(0, reward=-1.0, unknown=3.0), evaluated(5, reward=9.0), evaluated(8, reward=2, loss=4)]
    assert before_after(written(run, events)) == [
        BeforeAfter(LOSS, 8, 4.0, 8, 4.0), BeforeAfter(REWARD, 0, -1.0, 8, 2.0),
    ]  # fmt: skip


def test_what_a_resume_went_back_behind_does_not_count(run: RunDirectory) -> None:
    first = [STARTED, evaluated(0, reward=1.0), evaluated(5, reward=2.0), evaluated(8, reward=3.0)]
    later = [STARTED, Resumed(step=5, checkpoint="step-00000005"), evaluated(6, reward=2.5)]
    assert before_after(written(run, first)) == [BeforeAfter(REWARD, 0, 1.0, 8, 3.0)]
    written(run, (), later[:2])
    assert before_after(run) == [BeforeAfter(REWARD, 0, 1.0, 5, 2.0)]
    written(run, (), (), later)
    assert before_after(run) == [BeforeAfter(REWARD, 0, 1.0, 6, 2.5)]


def test_a_run_that_has_said_nothing_has_changed_nothing(run: RunDirectory) -> None:
    assert before_after(run) == []


@pytest.mark.parametrize(
    ("series", "before", "after", "is_better"),
    [
        (REWARD, 1.0, 2.0, True), (REWARD, 2.0, 1.0, False), (LOSS, 2.0, 1.0, True), (LOSS, 1.0, 2.0, False),
        (LOSS, 1.0, 1.0, None), (SPREAD, 1.0, 2.0, None), (LOSS, 1.0, math.nan, None), (LOSS, 1.0, math.inf, False),
    ],
)  # fmt: skip
def test_which_is_better(series: Series, before: float, after: float, is_better: bool | None) -> None:
    assert BeforeAfter(series, 0, before, 1, after).is_better is is_better
