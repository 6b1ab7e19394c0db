"""What a run is doing, derived from its small records; stored nowhere."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass, replace
from typing import Literal

from core.errors import UsageError
from core.run.directory import RunDirectory
from core.run.lock import LockState, lock_state
from core.run.private import open_file
from core.run.processes import boot_id, pid_namespace
from core.run.records import (
    ExitRecord,
    Heartbeat,
    ProcessRecord,
    read_exit,
    read_heartbeat,
    read_process,
)

Word = Literal["created", "finished", "stopped", "preempted", "failed", "running", "stalled", "lost", "silent"]

SILENT_SECONDS = 120.0
BEAT_SECONDS = 60.0
"""A beat comes every 5 s; a machine that swaps or a call that holds the interpreter may delay it."""
ALLOWED_SECONDS = {
    "loading": 900.0,
    "preparing": 900.0,
    "training": 600.0,
    "evaluating": 900.0,
    "sampling": 900.0,
    "saving": 900.0,
}
"""How long the main thread may show no progress in a section before the run counts as stalled. Training: the first
step of a compiled model takes minutes."""
_OTHER_SECONDS = 900.0
_TAIL_BYTES = 16 * 1024
_JUST_LOST_SECONDS = 20.0

_WITHOUT_A_WORD = "; its worker said nothing of why"
CODE_WORDS = {
    1: "an unexpected error",
    2: "its configuration",
    3: "the run is held",
    4: "its checkpoint",
    5: "its data",
    6: "a loss or gradient that is not finite",
    7: "out of memory",
    8: "disk full, or input and output that failed",
}


@dataclass(frozen=True)
class Ending:
    """The event that ended an attempt: stopped, failed or finished, and its message."""

    kind: str
    message: str = ""


@dataclass(frozen=True)
class Records:
    """Everything that the last attempt of a run has left; `attempt` is 0 where there is none."""

    attempt: int = 0
    process: ProcessRecord | None = None
    exit: ExitRecord | None = None
    heartbeat: Heartbeat | None = None
    ending: Ending | None = None


@dataclass(frozen=True)
class Clock:
    """Where and when somebody looks.

    `mono` and `boot_id`, `pid_namespace`, `host` are of the looking process; `seen_seconds` is how long it has seen
    the heartbeat's counter stand still, by its own monotonic clock.
    """

    mono: float
    boot_id: str
    pid_namespace: int
    host: str
    seen_seconds: float = 0.0


@dataclass(frozen=True)
class RunStatus:
    """A status word, the same in words for a person, and what it rests on.

    `beat_seconds` is the age of the last heartbeat; `pid` and `host` are the supervisor's.
    """

    word: Word
    words: str
    attempt: int = 0
    exit_code: int | None = None
    pid: int | None = None
    host: str | None = None
    step: int | None = None
    section: str = ""
    beat_seconds: float | None = None


def derive_status(records: Records, lock: LockState, clock: Clock) -> RunStatus:
    """Return what a run is doing. Pure: the records, the answer about the lock and the clock decide alone."""
    if not records.attempt:
        return RunStatus("created", "created: it was not started yet")
    beat = records.heartbeat if records.heartbeat and records.heartbeat.attempt == records.attempt else None
    identity = records.process.identity if records.process else None
    base = RunStatus(
        "running",
        "",
        attempt=records.attempt,
        pid=identity.pid if identity else lock.pid,
        host=identity.host if identity else None,
        step=beat.step if beat else None,
        section=beat.section if beat else "",
        beat_seconds=_beat_age(beat, clock) if beat else None,
    )
    if records.exit is not None:
        return _ended(base, records.exit, records.ending)
    if lock.state == "held":
        return _alive(base, beat)
    if identity is None:
        return replace(base, word="lost", words="lost: it ended before its worker was started")
    is_here = identity.boot_id == clock.boot_id and identity.pid_namespace == clock.pid_namespace
    if is_here and lock.state == "free":
        return replace(base, word="lost", words=f"lost: its processes are gone and left no exit code ({_last(base)})")
    if base.beat_seconds is not None and base.beat_seconds < SILENT_SECONDS:
        return _alive(base, beat)
    if identity.host == clock.host and identity.boot_id != clock.boot_id and lock.state == "free":
        return replace(base, word="lost", words=f"lost: {clock.host} was started anew since ({_last(base)})")
    return replace(base, word="silent", words=_silent(base, clock))


def _ended(base: RunStatus, record: ExitRecord, ending: Ending | None) -> RunStatus:
    kind = ending.kind if ending else ""
    because = _because(ending.message) if ending else ""
    status = replace(base, exit_code=record.code, beat_seconds=None)
    if record.code == 0 and kind == "stopped":
        return replace(status, word="stopped", words=f"stopped because its user asked{_at(base)}")
    if record.code == 0:
        words = "finished" if kind == "finished" else "finished; its last event is missing from the log"
        return replace(status, word="finished", words=words)
    if record.code == 75:
        return replace(status, word="preempted", words=f"preempted by a signal{_at(base)}; resume it to go on")
    if record.by == "guard":
        words = "failed: its supervisor was killed"
    elif record.signal == "SIGKILL":
        words = "failed: killed by SIGKILL, perhaps by the kernel because the machine's memory was full"
    elif record.signal:
        words = f"failed: ended by {record.signal}"
    else:
        known = f", {CODE_WORDS[record.code]}" if record.code in CODE_WORDS else ""
        words = f"failed, exit code {record.code}{known}{because if ending else _WITHOUT_A_WORD}"
    return replace(status, word="failed", words=words)


def _because(message: str) -> str:
    """Return the first line of a message, and the next where the first only announces it."""
    first, *rest = [line.strip() for line in message.splitlines() if line.strip()] or [""]
    if first.endswith(":") and rest:
        first = f"{first} {rest[0]}" + (f" (and {len(rest) - 1} more)" if rest[1:] else "")
    return f": {first}" if first else ""


def _alive(base: RunStatus, beat: Heartbeat | None) -> RunStatus:
    if beat is None or base.beat_seconds is None:
        return replace(base, words=f"running: starting (pid {base.pid} on {base.host or 'this machine'})")
    idle = beat.idle_seconds + base.beat_seconds
    allowed = ALLOWED_SECONDS.get(beat.section, _OTHER_SECONDS)
    if base.beat_seconds > BEAT_SECONDS or idle > allowed:
        words = f"stalled: no progress for {_duration(idle)} while {beat.section}{_at(base)}"
        return replace(base, word="stalled", words=f"{words} (pid {base.pid} on {base.host or 'this machine'})")
    return replace(base, words=f"running: {beat.section}{_at(base)}")


def _silent(base: RunStatus, clock: Clock) -> str:
    where = f"on {base.host}" if base.host != clock.host else f"in another pid namespace of {base.host}"
    return f"silent: it runs {where}, where pid {base.pid} cannot be seen from here; ask there ({_last(base)})"


def _last(base: RunStatus) -> str:
    if base.beat_seconds is None:
        return "it never gave a sign of life"
    return f"last sign of life {_duration(base.beat_seconds)} ago, {base.section}{_at(base)}"


def _at(base: RunStatus) -> str:
    return f" at step {base.step:,}" if base.step else ""


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _beat_age(beat: Heartbeat, clock: Clock) -> float:
    # One boot has one monotonic clock; between machines only the reader's own says how long nothing has changed.
    age = clock.mono - beat.mono if beat.boot_id and beat.boot_id == clock.boot_id else clock.seen_seconds
    return max(0.0, age)


class BeatWatch:
    """Remembers, over several looks at one run, since when its heartbeat's counter stands still."""

    def __init__(self) -> None:
        self._seen: tuple[int, int] | None = None
        self._since = 0.0

    def still_seconds(self, beat: Heartbeat | None) -> float:
        """Return for how long the counter has not moved; a first look can only trust the beat's own time."""
        if beat is None:
            return 0.0
        now = time.monotonic()
        if self._seen is None:
            self._since = now - max(0.0, time.time() - beat.wall)
        elif self._seen != (beat.attempt, beat.counter):
            self._since = now
        self._seen = (beat.attempt, beat.counter)
        return now - self._since


