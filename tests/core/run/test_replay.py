"""Events and rows in one order, as --json prints them."""

from __future__ import annotations

import threading
import time

from core.run.directory import RunDirectory
from core.run.events import (
    AnyEvent,
    CheckpointSaved,
    Evaluated,
    Finished,
    Metrics,
    Notice,
    Resumed,
    Sampled,
    Series,
    Started,
    Stopped,
)
from core.run.replay import Replay, stream
from core.run.session import Session

SERIES = (Series(name="train/loss", title="loss", panel="p"), Series(name="eval/loss", title="e", panel="p"))


def attempt(run: RunDirectory, number: int) -> Session:
    session = Session.open(run, None, number)  # type: ignore[arg-type]
    session.start(Started(phase="pretrain", steps=20, series=SERIES))
    return session


def step(session: Session, number: int) -> None:
    session.metrics(step=number, tokens=number * 8, values={"train/loss": number + session.attempt / 10})


def short(events: list[AnyEvent]) -> list[str]:
    """Return type and step of each event."""
    return [f"{event.type} {getattr(event, 'step', None) or ''}".strip() for event in events]


def test_rows_stand_between_the_events_where_they_were_written(run: RunDirectory) -> None:
    with attempt(run, 1) as session:
        for number in range(1, 6):
            step(session, number)
            if number % 2 == 0:
                session.emit(Evaluated(step=number, values={}, tokens=1, seconds=1))
        session.emit(Finished(step=5))
    events = list(stream(run))
    assert short(events) == [
        "started", "metrics 1", "metrics 2", "evaluated 2", "metrics 3", "metrics 4", "evaluated 4", "metrics 5",
        "finished 5",
    ]  # fmt: skip
    seqs = [event.seq for event in events]
    assert seqs == [0, 1, 1, 1, 2, 2, 2, 3, 3], "a row has the seq of the event after it"
    row = events[2]
    assert isinstance(row, Metrics)
    assert (row.values, row.tokens, row.attempt) == ({"train/loss": 2.1}, 16, 1)
    assert abs(time.time() - _seconds(row.wall)) < 60


def _seconds(wall: str) -> float:
    from datetime import datetime

    return datetime.fromisoformat(wall).timestamp()


def two_attempts(run: RunDirectory) -> None:
    with attempt(run, 1) as session:
        for number in range(1, 8):
            step(session, number)
            session.emit(Evaluated(step=number, values={}, tokens=1, seconds=1))
        session.emit(CheckpointSaved(step=7, name="bad", bytes=1, seconds=1))
        session.emit(Sampled(step=7, prompt="", text=""))
        session.emit(Notice(level="info", code="x", message="at 7", step=7))
        session.emit(Notice(level="info", code="y", message="no step"))
        session.emit(Stopped(step=7, reason="asked"))
    with attempt(run, 2) as session:
        session.emit(Resumed(step=4, checkpoint="step-4"))
        for number in range(5, 9):
            step(session, number)
        session.emit(Finished(step=8))


def test_what_was_trained_again_stands_there_once(run: RunDirectory) -> None:
    two_attempts(run)
    events = list(stream(run))
    assert [event.step for event in events if isinstance(event, Metrics)] == list(range(1, 9))
    assert [e.attempt for e in events if isinstance(e, Metrics)] == [1] * 4 + [2] * 4
    assert [event.step for event in events if isinstance(event, Evaluated)] == [1, 2, 3, 4]
    assert short(events)[8:] == [
        "evaluated 4", "notice", "stopped 7", "started", "resumed 4", "metrics 5", "metrics 6", "metrics 7",
        "metrics 8", "finished 8",
    ]  # fmt: skip


def test_small_reads_give_the_same_as_one_large_one(run: RunDirectory) -> None:
    two_attempts(run)
    whole = list(stream(run))
    for size in (1, 2, 3, 7):
        replay, seen = Replay(run), []
        while events := replay.read(size):
            seen += events
        assert seen == whole


def test_after_an_event_only_later_ones_come(run: RunDirectory) -> None:
    two_attempts(run)
    events = list(stream(run))
    rest = list(stream(run, after=3))
    assert rest == [event for event in events if event.seq > 3]
    assert rest


def test_more_superseded_events_than_one_read_holds_do_not_end_the_stream(run: RunDirectory) -> None:
    with attempt(run, 1) as session:
        for number in range(1, 3001):
            session.emit(Sampled(step=number, prompt="", text=""))
    with attempt(run, 2) as session:
        session.emit(Resumed(step=0, checkpoint=""))
        session.emit(Finished(step=1))
    assert short(list(stream(run))) == ["started", "started", "resumed", "finished 1"]


def test_following_yields_what_comes_in_order_until_told_to_stop(run: RunDirectory) -> None:
    ends = threading.Event()
    seen: list[AnyEvent] = []
    reader = threading.Thread(target=lambda: seen.extend(stream(run, follow=lambda: not ends.is_set())))
    reader.start()
    with attempt(run, 1) as session:
        for number in range(1, 301):
            step(session, number)
            if number % 3 == 0:
                session.emit(Evaluated(step=number, values={}, tokens=1, seconds=1))
            time.sleep(0.002)
        session.emit(Finished(step=300))
    ends.set()
    reader.join(timeout=10)
    assert not reader.is_alive()
    assert seen == list(stream(run))
    assert [event.step for event in seen if isinstance(event, Metrics)] == list(range(1, 301))
    seqs = [event.seq for event in seen]
    assert seqs == sorted(seqs)


def test_a_replay_reads_twenty_thousand_rows_in_seconds(run: RunDirectory) -> None:
    with attempt(run, 1) as session:
        for number in range(1, 20_001):
            step(session, number)
    begin = time.monotonic()
    assert sum(isinstance(event, Metrics) for event in stream(run)) == 20_000
    assert time.monotonic() - begin < 3
