"""The curves of a run, ready to be drawn: read, smoothed and thinned in the feed's thread.

A `CurveSource` belongs to one thread. It keeps the columns that are looked at and adds to them what is new, so that a
poll costs what was written since the last one and not the length of the run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from core.run.directory import RunDirectory
from core.run.events import AnyEvent, Evaluated, Resumed, Started
from core.run.metrics import MetricsReader
from tui.services.downsample import Array, Smoother, min_max, non_finite
from tui.services.run_view import remaining_seconds
from tui.services.words import seconds_of

XAxis = Literal["step", "tokens", "time"]
UNSMOOTHED = frozenset({"train/learning_rate"})
"""Series that are drawn as they are: they have no noise, and an average would move their corners."""
_PACE_ROWS = 100
_MAX_ODD = 2_000
_FLOOR = 1024


@dataclass(frozen=True)
class CurveRequest:
    """What a monitor shows: series by panel with the columns of its chart, the x axis, smoothing, zoom and cursor."""

    panels: tuple[tuple[str, tuple[str, ...], int], ...] = ()
    x: XAxis = "step"
    smoothing: float = 0.9
    zoom: tuple[float, float] | None = None
    cursor: float | None = None
    planned: int | None = None


@dataclass(frozen=True)
class SeriesCurve:
    """One series, thinned: x and y (n,); `raw` behind it where y is smoothed; `odd` where values are not finite."""

    name: str
    x: Array
    y: Array
    raw: tuple[Array, Array] | None = None
    odd: tuple[float, ...] = ()


@dataclass(frozen=True)
class Frame:
    """Everything that a monitor draws from the rows, at one moment."""

    request: CurveRequest
    panels: dict[str, tuple[SeriesCurve, ...]] = field(default_factory=dict)
    first: float = 0.0
    last: float = 1.0
    newest: float = 0.0
    step: int = 0
    tokens: float = 0.0
    latest: dict[str, float] = field(default_factory=dict)
    steps_per_second: float | None = None
    remaining: float | None = None
    elapsed: float | None = None
    cursor_step: int | None = None
    cursor_values: dict[str, float] = field(default_factory=dict)


class _Grown:
    """An array that grows at its end without being copied each time."""

    def __init__(self) -> None:
        self._data: Array = np.empty(_FLOOR)
        self.count = 0

    def add(self, values: Array) -> None:
        needed = self.count + len(values)
        if needed > len(self._data):
            larger = np.empty(max(needed + needed // 4, _FLOOR))
            larger[: self.count] = self._data[: self.count]
            self._data = larger
        self._data[self.count : needed] = values
        self.count = needed

    @property
    def values(self) -> Array:
        return self._data[: self.count]


class CurveSource:
    """Reads the rows and evaluations of one run and makes frames of them."""

    def __init__(self, run: RunDirectory) -> None:
        self._reader = MetricsReader(run)
        self._columns: dict[str, _Grown] = {}
        self._smoothed: dict[tuple[str, float], tuple[Smoother, _Grown]] = {}
        self._sparse: dict[str, tuple[_Grown, _Grown]] = {}
        self._last_step: float = -1.0
        self._rows = 0
        self._attempt_wall = -math.inf

    def take(self, events: Iterable[AnyEvent]) -> bool:
        """Take what evaluations say; return whether there was any."""
        found = False
        for event in events:
            match event:
                case Evaluated():
                    found = True
                    for name, value in event.values.items():
                        steps, values = self._sparse.setdefault(name, (_Grown(), _Grown()))
                        steps.add(np.array([event.step], dtype=np.float64))
                        values.add(np.array([value]))
                case Started():
                    started = seconds_of(event.wall)
                    self._attempt_wall = started if math.isfinite(started) else -math.inf
                case Resumed():
                    found = True
                    for steps, values in self._sparse.values():
                        kept = int(np.searchsorted(steps.values, event.step, "right"))
                        steps.count = values.count = kept
                case _:
                    pass
        return found

    def refresh(self) -> bool:
        """Look for new rows; return whether the frame would be another one."""
        if not self._reader.refresh():
            return False
        fresh = self._reader.rows - self._rows
        steps, _ = self._reader.tail("step", max(0, fresh) + 1)
        goes_on = fresh >= 0 and (self._rows == 0 or (len(steps) > fresh and steps[0] == self._last_step))
        if not goes_on:  # an attempt took up earlier: what was read does not stand any more
            self._columns.clear()
            self._smoothed.clear()
        if goes_on and self._rows and fresh and len(steps) > 1 and steps[1] <= steps[0]:
            self._columns.clear()
            self._smoothed.clear()
        self._rows = self._reader.rows
        self._last_step = float(steps[-1]) if len(steps) else -1.0
        return True

    def build(self, request: CurveRequest) -> Frame:
        """Return the frame that was asked for."""
        steps, x = self._column("step"), self._x(request.x)
        newest = float(x[-1]) if len(x) else 0.0
        first, last = self._range(request, x, newest)
        panels = {
            panel: tuple(self._curve(name, x, request, first, last, columns) for name in names)
            for panel, names, columns in request.panels
        }
        wall = self._reader.tail("wall", _PACE_ROWS)
        pace, remaining = self._pace(wall, request.planned)
        cursor_step, cursor_values = self._read_at(request, steps, x)
        return Frame(
            request=request,
            panels=panels,
            first=first,
            last=last,
            newest=newest,
            step=self._reader.last_step,
            tokens=self._last("tokens"),
            latest={name: self._last(name) for name in self._reader.series},
            steps_per_second=pace,
            remaining=remaining,
            elapsed=self._elapsed(wall[1]),
            cursor_step=cursor_step,
            cursor_values=cursor_values,
        )

    def _last(self, name: str) -> float:
        _, values = self._reader.tail(name, 1)
        return float(values[-1]) if len(values) else math.nan

    def _elapsed(self, wall: Array) -> float | None:
        if not len(wall):
            return None
        first = self._reader.window("wall", first_step=0, last_step=math.inf, buckets=1)[1]
        return float(wall[-1] - first[0]) if len(first) else None

    def _pace(self, wall: tuple[Array, Array], planned: int | None) -> tuple[float | None, float | None]:
        """Return steps per second and the time that is left, from the newest rows of the newest attempt."""
        steps, seconds = wall
        start = int(np.searchsorted(seconds, self._attempt_wall, "left"))
        steps, seconds = steps[start:], seconds[start:]
        if len(steps) < 2 or seconds[-1] <= seconds[0] or steps[-1] <= steps[0]:
            return None, None
        pace = float((steps[-1] - steps[0]) / (seconds[-1] - seconds[0]))
        if planned is None:
            return pace, None
        return pace, remaining_seconds([int(steps[0]), int(steps[-1])], [seconds[0], seconds[-1]], planned=planned)

    def _column(self, name: str) -> Array:
        grown = self._columns.setdefault(name, _Grown())
        missing = self._reader.rows - grown.count
        if missing > 0:
            read = self._reader.columns(name) if grown.count == 0 else self._reader.tail(name, missing)
            values = read[0] if name == "step" else read[1]
            if len(values) < missing:  # an attempt without this series
                values = np.concatenate([np.full(missing - len(values), np.nan), values])
            grown.add(values[-missing:])
        return grown.values

    def _smooth(self, name: str, decay: float) -> Array:
        values = self._column(name)
        smoother, grown = self._smoothed.setdefault((name, decay), (Smoother(decay), _Grown()))
        if grown.count < len(values):
            grown.add(smoother.feed(values[grown.count :]))
        for key in [key for key in self._smoothed if key[0] == name and key[1] != decay]:
            del self._smoothed[key]
        return grown.values

    def _x(self, axis: XAxis) -> Array:
        match axis:
            case "step":
                return self._column("step")
            case "tokens":
                return self._column("tokens")
            case "time":
                wall = self._column("wall")
                return wall - wall[0] if len(wall) else wall

    def _range(self, request: CurveRequest, x: Array, newest: float) -> tuple[float, float]:
        if request.zoom is not None:
            return request.zoom
        if request.x == "step" and request.planned:
            return 0.0, float(max(request.planned, newest))
        if request.x == "tokens" and request.planned and len(x) and self._reader.last_step:
            return 0.0, float(newest * max(1.0, request.planned / self._reader.last_step))
        return 0.0, _next_round(newest)

    def _curve(
        self, name: str, x: Array, request: CurveRequest, first: float, last: float, columns: int
    ) -> SeriesCurve:
        if name not in self._reader.series:
            return self._sparse_curve(name, x, request, first, last, columns)
        values = self._column(name)
        odd = tuple(non_finite(x, values)[-_MAX_ODD:].tolist())
        raw = min_max(x, values, first=first, last=last, columns=columns)
        if request.smoothing == 0 or name in UNSMOOTHED:
            return SeriesCurve(name, *raw, None, odd)
        smoothed = min_max(x, self._smooth(name, request.smoothing), first=first, last=last, columns=columns)
        return SeriesCurve(name, *smoothed, raw, odd)

    def _sparse_curve(
        self, name: str, x: Array, request: CurveRequest, first: float, last: float, columns: int
    ) -> SeriesCurve:
        if name not in self._sparse:
            return SeriesCurve(name, np.empty(0), np.empty(0))
        steps, values = (grown.values for grown in self._sparse[name])
        at = np.interp(steps, self._column("step"), x) if request.x != "step" and len(x) else steps
        odd = tuple(non_finite(at, values)[-_MAX_ODD:].tolist())
        return SeriesCurve(name, *min_max(at, values, first=first, last=last, columns=columns), None, odd)

    def _read_at(self, request: CurveRequest, steps: Array, x: Array) -> tuple[int | None, dict[str, float]]:
        """Return the step that is nearest to the cursor and every series' exact value there."""
        if request.cursor is None or not len(x):
            return None, {}
        index = int(np.searchsorted(x, request.cursor))
        if index == len(x) or (index > 0 and request.cursor - x[index - 1] <= x[index] - request.cursor):
            index -= 1
        step = int(steps[index])
        values = {name: float(self._column(name)[index]) for name in self._reader.series}
        for name, (at, found) in self._sparse.items():
            if found.count:
                values[name] = float(found.values[int(np.abs(at.values - step).argmin())])
        return step, values


def _next_round(value: float) -> float:
    """Return the next of 1, 2, 5 times a power of ten, so that an axis without a plan seldom changes."""
    if not math.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= value))
