"""Status words: a pure function of small records, the lock and a clock; then the same from real files."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import pytest

from core.run import status as status_module
from core.run.directory import Home, RunDirectory
from core.run.event_log import EventWriter
from core.run.events import Failed, Finished, Notice, Stopped
from core.run.lock import LockState, RunLock, lock_state
from core.run.processes import Identity
from core.run.records import ExitRecord, Heartbeat, ProcessRecord, reserve_exit, write_exit, write_heartbeat
from core.run.runs import list_runs
from core.run.status import BeatWatch, Clock, Ending, Records, derive_status, read_status

HERE = Clock(mono=1000.0, boot_id="boot", pid_namespace=7, host="here", seen_seconds=0.0)
PROCESS = ProcessRecord(Identity(41, 5, "boot", 7, "here"), ("python",), "2026-01-01", "marker")
ELSEWHERE = ProcessRecord(Identity(41, 5, "other boot", 7, "there"), ("python",), "2026-01-01", "marker")
BEAT = Heartbeat(1, 3, 500, "training", 0.0, 998.0, "boot", 0.5)
ALIVE = Records(attempt=1, process=PROCESS, heartbeat=BEAT)
HELD, FREE, UNKNOWN = LockState("held", 41), LockState("free"), LockState("unknown")
FAR_HELD = LockState("held", 0)


def ended(code: int, *, kind: str = "", message: str = "", signal: str = "", by: str = "supervisor") -> Records:
    ending = Ending(kind, message) if kind else None
    return replace(ALIVE, exit=ExitRecord(code, signal, "now", 1.0, by), ending=ending)


@pytest.mark.parametrize(
    ("records", "lock", "clock", "word"),
    [
        (Records(), FREE, HERE, "created"),
        (ended(0, kind="finished"), FREE, HERE, "finished"),
        (ended(0, kind="stopped"), FREE, HERE, "stopped"),
        (ended(0), FREE, HERE, "finished"),
        (ended(75, kind="stopped"), FREE, HERE, "preempted"),
        (ended(6, kind="failed"), FREE, HERE, "failed"),
        (ended(1), FREE, HERE, "failed"),
        (ended(137, signal="SIGKILL", by="guard"), FREE, HERE, "failed"),
        (ALIVE, HELD, HERE, "running"),
        (replace(ALIVE, heartbeat=None), HELD, HERE, "running"),
        (replace(ALIVE, heartbeat=replace(BEAT, attempt=0)), HELD, HERE, "running"),
        (replace(ALIVE, heartbeat=replace(BEAT, mono=1.0)), HELD, HERE, "stalled"),
        (replace(ALIVE, heartbeat=replace(BEAT, idle_seconds=599.0)), HELD, HERE, "stalled"),
        (replace(ALIVE, heartbeat=replace(BEAT, idle_seconds=590.0)), HELD, HERE, "running"),
        (replace(ALIVE, heartbeat=replace(BEAT, idle_seconds=599.0, section="evaluating")), HELD, HERE, "running"),
        (ALIVE, FREE, HERE, "lost"),
        (replace(ALIVE, heartbeat=None), FREE, HERE, "lost"),
        (replace(ALIVE, process=None), FREE, HERE, "lost"),
        (replace(ALIVE, process=ELSEWHERE, heartbeat=replace(BEAT, boot_id="other boot")), FREE, HERE, "running"),
        (
            replace(ALIVE, process=ELSEWHERE, heartbeat=replace(BEAT, boot_id="other boot")), FREE,
            replace(HERE, seen_seconds=121.0), "silent",
        ),
        (replace(ALIVE, process=ELSEWHERE), FAR_HELD, HERE, "running"),
        (
            replace(ALIVE, process=ELSEWHERE, heartbeat=replace(BEAT, boot_id="other boot")), FAR_HELD,
            replace(HERE, seen_seconds=5000.0), "stalled",
        ),
        (replace(ALIVE, heartbeat=replace(BEAT, mono=1.0)), UNKNOWN, HERE, "silent"),
        (ALIVE, UNKNOWN, HERE, "running"),
        (ALIVE, FREE, replace(HERE, pid_namespace=8, mono=1050.0), "running"),
        (ALIVE, FREE, replace(HERE, pid_namespace=8, mono=1121.0), "silent"),
        (replace(ALIVE, heartbeat=BEAT), FREE, replace(HERE, boot_id="new boot", seen_seconds=500.0), "lost"),
    ],
)  # fmt: skip
def test_each_status_word(records: Records, lock: LockState, clock: Clock, word: str) -> None:
    status = derive_status(records, lock, clock)
    assert status.word == word
    assert status.words.startswith(word)


def test_words_say_what_happened_and_where_to_ask() -> None:
    failed = derive_status(ended(6, kind="failed", message="loss is NaN at step 7\nmore"), FREE, HERE)
    assert failed.words == "failed, exit code 6, a loss or gradient that is not finite: loss is NaN at step 7"
    assert failed.exit_code == 6
    message = "step-00000010 cannot be continued exactly:\n    a: 1 → 2\n    b: 1 → 2\n    c: 1 → 2"
    words = derive_status(ended(4, kind="failed", message=message), FREE, HERE).words
    assert words == (
        "failed, exit code 4, its checkpoint: step-00000010 cannot be continued exactly: a: 1 → 2 (and 2 more)"
    )
    assert derive_status(ended(9), FREE, HERE).words == "failed, exit code 9; its worker said nothing of why"
    killed = derive_status(ended(137, signal="SIGKILL"), FREE, HERE)
    assert "memory was full" in killed.words
    assert "supervisor was killed" in derive_status(ended(137, signal="SIGKILL", by="guard"), FREE, HERE).words
    stalled = derive_status(replace(ALIVE, heartbeat=replace(BEAT, idle_seconds=720.0)), HELD, HERE)
    assert stalled.words == "stalled: no progress for 12 min while training at step 500 (pid 41 on here)"
    far = replace(ALIVE, process=ELSEWHERE, heartbeat=replace(BEAT, boot_id="other boot"))
    silent = derive_status(far, FREE, replace(HERE, seen_seconds=300.0))
    assert "on there, where pid 41 cannot be seen from here" in silent.words
    assert (silent.pid, silent.host, silent.beat_seconds) == (41, "there", 300.0)
    running = derive_status(ALIVE, HELD, HERE)
    assert running.words == "running: training at step 500"
    assert (running.step, running.section, running.beat_seconds) == (500, "training", 2.0)


def test_a_suspended_machine_or_a_changed_wall_clock_is_no_stall() -> None:
    """Ages within one boot come from the monotonic clock, which stands still while the machine sleeps."""
    beat = replace(BEAT, wall=time.time() - 1e6)
    assert derive_status(replace(ALIVE, heartbeat=beat), HELD, HERE).word == "running"
    future = replace(BEAT, mono=5000.0)
    status = derive_status(replace(ALIVE, heartbeat=future), HELD, HERE)
    assert (status.word, status.beat_seconds) == ("running", 0.0)


def test_a_watch_ages_the_counter_by_its_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(status_module.time, "monotonic", lambda: now[0])
    watch = BeatWatch()
    beat = replace(BEAT, wall=time.time() - 30)
    assert watch.still_seconds(beat) == pytest.approx(30, abs=1), "a first look can only trust the beat's own time"
    now[0] += 10
    assert watch.still_seconds(beat) == pytest.approx(40, abs=1)
    assert watch.still_seconds(replace(beat, counter=4, wall=0.0)) == 0, "it moved, whatever its clock says"
    now[0] += 7
    assert watch.still_seconds(replace(beat, counter=4, wall=0.0)) == 7


def write_ending(run: RunDirectory, code: int, *events: Stopped | Failed | Finished | Notice) -> None:
    attempt = run.attempt(1)
    attempt.path.mkdir(parents=True)
    writer = EventWriter(run.events, 1)
    for event in events:
        writer.write(event)
    writer.close()
    reserve_exit(attempt)
    write_exit(attempt, ExitRecord(code, "", "now", 1.0, "supervisor"))


@pytest.mark.parametrize(
    ("code", "events", "word"),
    [
        (0, (Finished(step=3),), "finished"),
        (0, (Stopped(step=3, reason="asked"),), "stopped"),
        (75, (Stopped(step=3, reason="preempted"),), "preempted"),
        (5, (Failed(exit_code=5, message="no rows"),), "failed"),
        (0, (Stopped(step=3, reason="asked"), Notice(level="info", code="x", message="y" * 10_000)), "stopped"),
    ],
)
def test_the_same_from_files(
    run: RunDirectory, code: int, events: tuple[Stopped | Failed | Finished | Notice, ...], word: str
) -> None:
    write_ending(run, code, *events)
    status = read_status(run)
    assert (status.word, status.exit_code, status.attempt) == (word, code, 1)
    if word == "failed":
        assert status.words.endswith("its data: no rows")


def test_a_reserved_exit_record_is_none_yet(run: RunDirectory) -> None:
    run.attempt(1).path.mkdir(parents=True)
    reserve_exit(run.attempt(1))
    lock = RunLock.acquire(run)
    try:
        assert lock_state(run) == LockState("held", os.getpid())
        assert read_status(run).word == "running"
    finally:
        lock.release()
    assert lock_state(run).state == "free"
    assert read_status(run).word == "lost"


def test_damaged_records_never_raise(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(status_module.time, "sleep", lambda seconds: None)
    attempt = run.attempt(1)
    attempt.path.mkdir(parents=True)
    for garbage in (b"", b"{", b"[]", b"\0" * 100, b'{"code": "x"}', b"\xff", b"[" * 100_000):
        for path in (attempt.exit, attempt.process, run.heartbeat, run.events):
            path.write_bytes(garbage)
        assert read_status(run).word == "lost"
    for path in (attempt.exit, attempt.process, run.heartbeat, run.events):
        path.unlink()
        os.mkfifo(path)
    assert read_status(run).word == "lost"


def test_five_hundred_runs_are_looked_at_in_a_moment(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured 0.3 s; a second leaves room for a busy machine."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    for _ in range(500):
        run = make_quickly(home)
        write_ending(run, 0, Finished(step=3))
        write_heartbeat(run, BEAT)
    begin = time.monotonic()
    runs = list_runs(home)
    words = {read_status(run).word for run in runs}
    assert time.monotonic() - begin < 1.0, time.monotonic() - begin
    assert len(runs) == 500
    assert words == {"finished"}


def make_quickly(home: Home) -> RunDirectory:
    """Make a run without the syncs of a real one."""
    home.runs.mkdir(mode=0o700, exist_ok=True)
    run = RunDirectory(home.runs / f"many-{len(list(home.runs.iterdir()))}")
    run.path.mkdir(mode=0o700)
    run.config.write_text("phase: pretrain\n")
    return run
