"""What a finished run left behind that belongs beside its model: events, curves, data, versions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config.data import PreparedData
from core.config.phases import TRAINING, TrainingConfig
from core.data.manifest import Manifest, read_manifest
from core.errors import FootplateError, UsageError
from core.run.directory import AttemptDirectory, RunDirectory
from core.run.event_log import EventReader
from core.run.events import AnyEvent, Evaluated, Finished, Notice, Resumed, Started
from core.run.marks import Marks
from core.run.metrics import MetricsReader
from core.run.overrides import resolved_config
from core.run.records import read_exit, read_process

Point = tuple[int, float]
_WIDTH = 60


@dataclass(frozen=True)
class RunRecord:
    """A run as a reader sees it, up to where its model was written: what a later attempt trained again counts once.

    went_on: it was continued after that, perhaps with a changed configuration, which is the one that is said here.
    manifest: of its data, None where that is no longer on this machine. loss: (step, mean of what was logged around it)
    at up to 60 steps; losses: the first, the lowest and the last logged, of which the lowest is finite.
    """

    name: str
    config: TrainingConfig
    started: Started
    finished: Finished
    resumed: tuple[Resumed, ...]
    notices: tuple[Notice, ...]
    evaluated: tuple[Evaluated, ...]
    loss: tuple[Point, ...]
    losses: tuple[Point, Point, Point] | None
    manifest: Manifest | None
    versions: dict[str, str]
    seconds: float
    went_on: bool = False


def read_run(run: RunDirectory) -> RunRecord:
    """Return the record of a finished training run. Raises: UsageError for any other."""
    if not run.config.is_file():
        raise UsageError(f"{run.path} is not a run", hint="A run is a folder that has a config.yaml.")
    config = resolved_config(run).config
    if not isinstance(config, TRAINING):
        raise UsageError(f"{run.name} prepares data: it has no model", hint="Name a training run.")
    every = _events(run)
    events = _up_to_the_model(every)
    started = [event for event in events if isinstance(event, Started)]
    finished = [event for event in events if isinstance(event, Finished)]
    if not started or not finished or not run.model.is_dir():
        raise UsageError(
            f"{run.name} is not finished: it has made no model yet",
            hint=f"`footplate resume {run.name}` goes on with it; `footplate runs` shows its state.",
        )
    end = finished[-1]
    loss, losses = _curve(run, last_step=end.step)
    attempts = [attempt for attempt in run.attempts() if attempt.number <= end.attempt]
    process = read_process(attempts[-1]) if attempts else None
    return RunRecord(
        name=run.name,
        config=config,
        started=started[-1],
        finished=end,
        resumed=tuple(event for event in events if isinstance(event, Resumed)),
        notices=tuple(event for event in events if isinstance(event, Notice)),
        evaluated=tuple(event for event in events if isinstance(event, Evaluated)),
        loss=loss,
        losses=losses,
        manifest=_manifest(run, config, end),
        versions=dict(process.versions) if process is not None else {},
        seconds=_seconds(attempts),
        went_on=any(event.attempt > end.attempt for event in every),
    )


def _events(run: RunDirectory) -> list[AnyEvent]:
    marks, reader, found = Marks(run.events), EventReader(run.events), []
    marks.refresh()
    while events := reader.read():
        for event in events:
            step = event.step if isinstance(event, Evaluated | Notice) else None
            if step is None or step <= marks.last_step_of(event.attempt):
                found.append(event)
    return found


def _up_to_the_model(events: list[AnyEvent]) -> list[AnyEvent]:
    """Return the events up to the last `finished`: what a continuation did after it is not in the model."""
    last = max((at for at, event in enumerate(events) if isinstance(event, Finished)), default=-1)
    return events[: last + 1]


def _curve(run: RunDirectory, *, last_step: int | None) -> tuple[tuple[Point, ...], tuple[Point, Point, Point] | None]:
    reader = MetricsReader(run)
    reader.refresh()
    steps, values = reader.columns("train/loss")
    if last_step is not None:
        steps, values = steps[steps <= last_step], values[steps <= last_step]
    if not len(steps):
        return (), None
    size = -(-len(steps) // _WIDTH)
    means = tuple(
        (int(steps[min(at + size, len(steps)) - 1]), float(values[at : at + size].mean()))
        for at in range(0, len(steps), size)
    )
    points = [(int(step), float(value)) for step, value in zip(steps, values, strict=True)]
    finite = [point for point in points if math.isfinite(point[1])] or points
    return means, (points[0], min(finite, key=lambda point: point[1]), points[-1])


def _manifest(run: RunDirectory, config: TrainingConfig, finished: Finished) -> Manifest | None:
    folder = finished.facts.get("data")
    if isinstance(config.data, PreparedData):
        folder = str(run.home.runs / config.data.run / "data")
    try:
        return read_manifest(Path(str(folder))) if folder else None
    except (FootplateError, OSError):
        return None


def _seconds(attempts: Sequence[AttemptDirectory]) -> float:
    ends = [read_exit(attempt) for attempt in attempts]
    return sum(end.seconds for end in ends if end is not None)
