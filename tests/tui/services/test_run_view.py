from __future__ import annotations

import pytest

from core.run.events import CheckpointSaved, Evaluated, Finished, Progress, Resumed, Sampled, Series, Started, Stopped
from tui.services.run_view import RunView, remaining_seconds

LOSS = Series(name="train/loss", title="train", panel="loss")
EVAL = Series(name="eval/loss", title="eval", panel="loss", lower_is_better=True)
RATE = Series(name="train/learning_rate", title="rate", panel="learning rate")


def evaluated(step: int, loss: float) -> Evaluated:
    return Evaluated(step=step, values={"eval/loss": loss}, tokens=1, seconds=1)


def test_series_of_a_panel_share_a_chart_in_declared_order() -> None:
    view = RunView("x")
    view.apply([Started(phase="pretrain", steps=10, series=(LOSS, RATE, EVAL))])
    assert {name: [s.name for s in group] for name, group in view.panels().items()} == {
        "loss": ["train/loss", "eval/loss"],
        "learning rate": ["train/learning_rate"],
    }


def test_resumed_takes_back_later_steps() -> None:
    view = RunView("x")
    view.apply([Started(phase="pretrain", series=(EVAL,)), evaluated(10, 3.0), evaluated(20, 2.0)])
    view.apply([Sampled(step=20, prompt="p", text="t"), CheckpointSaved(step=15, name="s", bytes=1, seconds=1)])
    view.apply([Started(phase="pretrain", series=(EVAL,)), Resumed(step=15, checkpoint="s")])
    assert [event.step for event in view.evaluations] == [10]
    assert not view.samples
    assert len(view.checkpoints) == 1
    assert view.resumed_step == 15


def test_a_new_attempt_is_not_ended() -> None:
    view = RunView("x")
    view.apply([Started(phase="sft"), Finished(step=3)])
    assert view.ended is not None
    view.apply([Started(phase="sft")])
    assert view.ended is None


def test_an_attempt_that_waits_is_not_ended() -> None:
    view = RunView("x")
    view.apply(
        [Progress(attempt=1, stage="reading", done=1), Stopped(attempt=1, step=0, reason="asked", message="left")]
    )
    view.apply([Progress(attempt=2, stage="training quickstart", done=1)])
    assert view.ended is None
    assert list(view.progress) == ["training quickstart"]


def test_best_evaluation_ignores_nan() -> None:
    view = RunView("x")
    view.apply([evaluated(1, 3.0), evaluated(2, float("nan")), evaluated(3, 2.5), evaluated(4, 2.7)])
    assert view.best_evaluation(EVAL) == (3, 2.5)
    assert view.best_evaluation(LOSS) is None


def test_remaining_time_counts_the_steps_of_this_attempt_only() -> None:
    """1000 steps, resumed at 900, 10 steps in 60 s: 540 s, not 5.9 s."""
    assert remaining_seconds([900, 910], [0.0, 60.0], planned=1000) == pytest.approx(540)
    assert remaining_seconds([900], [0.0], planned=1000) is None


def test_best_evaluation_follows_what_a_resume_takes_back() -> None:
    view = RunView("x")
    view.apply([Started(phase="pretrain", series=(EVAL,)), evaluated(10, 3.0), evaluated(20, 1.0)])
    assert view.best_evaluation(EVAL) == (20, 1.0)
    view.apply([Started(phase="pretrain", series=(EVAL,)), Resumed(step=15, checkpoint="s")])
    assert view.best_evaluation(EVAL) == (10, 3.0)


def test_the_rest_of_a_stage_takes_as_long_as_its_mean_pace_says() -> None:
    def progress(done: float, mono: float, total: float | None = 1000.0) -> Progress:
        return Progress(stage="reading", done=done, total=total, unit="bytes", mono=mono)

    view = RunView("a")
    view.apply([progress(200, 10.0)])
    assert view.stage_seconds_left("reading") is None
    view.apply([progress(300, 70.0)])  # a minute of loading, which says nothing of the pace
    assert view.stage_seconds_left("reading") is None
    view.apply([progress(450, 80.0), progress(600, 85.0)])
    assert view.stage_seconds_left("reading") == 20.0  # 300 bytes in 15 s, and 400 are left
    view.apply([progress(0, 90.0), progress(50, 90.5)])  # another pass
    assert view.stage_seconds_left("reading") is None
    view.apply([progress(100, 91.0)])
    assert view.stage_seconds_left("reading") == 9.0
    view.apply([progress(100, 91.0, total=None)])
    assert view.stage_seconds_left("reading") is None
    view.apply([progress(1000, 92.0)])
    assert view.stage_seconds_left("reading") is None
    view.apply([progress(500, 95.0), progress(600, 96.0), progress(700, 97.0), Finished(step=None)])
    assert view.stage_seconds_left("reading") is None
