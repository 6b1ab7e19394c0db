"""Supervisor, guard and worker as real processes: signals, kills, orphans, exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.run.control import request
from core.run.directory import Home, RunDirectory
from core.run.launch import child_environment, create_run, launch, terminate
from core.run.lock import lock_state
from core.run.processes import marked
from core.run.records import ExitRecord, read_exit, read_process, reserve_exit, write_exit, write_process
from core.run.replay import stream
from core.run.status import read_status
from tests.core.run.conftest import stand_in, wait_until


def ended(run: RunDirectory, number: int = 1) -> ExitRecord:
    """Wait for an attempt's end."""
    wait_until(lambda: read_exit(run.attempt(number)) is not None)
    record = read_exit(run.attempt(number))
    assert record is not None
    wait_until(lambda: lock_state(run).state == "free")
    return record


def marker_of(run: RunDirectory, number: int = 1) -> str:
    record = read_process(run.attempt(number))
    assert record is not None
    return record.marker


def worker_pid(run: RunDirectory) -> int:
    """Return the process that has the marker and is a child of the supervisor."""
    record = read_process(run.attempts()[-1])
    assert record is not None
    wait_until(lambda: bool(marked(record.marker)))
    return min(marked(record.marker))


def has_stepped(run: RunDirectory, steps: int = 3) -> bool:
    return sum(event.type == "metrics" for event in stream(run)) >= steps


@pytest.mark.parametrize("code", [0, 1, 6, 8, 75])
def test_the_exit_code_of_the_worker_is_the_runs(run: RunDirectory, code: int) -> None:
    assert launch(run, worker=stand_in("exit", code)) == 1
    record = ended(run)
    assert (record.code, record.signal, record.by, record.survivors) == (code, "", "supervisor", ())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_worker_killed_by_a_signal_is_128_and_its_number(run: RunDirectory, number: signal.Signals) -> None:
    launch(run, worker=stand_in("kill", int(number)))
    record = ended(run)
    assert (record.code, record.signal) == (128 + number, number.name)
    assert read_status(run).word == "failed"
    assert ("memory" in read_status(run).words) == (number == signal.SIGKILL)


def test_a_worker_that_cannot_start_is_said_in_the_log(run: RunDirectory) -> None:
    launch(run, worker=["/nowhere/worker"])
    assert ended(run).code == 1
    assert "could not be started" in run.attempt(1).log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_to_the_supervisor_reaches_the_worker_and_ends_in_75(
    run: RunDirectory, number: signal.Signals
) -> None:
    launch(run, worker=stand_in("steps", 100000, 0.01))
    wait_until(lambda: has_stepped(run))
    assert terminate(run, number)
    terminate(run, number)  # a second one changes nothing
    assert ended(run).code == 75
    assert read_status(run).word == "preempted"
    assert not terminate(run, number)


def test_a_signal_before_the_first_step_is_kept_and_ends_in_75(run: RunDirectory) -> None:
    """It comes while the worker still imports: without the blocked mask it would die of it, with 143."""
    launch(run, worker=stand_in("late", 0.5))
    pid = worker_pid(run)
    assert terminate(run)
    assert ended(run).code == 75
    assert not os.path.exists(f"/proc/{pid}")


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_lost_terminal_does_not_reach_the_run(run: RunDirectory, number: signal.Signals) -> None:
    launch(run, worker=stand_in("steps", 60, 0.01))
    assert terminate(run, number)
    assert ended(run).code == 0
    assert read_status(run).word == "finished"


def test_stop_request_and_stop_file_end_in_0_and_a_resume_goes_on(run: RunDirectory) -> None:
    launch(run, worker=stand_in("steps", 100000, 0.01))
    wait_until(lambda: has_stepped(run))
    nonce = request(run, "stop")
    assert ended(run).code == 0
    assert read_status(run).word == "stopped"
    assert (run.control_done / f"{nonce}.json").is_file()
    run.stop.touch()  # left behind: a start takes it away
    assert launch(run, worker=stand_in("steps", 100000, 0.01)) == 2
    assert not run.stop.exists()
    wait_until(lambda: sum(event.type == "metrics" and event.attempt == 2 for event in stream(run)) > 2)
    run.stop.touch()
    assert ended(run, 2).code == 0
    steps = [event.step for event in stream(run) if event.type == "metrics"]
    assert steps == list(range(1, len(steps) + 1))


def test_kill_9_of_the_worker_then_a_resume_shows_each_step_once(run: RunDirectory) -> None:
    launch(run, worker=stand_in("steps", 100000, 0.01))
    wait_until(lambda: has_stepped(run, 15))
    os.kill(worker_pid(run), signal.SIGKILL)
    assert ended(run).code == 137
    launch(run, worker=stand_in("steps", 40, 0.0))
    assert ended(run, 2).code == 0
    events = list(stream(run))
    assert [event.step for event in events if event.type == "metrics"] == list(range(1, 41))
    evaluated = [event.step for event in events if event.type == "evaluated"]
    assert evaluated == sorted(set(evaluated)), "a step that was trained again stands there once"


