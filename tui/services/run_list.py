"""The runs of a home in a few numbers each, without reading any of them whole."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import FootplateError
from core.run.directory import Home, RunDirectory
from core.run.events import AnyEvent, Evaluated, Progress, Series, Started, event_adapter
from core.run.exactness import is_exact
from core.run.private import open_file, read_file
from core.run.runs import list_runs
from core.run.stages import read_stages
from core.run.status import BeatWatch, RunStatus, read_status

if TYPE_CHECKING:
    from core.run.metrics import MetricsReader

CAP = 500
"""More rows than this make a table slow (10,000 rows: two seconds)."""
_HEAD_BYTES = 64 * 1024
_TAIL_BYTES = 64 * 1024
_CONFIG_BYTES = 4_000_000


@dataclass(frozen=True)
class StageOf:
    """A stage of a run that has several: its name, its phase, and the run that does its work; "" before it begins."""

    name: str
    phase: str
    run: str = ""


@dataclass(frozen=True)
class RunRow:
    """One line of the list of runs; `active` is the time of its last sign of life, in seconds since 1970.

    evaluated: the series of which `evaluation` is the newest value.
    """

    name: str
    state: RunStatus
    phase: str = ""
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    evaluation: float | None = None
    evaluated: str = ""
    tokens_per_second: float | None = None
    active: float = 0.0
    created: float = 0.0
    progress: str = ""
    stages: tuple[StageOf, ...] = ()
    exact: bool = True
    has_checkpoint: bool = False


class RunSummary:
    """What is known of one run; a look that finds nothing new costs three calls of stat."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._watch = BeatWatch()
        self._metrics: MetricsReader | None = None
        self._key: object = None
        self._started: Started | None = None
        self._evaluated: Evaluated | None = None
        self._progress: Progress | None = None
        self._row: RunRow | None = None
        self._planned: list[StageOf] | None = None

    def row(self) -> RunRow:
        """Return the run's line as it is now."""
        key = tuple(_size_and_time(path) for path in self._paths())
        is_due = self._row is None or key != self._key or is_live(self._row.state)
        state = read_status(self._run, self._watch) if is_due else None
        if state is None and self._row is not None:
            return self._row
        if key != self._key or self._row is None:
            self._key = key
            self._read_events()
        assert state is not None
        self._row = self._make(state)
        return self._row

    def _paths(self) -> list[Path]:
        attempts = self._run.attempts()
        last = [attempts[-1].metrics, attempts[-1].exit] if attempts else []
        return [self._run.events, self._run.heartbeat, self._run.stages, *last]

    def _read_events(self) -> None:
        head, tail = _ends(self._run.events)
        for event in head[:1] + tail:
            match event:
                case Started():
                    self._started = event
                case Evaluated():
                    self._evaluated = event
                case Progress():
                    self._progress = event
                case _:
                    pass

    def _make(self, state: RunStatus) -> RunRow:
        series = self._started.series if self._started else ()
        loss = _first(series, sparse=False)
        evaluation = _first(series, sparse=True)
        step = state.step
        values = {}
        if any(not one.name.startswith("eval/") for one in series):
            if self._metrics is None:
                from core.run.metrics import MetricsReader

                self._metrics = MetricsReader(self._run)
            self._metrics.refresh()
            for name in (loss, "train/tokens_per_second"):
                if name and len(found := self._metrics.tail(name, 1)[1]):
                    values[name] = float(found[-1])
            step = self._metrics.last_step if self._metrics.rows else step
        stages = self._stages()
        progress = self._progress
        share = progress.done / progress.total if progress and progress.total else None
        return RunRow(
            name=self._run.name,
            state=state,
            phase=self._started.phase if self._started else _phase_of(self._run.config),
            step=None if stages else step,
            steps=self._started.steps if self._started else None,
            loss=values.get(loss) if loss else None,
            evaluation=self._evaluated.values.get(evaluation) if self._evaluated and evaluation else None,
            evaluated=evaluation,
            tokens_per_second=values.get("train/tokens_per_second"),
            active=max((_size_and_time(path)[1] for path in self._paths()), default=0) / 1e9,
            created=_size_and_time(self._run.config)[1] / 1e9,
            progress=_stages_words(stages)
            or (f"{progress.stage} {share:.0%}" if progress and share is not None else ""),
            stages=stages,
            exact=is_exact(self._run),
            has_checkpoint=any(self._run.checkpoints.glob("step-*")),
        )

    def _stages(self) -> tuple[StageOf, ...]:
        """Return the stages of a pipeline, in their order, with the runs of those that have begun."""
        if self._planned is None:
            self._planned = planned_stages(self._run.config)
        if not self._planned:
            return ()
        try:
            begun = read_stages(self._run)
        except FootplateError:
            begun = {}
        return tuple(
            replace(stage, run=begun[stage.name].run if stage.name in begun else "") for stage in self._planned
        )


