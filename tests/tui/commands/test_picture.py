from __future__ import annotations

from typing import Any

import pytest

from core.run.events import Evaluated, Metrics, Notice, Paused, Progress, Resumed, Sampled, Started, Stopped
from tui.commands.picture import Picture


def _row(step: int, loss: float = 2.0) -> Metrics:
    return Metrics(step=step, tokens=100.0 * step, values={"train/loss": loss})


def test_time_that_remains_is_that_of_this_attempt(at: Any) -> None:
    """TRAPS: 1000 steps, resumed at 900, 10 steps in 60 s leave 540 s, whatever the first attempt took."""
    picture = Picture()
    picture.take(at(Started(phase="pretrain", steps=1000), 0))
    for step in range(1, 901):
        picture.take(at(_row(step), step * 0.001))
    picture.take(at(Started(phase="pretrain", steps=1000), 5000))
    picture.take(at(Resumed(step=900, checkpoint="step-00000900"), 5000))
    picture.take(at(_row(900), 5000))
    picture.take(at(_row(910), 5060))
    assert picture.remaining_seconds == pytest.approx(540)
    assert picture.elapsed_seconds == 60


def test_time_that_remains_is_unknown_before_two_rows_and_when_the_clock_goes_back(at: Any) -> None:
    picture = Picture()
    picture.take(at(Started(phase="pretrain", steps=10), 0))
    picture.take(at(_row(1), 100))
    assert picture.remaining_seconds is None
    picture.take(at(_row(2), 50))
    assert picture.remaining_seconds is None


def test_samples_are_those_of_the_last_step(at: Any) -> None:
    picture = Picture()
    for step, text in ((1, "a"), (2, "b"), (2, "c")):
        picture.take(at(Sampled(step=step, prompt="p", text=text), step))
    assert [sample.text for sample in picture.samples] == ["b", "c"]


def test_a_row_ends_the_stage_of_preparation(at: Any) -> None:
    picture = Picture()
    picture.take(at(Progress(stage="tokenize", done=1, total=2), 0))
    assert picture.progress is not None
    picture.take(at(_row(1), 1))
    assert picture.progress is None


def test_an_attempt_that_waits_shows_its_progress_and_not_the_end_of_the_one_before(at: Any) -> None:
    picture = Picture()
    picture.take(at(Stopped(step=0, reason="asked", message="left"), 0, attempt=1))
    picture.take(at(Progress(stage="training quickstart", done=1, total=2), 9, attempt=2))
    assert picture.end is None
    assert picture.progress is not None


def test_a_pause_is_over_when_work_goes_on_not_when_something_is_said(at: Any) -> None:
    picture = Picture()
    picture.take(at(Paused(reason="no space"), 0))
    picture.take(at(Notice(level="info", code="x", message="y"), 1))
    assert picture.paused == "no space"
    picture.take(at(_row(1), 2))
    assert picture.paused == ""


def test_evaluation_is_kept(at: Any) -> None:
    picture = Picture()
    picture.take(at(Evaluated(step=5, values={"eval/loss": 3.0}, tokens=10, seconds=0.1), 0))
    assert picture.held_out is not None
    assert picture.step == 5
