"""Writes and reads the dense series of a run: one row of little-endian float64 a logged step.

Columns: seq, step, wall (seconds since 1970), tokens, then the series that this attempt's Started names, without
those that begin with eval/. `seq` is the number that the next event gets, so that rows have their place between the
events. A second file has one row for every 64: the minimum of each column, then the maximum, then the last value.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import UsageError
from core.run.directory import AttemptDirectory, RunDirectory
from core.run.faults import fault
from core.run.marks import Marks
from core.run.private import open_file, write_all

Floats = NDArray[np.float64]

COLUMNS = ("seq", "step", "wall", "tokens")
STEP = COLUMNS.index("step")
LEVEL_ROWS = 64
KEPT_BYTES = 1 << 20


class MetricsWriter:
    """The only writer of an attempt's rows.

    A disk that is full never raises: rows wait in memory (1 MiB, then they are dropped and counted in `lost`).
    """

    def __init__(self, attempt: AttemptDirectory, series: Sequence[str]) -> None:
        self.lost = 0
        self._width = len(COLUMNS) + len(series)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        self._rows = _Appender(open_file(attempt.metrics, flags, root=attempt.run_path), 8 * self._width)
        self._levels = _Appender(open_file(attempt.metrics_levels, flags, root=attempt.run_path), 24 * self._width)
        self._group = np.empty((LEVEL_ROWS, self._width), dtype="<f8")
        self._filled = 0

    @property
    def blocked(self) -> bool:
        """Whether rows wait for space on the disk."""
        return bool(self._rows.waiting or self._levels.waiting)

    def append(self, *, seq: int, step: int, wall: float, tokens: float, values: Sequence[float]) -> None:
        """Add the row of a step; `values` are in the order of the series.

        Raises: ValueError where there is not one value a series.
        """
        if len(values) != self._width - len(COLUMNS):
            raise ValueError(f"{len(values)} values for {self._width - len(COLUMNS)} series")
        row = self._group[self._filled]
        row[:4] = (seq, step, wall, tokens)
        row[4:] = values
        if not self._rows.append(row.tobytes()):
            self.lost += 1
            return
        self._filled += 1
        if self._filled == LEVEL_ROWS:
            self._filled = 0
            self._levels.append(_level(self._group[None]).tobytes())

    def close(self) -> None:
        """Write what waits and close."""
        for appender in (self._rows, self._levels):
            appender.close()


class _Appender:
    """Appends records of one size; what a full disk refuses waits."""

    def __init__(self, descriptor: int, record_bytes: int) -> None:
        self._descriptor = descriptor
        self._record_bytes = record_bytes
        self.waiting = bytearray()

    def append(self, record: bytes) -> bool:
        """Write a record, or keep it; return False where there is no room to keep it."""
        if len(self.waiting) + len(record) > KEPT_BYTES:
            self._try(bytes(self.waiting))
            if self.waiting:
                return False
        self._try(bytes(self.waiting) + record if self.waiting else record)
        return True

    def _try(self, data: bytes) -> None:
        size = os.fstat(self._descriptor).st_size
        try:
            fault("metrics.before_write")
            write_all(self._descriptor, data)
            self.waiting.clear()
        except OSError:
            # Whole records stay: a reader may have mapped them, and what is cut from under a map kills its process.
            written = (os.fstat(self._descriptor).st_size - size) // self._record_bytes * self._record_bytes
            os.ftruncate(self._descriptor, size + written)
            self.waiting[:] = data[written:]

    def close(self) -> None:
        """Write what waits and close."""
        if self.waiting:
            self._try(bytes(self.waiting))
        os.close(self._descriptor)


def _level(groups: Floats) -> Floats:
    """Return (groups, 3 * width) from (groups, rows, width): minimum, maximum, last. NaN only where all are NaN."""
    return np.concatenate(
        [np.fmin.reduce(groups, axis=1), np.fmax.reduce(groups, axis=1), groups[:, -1]], axis=1
    ).astype("<f8", copy=False)


@dataclass
class _Rows:
    """The rows of one attempt, mapped; `kept` of them count."""

    attempt: AttemptDirectory
    names: list[str]
    table: Floats
    levels: Floats
    kept: int = field(default=0)

    @property
    def width(self) -> int:
        return len(COLUMNS) + len(self.names)

    def column(self, name: str) -> int | None:
        if name in COLUMNS:
            return COLUMNS.index(name)
        return len(COLUMNS) + self.names.index(name) if name in self.names else None

    def refresh(self) -> bool:
        before = len(self.table)
        self.table = _mapped(self.attempt.metrics, self.width, known=self.table)
        self.levels = _mapped(self.attempt.metrics_levels, 3 * self.width, known=self.levels)
        return len(self.table) != before


def _mapped(path: Path, width: int, *, known: Floats) -> Floats:
    """Return the whole rows of a file that grows, mapped; a last row that is half written stays out."""
    try:
        descriptor = open_file(path, os.O_RDONLY, root=path.parents[2])
    except (OSError, UsageError):
        return known
    try:
        rows = os.fstat(descriptor).st_size // (8 * width)
        if rows == len(known):
            return known
        if not rows:
            return np.empty((0, width))
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return np.memmap(file, dtype="<f8", mode="r", shape=(rows, width))
    finally:
        os.close(descriptor)


class MetricsReader:
    """The dense series of a run over all its attempts, as one curve.

    Rows of an earlier attempt beyond the step at which a later one took up are left out.
    """

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._marks = Marks(run.events)
        self._rows: dict[int, _Rows] = {}
        self._shape: tuple[tuple[int, int], ...] = ()

    def refresh(self) -> bool:
        """Look for new rows; return whether there are any, or some no longer count."""
        self._marks.refresh()
        for mark in self._marks.found.values():
            if mark.names is None:
                continue
            rows = self._rows.get(mark.attempt)
            if rows is None or rows.names != mark.names:
                width = len(COLUMNS) + len(mark.names)
                attempt = self._run.attempt(mark.attempt)
                rows = _Rows(attempt, mark.names, np.empty((0, width)), np.empty((0, 3 * width)))
                self._rows[mark.attempt] = rows
            rows.refresh()
        for number, rows in self._rows.items():
            last = self._marks.last_step_of(number)
            total = len(rows.table)
            rows.kept = total if last == float("inf") else int(np.searchsorted(rows.table[:, STEP], last, "right"))
        shape = tuple((number, rows.kept) for number, rows in sorted(self._rows.items()) if rows.kept)
        changed, self._shape = shape != self._shape, shape
        return changed

    @property
    def series(self) -> list[str]:
        """The names of all dense series, in the order of their first attempt."""
        return list(dict.fromkeys(name for _, rows in sorted(self._rows.items()) for name in rows.names))

    @property
    def rows(self) -> int:
        """How many rows count."""
        return sum(rows.kept for rows in self._rows.values())

    @property
    def last_step(self) -> int:
        """The step of the last row, 0 without rows."""
        steps = [int(rows.table[rows.kept - 1, STEP]) for rows in self._rows.values() if rows.kept]
        return max(steps, default=0)

    def columns(self, name: str) -> tuple[Floats, Floats]:
        """Return steps and values of a series (or of tokens, wall, seq), each (rows,) in float64."""
        parts = [
            (rows.table[: rows.kept, STEP], rows.table[: rows.kept, column])
            for _, rows in sorted(self._rows.items())
            if rows.kept and (column := rows.column(name)) is not None
        ]
        if not parts:
            return np.empty(0), np.empty(0)
        return np.concatenate([steps for steps, _ in parts]), np.concatenate([values for _, values in parts])

    def tail(self, name: str, count: int) -> tuple[Floats, Floats]:
        """Return steps and values of the last `count` rows, without touching the others."""
        parts: list[tuple[Floats, Floats]] = []
        for _, rows in sorted(self._rows.items(), reverse=True):
            column = rows.column(name)
            if count > 0 and rows.kept and column is not None:
                part = np.array(rows.table[max(0, rows.kept - count) : rows.kept, [STEP, column]])
                parts.insert(0, (part[:, 0], part[:, 1]))
                count -= len(part)
        if not parts:
            return np.empty(0), np.empty(0)
        return np.concatenate([steps for steps, _ in parts]), np.concatenate([values for _, values in parts])

    def window(
        self, name: str, *, first_step: float, last_step: float, buckets: int
    ) -> tuple[Floats, Floats, Floats, Floats]:
        """Return (x, minimum, maximum, last), each with at most `buckets` entries, of the rows in a range of steps.

        x is the step of the last row of a bucket. A bucket without one finite number has NaN. Ranges with many rows
        are read from the level file, so a bucket begins and ends at a multiple of 64 rows there.
        """
        steps: list[Floats] = []
        triples: list[Floats] = []
        for _, rows in sorted(self._rows.items()):
            column = rows.column(name)
            if column is None or not rows.kept:
                continue
            part_steps, part = _triples(rows, column, first_step=first_step, last_step=last_step, buckets=buckets)
            steps.append(part_steps)
            triples.append(part)
        if not steps or not sum(map(len, steps)):
            return np.empty(0), np.empty(0), np.empty(0), np.empty(0)
        return _bucketed(np.concatenate(steps), np.concatenate(triples), max(1, buckets))


def _triples(rows: _Rows, column: int, *, first_step: float, last_step: float, buckets: int) -> tuple[Floats, Floats]:
    """Return the steps (n,) and minimum, maximum, last (n, 3) of an attempt's rows in a range, from its levels."""
    width = rows.width
    # Searching the step column of a map reads one page a probe.
    table_steps = rows.table[: rows.kept, STEP]
    first = int(np.searchsorted(table_steps, first_step, "left"))
    end = int(np.searchsorted(table_steps, last_step, "right"))
    begin_level = -(-first // LEVEL_ROWS)
    end_level = min(end // LEVEL_ROWS, len(rows.levels))
    if end - first <= LEVEL_ROWS * max(1, buckets) or begin_level >= end_level:
        return _raw(rows, column, first, end)
    level = rows.levels[begin_level:end_level]
    head_steps, head = _raw(rows, column, first, begin_level * LEVEL_ROWS)
    tail_steps, tail = _raw(rows, column, end_level * LEVEL_ROWS, end)
    middle = np.stack([level[:, column], level[:, width + column], level[:, 2 * width + column]], axis=1)
    steps = np.concatenate([head_steps, level[:, 2 * width + STEP], tail_steps])
    return steps, np.concatenate([head, middle, tail])


def _raw(rows: _Rows, column: int, first: int, end: int) -> tuple[Floats, Floats]:
    part = np.asarray(rows.table[first:end])
    return part[:, STEP], np.repeat(part[:, column, None], 3, axis=1)


def _bucketed(steps: Floats, triples: Floats, buckets: int) -> tuple[Floats, Floats, Floats, Floats]:
    if len(steps) > buckets:
        # Equally wide in steps; the ones without a row are left out.
        edges = np.searchsorted(steps, np.linspace(steps[0], steps[-1], buckets + 1)[:-1], "left")
        starts = np.unique(edges)
    else:
        starts = np.arange(len(steps))
    lasts = np.append(starts[1:], len(steps)) - 1
    minimum = np.fmin.reduceat(triples[:, 0], starts)
    maximum = np.fmax.reduceat(triples[:, 1], starts)
    return steps[lasts], minimum, maximum, triples[lasts, 2]
