"""Holds a run's lock, starts its worker, waits, and says how it ended: `python -m core.run.supervise RUN`.

    launch ──starts──> supervise (own session, lock, subreaper)
                         ├── guard    ends the rest if this process is killed
                         └── worker   python -m core.worker RUN --attempt N

Several ranks (torchrun) come in place of the worker's command; rank 0 will then record the code that it means, since
torchrun turns every failing rank into 1: `_outcome` is where that code is to be read.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from core.errors import ExitCode, FootplateError, RunHeldError
from core.run.directory import AttemptDirectory, RunDirectory
from core.run.lock import RunLock
from core.run.private import check_parents, make_folder, open_file
from core.run.processes import (
    MARKER,
    become_subreaper,
    die_with_parent,
    end_marked,
    identity_of,
    marked,
    reap_orphans,
)
from core.run.records import (
    ExitRecord,
    ProcessRecord,
    read_exit,
    read_process,
    reserve_exit,
    write_exit,
    write_process,
)

FORWARDED = (signal.SIGTERM, signal.SIGUSR1)
ASK_SECONDS = 4.0
KILL_SECONDS = 5.0
LEAVING_SECONDS = 10.0
GUARD_STARTS = 3
_PACKAGES = ("footplate", "torch", "transformers", "tokenizers", "safetensors", "numpy", "pydantic")


def main(arguments: list[str] | None = None) -> int:
    """Run one attempt to its end and return its exit code; 3 where another process holds the run."""
    options = _parser().parse_args(arguments)
    os.umask(0o077)
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    supervisor = Supervisor(RunDirectory(options.run), options.command)
    for number in FORWARDED:
        signal.signal(number, supervisor.forward)
    try:
        supervisor.prepare()
    except (FootplateError, OSError) as error:
        _say(options.ready, {"error": _as_error(error)})
        return int(error.exit_code) if isinstance(error, FootplateError) else int(ExitCode.STORAGE)
    _say(options.ready, {"attempt": supervisor.attempt.number})
    for standard in (sys.stdout, sys.stderr):
        os.dup2(supervisor.log, standard.fileno())  # a traceback of ours belongs beside the worker's
    return supervisor.work()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m core.run.supervise")
    parser.add_argument("run", type=Path)
    parser.add_argument("--ready", type=int, default=None, metavar="DESCRIPTOR", help="say here that the run is held")
    parser.add_argument("command", nargs="*", help="the worker, without RUN --attempt N; the default is core.worker")
    return parser


def _as_error(error: FootplateError | OSError) -> Mapping[str, str]:
    if isinstance(error, FootplateError):
        return {"type": type(error).__name__, "message": error.message, "hint": error.hint}
    return {"type": "StorageError", "message": str(error), "hint": ""}


def _say(descriptor: int | None, words: Mapping[str, object]) -> None:
    if descriptor is not None:
        with suppress(OSError):  # who started this run is gone, and the run goes on
            os.write(descriptor, json.dumps(words).encode("ascii") + b"\n")
        os.close(descriptor)


@dataclass
class Supervisor:
    """One attempt from its lock to its exit.json. An empty `command` is the worker of Footplate."""

    run: RunDirectory
    command: Sequence[str] = ()
    attempt: AttemptDirectory = field(init=False)
    log: int = field(init=False, default=-1)
    _marker: str = field(init=False, default_factory=lambda: os.urandom(16).hex())
    _worker: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _guard: subprocess.Popen[bytes] | None = field(init=False, default=None)
    _guard_pipe: tuple[int, int] = field(init=False, default=(-1, -1))
    _guard_starts: int = field(init=False, default=0)
    _signals: list[int] = field(init=False, default_factory=list)
    _begin: float = field(init=False, default_factory=time.monotonic)

    def prepare(self) -> None:
        """Take the lock and lay out the attempt; whoever waits for this run may now be told that it is held.

        Raises: RunHeldError naming the holder; StorageError, UsageError, OSError.
        """
        check_parents(self.run.path)
        self._lock = _acquired(self.run)
        become_subreaper()
        earlier = self.run.attempts()
        notes = self._end_leftovers(earlier)
        with suppress(FileNotFoundError):
            self.run.stop.unlink()  # it asked an earlier attempt to stop
        self.attempt = self.run.attempt(earlier[-1].number + 1 if earlier else 1)
        make_folder(self.attempt.path, root=self.run.path, new=True)
        reserve_exit(self.attempt)
        self.log = open_file(self.attempt.log, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, root=self.run.path)
        write_process(self.attempt, self._record(notes))
        self._guard_pipe = os.pipe()
        self._start_guard()

    def _end_leftovers(self, earlier: Sequence[AttemptDirectory]) -> tuple[str, ...]:
        """End what a supervisor that was killed together with its guard has left: it would write to this run."""
        notes: list[str] = []
        for attempt in earlier[-1:]:
            record = read_process(attempt)
            if record is None or not record.marker:
                continue
            left = marked(record.marker)
            survivors = end_marked(record.marker, ask_seconds=0, kill_seconds=KILL_SECONDS) if left else []
            if survivors:
                raise RunHeldError(
                    f"{self.run.name}: processes {survivors} of attempt {attempt.number} are still there",
                    hint="They do not end on SIGKILL, so they wait for a device or a file system: see ps and dmesg.",
                )
            if left:
                notes.append(f"ended what attempt {attempt.number} had left: processes {left}")
        return tuple(notes)

    def _record(self, notes: tuple[str, ...]) -> ProcessRecord:
        versions = {"python": platform.python_version()}
        for name in _PACKAGES:
            with suppress(importlib.metadata.PackageNotFoundError):
                versions[name] = importlib.metadata.version(name)
        return ProcessRecord(
            identity=identity_of(os.getpid()),
            argv=tuple(sys.orig_argv),
            wall=_now(),
            marker=self._marker,
            versions=versions,
            notes=notes,
        )

    def _start_guard(self) -> None:
        self._guard_starts += 1
        arguments = [str(self.run.path), str(self.attempt.number), self._marker]
        self._guard = subprocess.Popen(
            [sys.executable, "-P", "-m", "core.run.guard", *arguments],
            stdin=self._guard_pipe[0],
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

    def work(self) -> int:
        """Start the worker, wait for it, end what it left, write exit.json, and return the exit code."""
        try:
            self._start_worker()
            code, name = _outcome(self._wait())
        except (OSError, subprocess.SubprocessError) as error:
            print(f"error: the worker could not be started: {error}", file=sys.stderr, flush=True)
            code, name = int(ExitCode.UNEXPECTED), ""
        survivors = end_marked(self._marker, ask_seconds=ASK_SECONDS, kill_seconds=KILL_SECONDS)
        record = ExitRecord(
            code=code,
            signal=name,
            wall=_now(),
            seconds=round(time.monotonic() - self._begin, 3),
            by="supervisor",
            survivors=tuple(survivors),
        )
        write_exit(self.attempt, record)
        return code

    def _start_worker(self) -> None:
        command = self.command or (sys.executable, "-P", "-m", "core.worker")
        parent = os.getpid()
        # Blocked until Session.open has its handlers: a signal in the meantime waits instead of killing.
        signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED)
        self._worker = subprocess.Popen(
            [*command, str(self.run.path), "--attempt", str(self.attempt.number)],
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={**os.environ, MARKER: self._marker, "PYTHONUNBUFFERED": "1"},
            preexec_fn=lambda: die_with_parent(parent),
        )
        signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
        for number in self._signals:
            self._worker.send_signal(number)
        self._signals.clear()

    def forward(self, number: int, frame: FrameType | None) -> None:
        """Pass a signal on to the worker, or keep it until there is one."""
        if self._worker is None:
            self._signals.append(number)
        elif self._worker.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._worker.pid, number)

    def _wait(self) -> int:
        """Reap children, adopted ones too, until the worker is one of them; return its wait status."""
        assert self._worker is not None
        assert self._guard is not None
        while True:
            pid, status = os.waitpid(-1, 0)
            if pid == self._worker.pid:
                self._worker.returncode = os.waitstatus_to_exitcode(status)
                reap_orphans()
                return status
            if pid == self._guard.pid and self._guard_starts < GUARD_STARTS:
                self._guard.returncode = os.waitstatus_to_exitcode(status)
                try:
                    self._start_guard()
                except (OSError, subprocess.SubprocessError) as error:  # no process to be had: no reason to end the run
                    print(f"note: the guard could not be started again: {error}", file=sys.stderr, flush=True)


def _outcome(status: int) -> tuple[int, str]:
    code = os.waitstatus_to_exitcode(status)
    return (code, "") if code >= 0 else (128 - code, signal.Signals(-code).name)


def _acquired(run: RunDirectory) -> RunLock:
    """Take the lock; a holder that has said already how its attempt ended is waited for: its process is leaving."""
    deadline = time.monotonic() + LEAVING_SECONDS
    while True:
        try:
            return RunLock.acquire(run)
        except RunHeldError as error:
            attempts = run.attempts()
            is_leaving = bool(attempts) and read_exit(attempts[-1]) is not None
            if not is_leaving or time.monotonic() > deadline:
                raise _held(run, error) from error
            time.sleep(0.02)


def _held(run: RunDirectory, error: RunHeldError) -> RunHeldError:
    """Add host and time of the holder, which its process.json knows."""
    attempts = run.attempts()
    record = read_process(attempts[-1]) if attempts else None
    if record is None:
        return error
    return RunHeldError(
        f"{run.name} is held by pid {record.identity.pid} on {record.identity.host} since {record.wall}",
        hint=error.hint,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


if __name__ == "__main__":
    sys.exit(main())