def planned_stages(config: Path) -> list[StageOf]:
    """Return the stages that a run's configuration names, [] where it is no pipeline or cannot be read."""
    try:
        text = read_file(config, limit_bytes=_CONFIG_BYTES, root=config.parent).decode("utf-8", "replace")
        if "\npipeline:" not in text:
            return []
        from core.config.yaml_read import read_node  # the configuration's models, after the first paint

        values = read_node(text).plain()
    except (FootplateError, OSError):
        return []
    stages = values.get("pipeline") if isinstance(values, dict) else None
    found = [stage for stage in stages if isinstance(stage, dict)] if isinstance(stages, list) else []
    return [StageOf(str(stage.get("name", ""))[:80], str(stage.get("phase", ""))[:40]) for stage in found]


def _stages_words(stages: tuple[StageOf, ...]) -> str:
    return f"stage {sum(bool(stage.run) for stage in stages)}/{len(stages)}" if stages else ""


def list_folders(home: Home) -> tuple[list[RunDirectory], int]:
    """Return the newest runs, at most 500, and how many there are."""
    runs = list_runs(home)
    return runs[:CAP], len(runs)


def is_live(state: RunStatus) -> bool:
    """Return whether a process may still write to the run."""
    return state.word in ("running", "stalled", "silent")


def age_seconds(row: RunRow, now: float | None = None) -> float:
    """Return how long ago the run gave a sign of life."""
    return max(0.0, (time.time() if now is None else now) - (row.active or row.created))


def _first(series: tuple[Series, ...], *, sparse: bool) -> str:
    """Return the series that stands for the run in the list: a loss, else the first that has a better end."""
    names = [one for one in series if one.name.startswith("eval/") is sparse]
    losses = [one.name for one in names if one.name.endswith("/loss")]
    return next(iter(losses or [one.name for one in names if one.lower_is_better is not None]), "")


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0)
    return (found.st_size, found.st_mtime_ns)


def _ends(path: Path) -> tuple[list[AnyEvent], list[AnyEvent]]:
    try:
        descriptor = open_file(path, os.O_RDONLY)
    except Exception:
        return [], []
    try:
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, _HEAD_BYTES, 0)
        start = max(0, size - _TAIL_BYTES)
        tail = os.pread(descriptor, _TAIL_BYTES, start)
    finally:
        os.close(descriptor)
    return _events(head.split(b"\n")[:1]), _events(tail.split(b"\n")[1 if start else 0 :])


def _events(lines: list[bytes]) -> list[AnyEvent]:
    found: list[AnyEvent] = []
    for text in lines:
        try:
            found.append(event_adapter.validate_json(text))
        except ValueError:
            continue  # half a line, or another version's event
    return found


def _phase_of(config: Path) -> str:
    """Return the phase of a run that has not started, by the first lines of its configuration."""
    try:
        with config.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_HEAD_BYTES)
    except OSError:
        return ""
    found = [one.removeprefix("phase:").strip() for one in text.splitlines() if one.startswith("phase:")]
    return found[0][:40] if found else ""
