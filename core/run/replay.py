"""A run's events with the rows of its metrics in their places, from its beginning and as they come.

Rows and step-bound events of earlier attempts beyond the step at which a later attempt took up are left out, as far
as that is known when they are read: who has seen them already learns it from Resumed.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import numpy as np

from core.errors import UsageError
from core.run.directory import AttemptDirectory, RunDirectory
from core.run.event_log import EventReader, LogProblem
from core.run.events import AnyEvent, CheckpointSaved, Evaluated, Metrics, Notice, Sampled, Started
from core.run.marks import Marks, dense
from core.run.metrics import COLUMNS, STEP, Floats
from core.run.private import open_file

POLL_SECONDS = 0.25
_ROWS_A_READ = 4096


class Replay:
    """Reads a run from its beginning, or after an event; each `read` goes on where the last one ended."""

    def __init__(self, run: RunDirectory, *, after: int = -1) -> None:
        self._run = run
        self._after = after
        self._reader = EventReader(run.events)
        self._marks = Marks(run.events)
        self._events: deque[AnyEvent] = deque()
        self._rows: _RowTail | None = None

    @property
    def problems(self) -> list[LogProblem]:
        """What the event log holds that is no event."""
        return self._reader.problems

    def read(self, max_records: int = 2000) -> list[AnyEvent]:
        """Return what comes next, at most about `max_records`; [] where there is nothing new.

        A row is a `Metrics` event with the seq of the event that follows it.
        """
        self._marks.refresh()
        found: list[AnyEvent] = []
        while len(found) < max_records:
            # Events before rows: every row that belongs before one of these events is on the disk by now.
            if not self._events:
                self._events.extend(self._reader.read(max_records))
            before = self._events[0].seq if self._events else None
            if self._rows is not None and not self._take_rows(before, found, max_records):
                break
            if not self._events:
                break
            event = self._events.popleft()
            if isinstance(event, Started):
                names = dense([series.name for series in event.series])
                self._rows = _RowTail(self._run.attempt(event.attempt), names) if names else None
            if event.seq > self._after and not self._is_superseded(event):
                found.append(event)
        return found

    def _take_rows(self, before: int | None, found: list[AnyEvent], max_records: int) -> bool:
        """Add the rows that stand before an event; return whether these were all."""
        assert self._rows is not None
        last = self._marks.last_step_of(self._rows.attempt.number)
        while rows := self._rows.take(before, max_records - len(found)):
            found.extend(row for row in rows if row.step <= last and row.seq > self._after)
            if len(found) >= max_records:
                return False
        return True

    def _is_superseded(self, event: AnyEvent) -> bool:
        match event:
            case Evaluated() | Sampled() | CheckpointSaved() | Notice():
                return event.step is not None and event.step > self._marks.last_step_of(event.attempt)
            case _:
                return False


def stream(run: RunDirectory, *, after: int = -1, follow: Callable[[], bool] | None = None) -> Iterator[AnyEvent]:
    """Yield a run's events and rows in order, those with a seq beyond `after`.

    Without `follow` it ends with what is there; else it waits for more for as long as `follow()` is true, and yields
    what was written until then.
    """
    replay = Replay(run, after=after)
    while True:
        goes_on = follow is not None and follow()
        while events := replay.read():
            yield from events
        if not goes_on:
            return
        time.sleep(POLL_SECONDS)


class _RowTail:
    """The rows of one attempt, one after the other."""

    def __init__(self, attempt: AttemptDirectory, names: list[str]) -> None:
        self.attempt = attempt
        self._names = names
        self._width = len(COLUMNS) + len(names)
        self._taken = 0
        self._block: Floats = np.empty((0, self._width))

    def take(self, before: int | None, count: int) -> list[Metrics]:
        """Return the next rows whose seq is at most `before`, at most `count`."""
        if not len(self._block):
            self._block = self._read()
        block = self._block[:count]
        if before is not None:
            # Rows that waited for a full disk may have an older seq than their neighbours, never a newer one.
            beyond = np.flatnonzero(block[:, 0] > before)
            block = block[: beyond[0]] if len(beyond) else block
        self._block = self._block[len(block) :]
        return [self._row(row) for row in block.tolist()]

    def _read(self) -> Floats:
        try:
            descriptor = open_file(self.attempt.metrics, os.O_RDONLY, root=self.attempt.run_path)
        except (OSError, UsageError):
            return self._block
        size = 8 * self._width
        try:
            data = os.pread(descriptor, _ROWS_A_READ * size, self._taken * size)
        finally:
            os.close(descriptor)
        whole = len(data) // size  # the last row may be half written
        self._taken += whole
        return np.frombuffer(data[: whole * size], dtype="<f8").reshape(whole, self._width)

    def _row(self, row: list[float]) -> Metrics:
        return Metrics(
            seq=int(row[0]),
            attempt=self.attempt.number,
            wall=datetime.fromtimestamp(row[2], UTC).isoformat(timespec="milliseconds"),
            step=int(row[STEP]),
            tokens=row[3],
            values=dict(zip(self._names, row[len(COLUMNS) :], strict=True)),
        )
