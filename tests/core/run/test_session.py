"""A run from inside its worker, in this process: what it writes, what it hears, what a full disk does to it."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator

import pytest

from core.run import event_log
from core.run import session as session_module
from core.run.control import request, scan
from core.run.directory import RunDirectory
from core.run.event_log import EventReader
from core.run.events import AnyEvent, Evaluated, Notice, Progress, RequestHandled, Series, Started
from core.run.metrics import MetricsReader
from core.run.records import read_heartbeat
from core.run.session import Session

SERIES = (
    Series(name="train/loss", title="loss", panel="p"),
    Series(name="train/grad_norm", title="norm", panel="p"),
    Series(name="eval/loss", title="held-out", panel="p"),
)


@pytest.fixture
def session(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(session_module, "POLL_SECONDS", 0.0)
    opened = Session.open(run, None, 1)  # type: ignore[arg-type]
    opened.start(Started(phase="pretrain", steps=10, series=SERIES))
    yield opened
    if opened._old_handlers:
        opened.close()


def events(run: RunDirectory) -> list[AnyEvent]:
    return EventReader(run.events).read()


def handled(run: RunDirectory) -> list[tuple[str, bool]]:
    return [(event.verb, event.accepted) for event in events(run) if isinstance(event, RequestHandled)]


def test_rows_hold_the_dense_series_in_their_order(session: Session) -> None:
    session.metrics(step=1, tokens=8, values={"train/grad_norm": 2.0, "train/loss": 1.0})
    session.metrics(step=2, tokens=16, values={"train/loss": 3.0})
    with pytest.raises(ValueError, match="eval/loss"):
        session.metrics(step=3, tokens=24, values={"eval/loss": 3.0})
    reader = MetricsReader(session.run)
    reader.refresh()
    assert reader.series == ["train/loss", "train/grad_norm"]
    assert reader.columns("train/loss")[1].tolist() == [1.0, 3.0]
    assert reader.columns("train/grad_norm")[1].tolist()[0] == 2.0
    assert reader.columns("seq")[1].tolist() == [1, 1], "the number that the next event gets"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_only_sets_a_flag(session: Session, number: signal.Signals) -> None:
    assert session.leaving() is None
    before = session.run.events.read_bytes()
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)
    assert session.leaving() == "preempted"
    assert session.run.events.read_bytes() == before, "no input or output in a handler"


def test_closing_gives_the_signals_back(run: RunDirectory) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Session.open(run, None, 1):  # type: ignore[arg-type]
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_users_stop_wins_over_a_signal(session: Session) -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    nonce = request(session.run, "stop")
    assert session.leaving() == "asked"
    assert session.leaving() == "asked"
    assert handled(session.run) == [("stop", True)]
    assert (session.run.control_done / f"{nonce}.json").exists()


def test_a_stop_file_asks_too(session: Session) -> None:
    session.run.stop.touch()
    assert session.leaving() == "asked"
    assert session.leaving() == "asked"
    assert [event.code for event in events(session.run) if isinstance(event, Notice)] == ["stop_file"]


def test_requests_wait_until_they_are_handled(session: Session) -> None:
    first, second = request(session.run, "checkpoint"), request(session.run, "sample", prompt="x")
    assert [one.nonce for one in session.requests()] == [first, second]
    waiting = session.requests()
    assert [one.nonce for one in waiting] == [first, second]
    session.handled(waiting[0], True, "at step 3")
    session.handled(waiting[1], False, "no prompts here")
    assert session.requests() == []
    assert scan(session.run)[0] == []
    assert handled(session.run) == [("checkpoint", True), ("sample", False)]


def test_garbage_is_answered_once_although_it_cannot_be_moved(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    session.run.control.mkdir(mode=0o700)
    (session.run.control / "x.json").write_bytes(b"garbage")
    monkeypatch.setattr(session_module.control, "settle", lambda *_: False)
    for _ in range(5):
        assert session.leaving() is None
        assert session.requests() == []
    assert handled(session.run) == [("unknown", False)]


def test_what_was_asked_of_an_attempt_that_has_ended_is_refused(session: Session) -> None:
    request(session.run, "stop")  # of attempt 1
    session.close()
    with Session.open(session.run, None, 2) as again:  # type: ignore[arg-type]
        again.start(Started(phase="pretrain", series=SERIES))
        assert again.leaving() is None
        request(session.run, "stop")
        assert again.leaving() == "asked"
    assert handled(session.run) == [("stop", False), ("stop", True)]


def test_the_control_folder_is_polled_at_most_four_times_a_second(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[object] = []
    scan = session_module.control.scan
    monkeypatch.setattr(session_module.control, "scan", lambda run: looks.append(run) or scan(run))
    with Session.open(run, None, 1) as session:  # type: ignore[arg-type]
        begin = time.monotonic()
        calls = 0
        while time.monotonic() - begin < 0.6:
            session.leaving()
            session.requests()
            calls += 1
    assert 2 <= len(looks) <= 4
    assert calls > 1000


def test_progress_comes_at_most_four_times_a_second_with_first_and_last(session: Session) -> None:
    begin = time.monotonic()
    for number in range(2001):
        session.progress("reading", number, 2000, "documents", note=str(number))
        session.progress("tokenizing", number)
    elapsed = time.monotonic() - begin
    found = [event for event in events(session.run) if isinstance(event, Progress) and event.stage == "reading"]
    assert (found[0].done, found[-1].done) == (0, 2000)
    assert len(found) <= 3 + 4 * elapsed
    assert [event.done for event in events(session.run) if isinstance(event, Progress)][1] == 0


def test_the_heart_beats_with_step_section_and_a_growing_counter(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "HEARTBEAT_SECONDS", 0.02)
    with Session.open(run, None, 1) as session:  # type: ignore[arg-type]
        first = read_heartbeat(run)
        assert first is not None
        assert (first.section, first.counter, first.attempt) == ("loading", 1, 1)
        session.step = 42
        with session.section("evaluating"):
            time.sleep(0.3)  # a main thread that is busy for long
            during = read_heartbeat(run)
        time.sleep(0.1)
        after = read_heartbeat(run)
    assert during is not None
    assert after is not None
    assert (during.step, during.section) == (42, "evaluating")
    assert during.counter > 3
    assert during.idle_seconds > 0.15, "it says how long the main thread has shown nothing"
    assert after.section == "evaluating"
    last = read_heartbeat(run)
    time.sleep(0.1)
    assert read_heartbeat(run) == last, "no beat after the end"


def test_a_full_disk_never_raises_and_is_told_when_there_is_space(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.run import metrics

    def fill(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        for module in (event_log, metrics):
            full.setattr(module, "write_all", fill)
        for step in range(1, 4):
            session.metrics(step=step, tokens=step, values={"train/loss": 1.0})
            session.emit(Evaluated(step=step, values={}, tokens=1, seconds=1.0))
            assert session.leaving() is None
    session.metrics(step=4, tokens=4, values={"train/loss": 1.0})
    assert session.leaving() is None  # looks again, and finds space
    found = events(session.run)
    assert [event.type for event in found] == ["started", "notice", "evaluated", "evaluated", "evaluated"]
    assert [event.seq for event in found] == list(range(5))
    reader = MetricsReader(session.run)
    reader.refresh()
    assert reader.columns("step")[1].tolist() == [1, 2, 3, 4]


def test_what_a_session_costs_a_step(session: Session) -> None:
    """Measured 25 µs a step; a step of the smallest model takes 5 ms."""
    begin = time.monotonic()
    for step in range(1, 2001):
        session.leaving()
        with session.section("training"):
            pass
        session.step = step
        session.metrics(step=step, tokens=step, values={"train/loss": 1.0, "train/grad_norm": 1.0})
        session.requests()
    assert (time.monotonic() - begin) / 2000 < 500e-6


def test_between_two_sections_a_run_is_still_at_the_last_one(session: Session) -> None:
    assert session.current_section == "loading"
    with session.section("training"):
        with session.section("saving"):
            assert session.current_section == "saving"
        assert session.current_section == "training"
    assert session.current_section == "training"
