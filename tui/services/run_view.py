"""What a console knows of one run, built from its events.

Pure state: events come in, in their order, and questions are answered. A `Resumed` takes back what earlier attempts
said about later steps.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from core.run.events import (
    AnyEvent,
    CheckpointSaved,
    Evaluated,
    Failed,
    Finished,
    Notice,
    Progress,
    Resumed,
    Sampled,
    Series,
    Started,
    Stopped,
)

KEPT = 200


class Evaluation(NamedTuple):
    """What an evaluation found after `step` updates, by series."""

    step: int
    values: dict[str, float]


@dataclass
class RunView:
    """The state of one run as its events tell it."""

    name: str
    started: Started | None = None
    resumed_step: int = 0
    evaluations: list[Evaluation] = field(default_factory=list)
    checkpoints: deque[CheckpointSaved] = field(default_factory=lambda: deque(maxlen=KEPT))
    samples: deque[Sampled] = field(default_factory=lambda: deque(maxlen=KEPT))
    notices: deque[Notice] = field(default_factory=lambda: deque(maxlen=KEPT))
    progress: dict[str, Progress] = field(default_factory=dict)
    stages_began: dict[str, Progress] = field(default_factory=dict)
    stages_moved: set[str] = field(default_factory=set)
    ended: Stopped | Failed | Finished | None = None
    events: int = 0
    _extremes: dict[str, tuple[Evaluation, Evaluation]] = field(default_factory=dict)

    def apply(self, events: Iterable[AnyEvent]) -> None:
        """Take further events."""
        for event in events:
            self.events += 1
            if self.ended is not None and event.attempt != self.ended.attempt:
                self._begin()  # Started comes only once its data and the model that it waits for are there
            self._apply(event)

    def _apply(self, event: AnyEvent) -> None:
        match event:
            case Started():
                self.started, self.resumed_step = event, 0
                self._begin()
            case Resumed():
                self._take_back(event.step)
            case Evaluated():
                self._add(Evaluation(event.step, event.values))
            case CheckpointSaved():
                self.checkpoints.append(event)
            case Sampled():
                self.samples.append(event)
            case Notice():
                self.notices.append(event)
            case Progress():
                self.progress[event.stage] = event
                self._pace(event)
            case Stopped() | Failed() | Finished():
                self.ended = event
            case _:  # the rest is told by the log alone
                pass

    def _pace(self, event: Progress) -> None:
        """Count the pace of a stage from where it first moved: before that it was made ready, for however long."""
        began = self.stages_began.get(event.stage)
        if began is None or event.done < began.done or event.unit != began.unit:  # another pass begins anew
            self.stages_began[event.stage] = event
            self.stages_moved.discard(event.stage)
        elif event.done > began.done and event.stage not in self.stages_moved:
            self.stages_began[event.stage] = event
            self.stages_moved.add(event.stage)

    def _begin(self) -> None:
        self.ended = None
        self.progress.clear()
        self.stages_began.clear()
        self.stages_moved.clear()

    def _take_back(self, step: int) -> None:
        self.resumed_step = step
        kept = [evaluation for evaluation in self.evaluations if evaluation.step <= step]
        self.evaluations.clear()
        self._extremes.clear()
        for evaluation in kept:
            self._add(evaluation)
        self.checkpoints = deque((event for event in self.checkpoints if event.step <= step), maxlen=KEPT)
        self.samples = deque((event for event in self.samples if event.step <= step), maxlen=KEPT)

    def _add(self, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)
        for name, value in evaluation.values.items():
            if not math.isfinite(value):
                continue
            lowest, highest = self._extremes.get(name, (evaluation, evaluation))
            if value < lowest.values[name]:
                lowest = evaluation
            if value > highest.values[name]:
                highest = evaluation
            self._extremes[name] = (lowest, highest)

    def stage_seconds_left(self, stage: str) -> float | None:
        """Return how long the rest of a stage takes at its mean pace, None where it is over or there is no pace yet."""
        began, newest = self.stages_began[stage], self.progress[stage]
        if self.ended is not None or not newest.total or newest.done >= newest.total:
            return None
        done, seconds = newest.done - began.done, newest.mono - began.mono
        return (newest.total - newest.done) * seconds / done if done > 0 and seconds > 0 else None

    @property
    def phase(self) -> str:
        """The phase, or "" before the run has said so."""
        return self.started.phase if self.started else ""

    @property
    def is_prepared(self) -> bool:
        """Whether this is a preparation that came to its end, so that there is a report of what its filters did."""
        return self.phase == "prepare" and isinstance(self.ended, Finished)

    @property
    def steps(self) -> int | None:
        """How many steps are planned."""
        return self.started.steps if self.started else None

    @property
    def series(self) -> tuple[Series, ...]:
        """All curves that the run declared."""
        return self.started.series if self.started else ()

    def panels(self) -> dict[str, tuple[Series, ...]]:
        """Return the charts: panel name to its series, in the order in which the run declared them."""
        panels: dict[str, tuple[Series, ...]] = {}
        for series in self.series:
            panels[series.panel] = (*panels.get(series.panel, ()), series)
        return panels

    def latest_evaluation(self, name: str) -> float | None:
        """Return the newest value of a series that evaluations give."""
        return next((event.values[name] for event in reversed(self.evaluations) if name in event.values), None)

    def best_evaluation(self, series: Series) -> tuple[int, float] | None:
        """Step and value of the best evaluation so far; None where the series has no better end."""
        if series.lower_is_better is None or series.name not in self._extremes:
            return None
        lowest, highest = self._extremes[series.name]
        best = lowest if series.lower_is_better else highest
        return best.step, best.values[series.name]


def remaining_seconds(steps: list[int], walls: list[float], *, planned: int) -> float | None:
    """Return how long the rest takes, at the pace between the first and the last of these rows.

    The rows are of one attempt: a resumed run has not gone its first steps in this attempt's time. None where there
    is no pace yet.
    """
    if len(steps) < 2 or steps[-1] <= steps[0] or walls[-1] <= walls[0]:
        return None
    return max(0, planned - steps[-1]) * (walls[-1] - walls[0]) / (steps[-1] - steps[0])
