from __future__ import annotations

import math

import pytest

from core.errors import UsageError
from core.model.run_record import read_run
from core.run.directory import Home
from core.run.event_log import EventWriter
from core.run.events import Evaluated, Finished, Notice, Resumed, Started
from core.run.launch import make_home
from core.run.metrics import MetricsWriter
from tests.tui.runs_made_by_code import DENSE, SERIES, RunMade, finished_run


@pytest.fixture
def made(home: Home) -> RunMade:
    make_home(home)
    return RunMade(home, "small", steps=200)


def test_what_was_trained_again_counts_once(made: RunMade) -> None:
    made.started(device="first").rows(0, 100, odd={0: math.nan}).evaluated(50, 4.0).evaluated(100, 3.0)
    made.event(Notice(level="warning", code="non_finite", message="undone", step=90)).ended(0)
    run = made.run
    attempt = run.attempt(2)
    attempt.path.mkdir()
    writer, rows = EventWriter(run.events, 2), MetricsWriter(attempt, DENSE)
    writer.write(Started(phase="pretrain", steps=200, series=SERIES, facts={"device": "second"}))
    writer.write(Resumed(step=60, checkpoint="step-00000060"))
    for step in range(60, 200):
        loss = math.nan if step == 150 else 9.0 - step / 100
        rows.append(seq=writer.next_seq, step=step + 1, wall=0.0, tokens=1.0, values=[loss, 1.0, 1.0, 1.0])
    rows.close()
    writer.write(Evaluated(step=120, values={"eval/loss": 2.0}, tokens=9, seconds=1))
    writer.write(Finished(step=200, facts={"data": "/no/longer/there"}))
    run.model.mkdir()
    record = read_run(run)
    assert [event.step for event in record.evaluated] == [50, 120]
    assert not record.notices
    assert [event.step for event in record.resumed] == [60]
    assert record.started.facts["device"] == "second"
    assert record.losses is not None
    first, least, last = record.losses
    assert (first[0], last[0], last[1]) == (1, 200, pytest.approx(9.0 - 1.99))
    assert least[1] < 4.9, "the least of all rows that count, a NaN left out"
    assert record.loss[-1][0] == 200
    assert len(record.loss) <= 60
    assert record.manifest is None
    assert record.seconds == 12.0


def test_what_was_done_after_the_model_was_made_is_not_in_it(made: RunMade) -> None:
    made.started(device="first").rows(0, 100).evaluated(100, 3.0).event(Finished(step=100)).ended(0)
    run = made.run
    run.model.mkdir()
    assert not read_run(run).went_on
    attempt = run.attempt(2)
    attempt.path.mkdir()
    writer, rows = EventWriter(run.events, 2), MetricsWriter(attempt, DENSE)
    writer.write(Started(phase="pretrain", steps=200, series=SERIES, facts={"device": "second"}))
    writer.write(Resumed(step=100, checkpoint="step-00000100"))
    for step in range(100, 150):
        rows.append(seq=writer.next_seq, step=step + 1, wall=0.0, tokens=1.0, values=[0.1, 1.0, 1.0, 1.0])
    rows.close()
    writer.write(Evaluated(step=150, values={"eval/loss": 0.1}, tokens=9, seconds=1))
    record = read_run(run)
    assert record.went_on
    assert [event.step for event in record.evaluated] == [100]
    assert record.started.facts["device"] == "first"
    assert not record.resumed
    assert record.losses is not None
    assert record.losses[2][0] == record.loss[-1][0] == 100


def test_a_run_that_is_not_finished_has_no_record(home: Home, made: RunMade) -> None:
    made.started().rows(0, 10)
    made.run.model.mkdir()
    with pytest.raises(UsageError, match="is not finished"):
        read_run(made.run)
    whole = finished_run(home)
    with pytest.raises(UsageError, match="has made no model yet"):
        read_run(whole)
    whole.model.mkdir()
    assert read_run(whole).name == "quickstart"
