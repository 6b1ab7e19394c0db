from __future__ import annotations

import numpy as np
import pytest

from core.run.directory import Home
from core.run.event_log import EventReader, EventWriter
from core.run.events import Resumed, Started
from core.run.metrics import MetricsWriter
from tests.tui.runs_made_by_code import DENSE, SERIES, T0, RunMade
from tui.services.curves import CurveRequest, CurveSource, Frame
from tui.services.downsample import Smoother

PANELS = (("loss", ("train/loss", "eval/loss"), 100),)


def frame_of(made: RunMade, request: CurveRequest) -> Frame:
    source = CurveSource(made.run)
    source.take(EventReader(made.run.events).read())
    source.refresh()
    return source.build(request)


def test_a_source_that_followed_shows_what_a_fresh_one_shows(home: Home) -> None:
    made = RunMade(home, "a").started()
    source = CurveSource(made.run)
    request = CurveRequest(panels=PANELS, planned=1000)
    for first in range(0, 1000, 137):
        made.rows(first, min(1000, first + 137))
        assert source.refresh()
        followed = source.build(request)
    fresh = frame_of(made, request)
    np.testing.assert_array_equal(followed.panels["loss"][0].x, fresh.panels["loss"][0].x)
    # 1e-12: the smoother's blocks begin elsewhere, so that sums run in another order.
    np.testing.assert_allclose(followed.panels["loss"][0].y, fresh.panels["loss"][0].y, rtol=1e-12)


def test_smoothing_is_computed_on_all_rows_and_not_on_the_thinned_ones(home: Home) -> None:
    made = RunMade(home, "a").started().rows(0, 1000)
    curve = frame_of(made, CurveRequest(panels=PANELS, smoothing=0.9, planned=1000)).panels["loss"][0]
    unthinned = frame_of(made, CurveRequest(panels=(("loss", ("train/loss",), 10**6),), smoothing=0.0)).panels["loss"][
        0
    ]
    everything = dict(zip(unthinned.x.tolist(), Smoother(0.9).feed(unthinned.y).tolist(), strict=True))
    np.testing.assert_allclose(curve.y, [everything[x] for x in curve.x.tolist()], rtol=1e-12)
    assert len(curve.x) <= 200


def test_rows_that_a_resume_took_back_are_gone(home: Home) -> None:
    made = RunMade(home, "a").started().rows(0, 300).evaluated(100, 4.0).evaluated(300, 3.0)
    source = CurveSource(made.run)
    reader = EventReader(made.run.events)
    source.take(reader.read())
    source.refresh()
    request = CurveRequest(panels=PANELS, smoothing=0.0, planned=1000)
    assert source.build(request).step == 300
    made.run.attempt(2).path.mkdir()
    writer = EventWriter(made.run.events, 2)
    writer.write(Started(phase="pretrain", steps=1000, series=SERIES))
    writer.write(Resumed(step=200, checkpoint="step-00000200"))
    metrics = MetricsWriter(made.run.attempt(2), DENSE)
    for step in range(200, 230):
        metrics.append(seq=9, step=step + 1, wall=T0 + 1e6 + step, tokens=2048.0 * step, values=[1.0, 1.0, 1.0, 1.0])
    source.take(reader.read())
    assert source.refresh()
    frame = source.build(request)
    assert frame.step == 230
    loss, evaluation = frame.panels["loss"]
    assert (np.diff(loss.x) > 0).all()
    assert loss.y[loss.x > 200].tolist() == [1.0] * int((loss.x > 200).sum())
    assert evaluation.x.tolist() == [100.0]


def test_the_time_left_knows_only_this_attempt(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """900 steps in an earlier attempt, ten steps at 6 s each in this one: 90 more take 540 s."""
    made = RunMade(home, "a").started().rows(0, 900)
    made.run.attempt(2).path.mkdir()
    writer = EventWriter(made.run.events, 2)
    monkeypatch.setattr("tui.services.curves.seconds_of", lambda wall: T0 + 1e6)
    writer.write(Started(phase="pretrain", steps=1000, series=SERIES))
    writer.write(Resumed(step=900, checkpoint="step-00000900"))
    metrics = MetricsWriter(made.run.attempt(2), DENSE)
    for index in range(11):
        wall = T0 + 1e6 + 6 * index
        metrics.append(seq=9, step=900 + index, wall=wall, tokens=0.0, values=[1.0, 1.0, 1.0, 1.0])
    frame = frame_of(made, CurveRequest(panels=PANELS, planned=1000))
    assert frame.remaining == pytest.approx(540)


def test_axes_of_tokens_and_time(home: Home) -> None:
    made = RunMade(home, "a").started().rows(0, 500).evaluated(250, 3.0)
    tokens = frame_of(made, CurveRequest(panels=PANELS, x="tokens", planned=1000))
    assert tokens.last == pytest.approx(2048 * 1000)
    assert tokens.panels["loss"][1].x.tolist() == [2048.0 * 250]
    time = frame_of(made, CurveRequest(panels=PANELS, x="time", planned=1000))
    assert time.newest == pytest.approx(0.31 * 499)
    assert time.last == 200


def test_the_cursor_reads_the_nearest_row_exactly(home: Home) -> None:
    made = RunMade(home, "a").started().rows(0, 100).evaluated(50, 3.25)
    frame = frame_of(made, CurveRequest(panels=PANELS, cursor=41.4))
    assert frame.cursor_step == 41
    assert frame.cursor_values["train/grad_norm"] == pytest.approx(1 + abs(np.sin(40 * 78.233)))
    assert frame.cursor_values["eval/loss"] == 3.25