def read_status(run: RunDirectory, watch: BeatWatch | None = None) -> RunStatus:
    """Read a run's records and say what it is doing. Who looks again and again passes the same `watch` each time."""
    watch = watch if watch is not None else BeatWatch()
    status = _look(run, watch)
    if status.word != "lost" or not _is_just_lost(run, status):
        return status
    for _ in range(10):
        time.sleep(0.1)  # the guard is about to write how it ended
        status = _look(run, watch)
        if status.word != "lost":
            break
    return status


def _is_just_lost(run: RunDirectory, status: RunStatus) -> bool:
    if status.beat_seconds is not None:
        return status.beat_seconds < _JUST_LOST_SECONDS
    try:
        return abs(time.time() - os.stat(run.attempt(status.attempt).process).st_mtime) < _JUST_LOST_SECONDS
    except OSError:
        return False


def _look(run: RunDirectory, watch: BeatWatch) -> RunStatus:
    # The lock first: exit.json is written before the lock is given up, so "free" and no exit.json means lost.
    lock = lock_state(run)
    attempts = run.attempts()
    if not attempts:
        return derive_status(Records(), lock, _clock(0.0))
    last = attempts[-1]
    ended = read_exit(last)
    heartbeat = read_heartbeat(run)
    records = Records(
        attempt=last.number,
        process=read_process(last),
        exit=ended,
        heartbeat=heartbeat,
        ending=_ending(run, last.number) if ended is not None else None,
    )
    return derive_status(records, lock, _clock(watch.still_seconds(heartbeat)))


def _clock(seen_seconds: float) -> Clock:
    return Clock(time.monotonic(), boot_id(), pid_namespace(), os.uname().nodename, seen_seconds)


def _ending(run: RunDirectory, attempt: int) -> Ending | None:
    """Return the last stopped, failed or finished event of an attempt, from the tail of the log."""
    try:
        descriptor = open_file(run.events, os.O_RDONLY)
    except (OSError, UsageError):
        return None
    try:
        size = os.fstat(descriptor).st_size
        start = max(0, size - _TAIL_BYTES)
        lines = os.pread(descriptor, size - start, start).split(b"\n")
    finally:
        os.close(descriptor)
    for line in reversed(lines):
        try:
            record = json.loads(line)
            if record["attempt"] == attempt and record["type"] in ("stopped", "failed", "finished"):
                return Ending(record["type"], str(record.get("message", "")))
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # half a line, or none
    return None