def test_kill_9_of_the_supervisor_leaves_nothing_and_an_exit_record(run: RunDirectory) -> None:
    launch(run, worker=stand_in("orphans", "steps", 100000, 0.01))
    wait_until(lambda: has_stepped(run))
    record = read_process(run.attempt(1))
    assert record is not None
    assert len(marked(record.marker)) == 4
    begin = time.monotonic()
    os.kill(record.identity.pid, signal.SIGKILL)
    exit_record = ended(run)
    assert time.monotonic() - begin < 10
    assert (exit_record.code, exit_record.by) == (137, "guard")
    assert marked(record.marker) == []
    status = read_status(run)
    assert (status.word, status.exit_code) == ("failed", 137)
    assert launch(run, worker=stand_in("exit", 0)) == 2
    assert ended(run, 2).code == 0


def test_grandchildren_in_sessions_of_their_own_end_with_the_worker(run: RunDirectory) -> None:
    """They ignore SIGTERM, so it takes the kill after it."""
    launch(run, worker=stand_in("orphans", "exit", 0))
    record = ended(run)
    assert (record.code, record.survivors) == (0, ())
    assert marked(marker_of(run)) == []


def test_what_a_killed_supervisor_and_guard_left_is_ended_by_the_next_start(run: RunDirectory) -> None:
    launch(run, worker=stand_in("orphans", "steps", 100000, 0.01))
    wait_until(lambda: has_stepped(run))
    record = read_process(run.attempt(1))
    assert record is not None
    guards = [pid for pid in _children(record.identity.pid) if b"core.run.guard" in _command(pid)]
    assert len(guards) == 1
    os.kill(record.identity.pid, signal.SIGSTOP)  # so that it cannot start another guard
    os.kill(guards[0], signal.SIGKILL)
    os.kill(record.identity.pid, signal.SIGKILL)
    wait_until(lambda: lock_state(run).state == "free")
    assert read_status(run).word == "lost"
    assert len(marked(record.marker)) >= 3, "the orphans are there still"
    assert launch(run, worker=stand_in("exit", 0)) == 2
    assert marked(record.marker) == []
    again = read_process(run.attempt(2))
    assert again is not None
    assert "attempt 1 had left" in again.notes[0]
    ended(run, 2)


def test_a_killed_guard_is_started_again(run: RunDirectory) -> None:
    launch(run, worker=stand_in("steps", 100000, 0.01))
    record = read_process(run.attempt(1))
    assert record is not None

    def guards() -> list[int]:
        return [pid for pid in _children(record.identity.pid) if b"core.run.guard" in _command(pid)]

    wait_until(lambda: len(guards()) == 1)
    first = guards()[0]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: guards() not in ([], [first]))
    os.kill(record.identity.pid, signal.SIGKILL)
    assert ended(run).by == "guard"


def test_exit_json_fits_the_room_that_was_reserved(run: RunDirectory) -> None:
    """On a full disk nothing new can be allocated, so the record is written into blocks that are there."""
    attempt = run.attempt(1)
    attempt.path.mkdir(parents=True)
    reserve_exit(attempt)
    assert os.stat(attempt.exit).st_size == 4096
    assert read_exit(attempt) is None
    record = ExitRecord(137, "SIGKILL", "now", 1.0, "guard", tuple(range(100, 200)))
    write_exit(attempt, record)
    assert read_exit(attempt) == record
    assert json.loads(attempt.exit.read_text())["code"] == 137
    os.truncate(attempt.exit, 4096)  # between the write and the cut
    assert read_exit(attempt) == record


def test_a_process_record_survives_its_file(run: RunDirectory, home: Home) -> None:
    other = create_run(home, None, "tiny", "")
    assert other.name == "tiny-1"
    other.attempt(1).path.mkdir(parents=True)
    launch(run, worker=stand_in("exit", 0))
    ended(run)
    record = read_process(run.attempt(1))
    assert record is not None
    write_process(other.attempt(1), record)
    assert read_process(other.attempt(1)) == record
    assert record.versions["python"]


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_guard_that_cannot_be_started_again_does_not_end_the_run(run: RunDirectory) -> None:
    """No process can be had (EAGAIN) at the moment at which the guard is killed."""
    program = """
import errno, os, signal, sys
from pathlib import Path
from core.run.directory import RunDirectory
from core.run.supervise import Supervisor

class WithoutProcesses(Supervisor):
    def _start_guard(self):
        if self._guard_starts:
            raise BlockingIOError(errno.EAGAIN, "no process can be had")
        super()._start_guard()

supervisor = WithoutProcesses(RunDirectory(Path(sys.argv[1])), sys.argv[2:])
supervisor.prepare()
os.kill(supervisor._guard.pid, signal.SIGKILL)
sys.exit(supervisor.work())
"""
    answer = subprocess.run(
        [sys.executable, "-P", "-c", program, str(run.path), *stand_in("steps", 50, 0.01)],
        env=child_environment(os.environ, run.home), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "the guard could not be started again: [Errno 11] no process can be had" in answer.stderr
    assert read_status(run).word == "finished"
