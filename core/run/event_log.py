"""Writes and reads events.jsonl."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from core.errors import UsageError
from core.run.event_lines import encode, highest_seq, whole_records
from core.run.events import MAX_LINE_BYTES, AnyEvent, Notice, event_adapter
from core.run.faults import fault
from core.run.private import folder, open_file, write_all

__all__ = ["EventReader", "EventWriter", "LogProblem", "encode"]

SYNCED = frozenset({"started", "resumed", "checkpoint_saved", "stopped", "failed", "finished"})
RING_EVENTS = 1000
_TAIL_BYTES = 1 << 20
_CHUNK_BYTES = 1 << 20
_MAX_PROBLEMS = 200
_RECENT = 4096


@dataclass(frozen=True)
class LogProblem:
    """A place of the log that is not a record: byte offset, and what is wrong there."""

    offset: int
    reason: str


class EventWriter:
    """The only writer of a run's events.jsonl.

    One write a line, appended. On opening, an incomplete last line (a writer that was killed, a lost power supply) is
    copied to events.bad and cut off. A disk that is full or fails never raises: events wait in a bounded ring, and a
    Notice `events_lost` says so once there is space.
    """

    def __init__(self, path: Path, attempt: int) -> None:
        self._attempt = attempt
        self._path = path
        self._descriptor = open_file(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._ring: deque[AnyEvent] = deque(maxlen=RING_EVENTS)
        self._dropped = 0
        self._blocked_since = ""
        self._blocked_reason = ""
        with folder(path.parent) as parent:
            os.fsync(parent)
        _repair(self._descriptor, path)
        self.next_seq = _last_seq(self._descriptor) + 1

    @property
    def blocked(self) -> bool:
        """Whether events wait for space on the disk."""
        return bool(self._blocked_since)

    def write(self, event: AnyEvent) -> AnyEvent:
        """Write an event and return it with its envelope; synced at start, checkpoint, stop and error.

        While the disk is full the event waits, and is returned with the seq -1.
        """
        stamped = event.model_copy(
            update={
                "attempt": self._attempt,
                "wall": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "mono": round(time.monotonic(), 6),
            }
        )
        if self.blocked and not self.flush():
            self._keep(stamped)
            return stamped
        try:
            return self._append(stamped)
        except OSError as error:
            self._blocked_since = stamped.wall
            self._blocked_reason = error.strerror or str(error)
            self._keep(stamped)
            return stamped

    def flush(self) -> bool:
        """Try again to write what waits; return whether nothing waits any more."""
        if not self.blocked:
            return True
        notice = Notice(
            level="warning" if not self._dropped else "error",
            code="events_lost",
            message=f"The event log could not be written from {self._blocked_since} on ({self._blocked_reason}): "
            f"{len(self._ring)} events follow late, {self._dropped} are lost.",
            attempt=self._attempt,
            wall=datetime.now(UTC).isoformat(timespec="milliseconds"),
            mono=round(time.monotonic(), 6),
        )
        try:
            self._append(notice)
            self._blocked_since = ""
            self._dropped = 0
            while self._ring:
                self._append(self._ring[0])
                self._ring.popleft()
        except OSError as error:
            self._blocked_since = self._blocked_since or notice.wall
            self._blocked_reason = error.strerror or str(error)
            return False
        return True

    def close(self) -> None:
        """Write what waits, sync and close."""
        self.flush()
        try:
            os.fsync(self._descriptor)
        except OSError as error:
            self._blocked_reason = error.strerror or str(error)
        os.close(self._descriptor)

    def _keep(self, event: AnyEvent) -> None:
        if len(self._ring) == RING_EVENTS:
            self._dropped += 1
        self._ring.append(event)

    def _append(self, event: AnyEvent) -> AnyEvent:
        numbered = event.model_copy(update={"seq": self.next_seq})
        line = encode(numbered)
        size = os.fstat(self._descriptor).st_size
        fault("events.before_write")
        try:
            write_all(self._descriptor, line)
        except OSError:
            os.ftruncate(self._descriptor, size)  # a short write before the disk was full
            raise
        self.next_seq += 1
        fault("events.after_write")
        if event.type in SYNCED:
            self._sync(event.wall)
        return numbered

    def _sync(self, wall: str) -> None:
        try:
            fault("events.before_sync")
            os.fsync(self._descriptor)
        except OSError as error:
            # The line is written; whether it is on the disk nobody knows, and asking again would not tell.
            self._blocked_since = wall
            self._blocked_reason = f"sync: {error.strerror or error}"


def _repair(descriptor: int, path: Path) -> None:
    size = os.fstat(descriptor).st_size
    end = size
    while end > 0:
        start = max(0, end - _CHUNK_BYTES)
        position = os.pread(descriptor, end - start, start).rfind(b"\n")
        if position >= 0:
            end = start + position + 1
            break
        end = start
    if end == size:
        return
    bad = open_file(path.with_name("events.bad"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        for start in range(end, size, _CHUNK_BYTES):
            write_all(bad, os.pread(descriptor, min(_CHUNK_BYTES, size - start), start))
        write_all(bad, b"\n")
        os.fsync(bad)
    finally:
        os.close(bad)
    os.ftruncate(descriptor, end)


def _last_seq(descriptor: int) -> int:
    """Return the highest seq of the tail, of the whole log where the tail has none, and -1 for an empty one."""
    size = os.fstat(descriptor).st_size
    start = max(0, size - _TAIL_BYTES)
    found = highest_seq(os.pread(descriptor, size - start, start))
    while found < 0 and start > 0:
        end, start = start + MAX_LINE_BYTES, max(0, start - _TAIL_BYTES)
        found = highest_seq(os.pread(descriptor, end - start, start))
    return found


class EventReader:
    """Reads a run's events as they come: every whole record once, whatever stands between them.

    What is no record is skipped and listed in `problems` (at most 200). Nothing that a file holds makes it raise.
    """

    def __init__(self, path: Path) -> None:
        self.problems: list[LogProblem] = []
        self._path = path
        self._offset = 0
        self._identity: tuple[int, int] | None = None
        self._skipping = False
        self._recent: deque[int] = deque(maxlen=_RECENT)
        self._recent_set: set[int] = set()

    def read(self, max_records: int = 2000) -> list[AnyEvent]:
        """Return the next events, at most `max_records`; [] where there are none yet."""
        try:
            descriptor = open_file(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return []
        except (OSError, UsageError) as error:
            self._report(self._offset, str(error))
            return []
        try:
            self._check_identity(descriptor)
            return self._read(descriptor, max_records)
        except OSError as error:
            self._report(self._offset, str(error))
            return []
        finally:
            os.close(descriptor)

    def _check_identity(self, descriptor: int) -> None:
        found = os.fstat(descriptor)
        identity = (found.st_dev, found.st_ino)
        if self._identity is not None and (identity != self._identity or found.st_size < self._offset):
            self._report(self._offset, "the log was replaced or cut; reading it from its beginning")
            self._offset = 0
            self._skipping = False
            self._recent.clear()
            self._recent_set.clear()
        self._identity = identity

    def _read(self, descriptor: int, max_records: int) -> list[AnyEvent]:
        events: list[AnyEvent] = []
        while len(events) < max_records:
            chunk = os.pread(descriptor, _CHUNK_BYTES, self._offset)
            end = chunk.find(b"\n")
            if end < 0:
                if len(chunk) > MAX_LINE_BYTES:
                    self._skip(len(chunk))
                    continue
                break
            start = 0
            while end >= 0 and len(events) < max_records:
                self._take(chunk[start:end], events)
                self._offset += end + 1 - start
                start, end = end + 1, chunk.find(b"\n", end + 1)
        return events

    def _skip(self, size: int) -> None:
        if not self._skipping:
            self._report(self._offset, f"a line is longer than {MAX_LINE_BYTES} bytes")
        self._skipping = True
        self._offset += size

    def _take(self, line: bytes, events: list[AnyEvent]) -> None:
        if self._skipping:
            self._skipping = False
            return
        if len(line) >= MAX_LINE_BYTES:
            self._report(self._offset, f"a line is longer than {MAX_LINE_BYTES} bytes")
            return
        records, reasons = whole_records(line)
        for reason in reasons:
            self._report(self._offset, reason)
        for record in records:
            try:
                event: AnyEvent = event_adapter.validate_python(record)
            except (ValidationError, RecursionError) as error:
                self._report(self._offset, f"not an event of this version: {_first_line(error)}")
                continue
            if self._is_new(event.seq):
                events.append(event)
            else:
                self._report(self._offset, f"seq {event.seq} stands there a second time")

    def _is_new(self, seq: int) -> bool:
        if seq in self._recent_set:
            return False
        if len(self._recent) == _RECENT:
            self._recent_set.discard(self._recent[0])
        self._recent.append(seq)
        self._recent_set.add(seq)
        return True

    def _report(self, offset: int, reason: str) -> None:
        problem = LogProblem(offset, reason)
        if len(self.problems) < _MAX_PROBLEMS and problem not in self.problems[-1:]:
            self.problems.append(problem)


def _first_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return type(error).__name__
