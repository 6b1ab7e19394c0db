"""Where a run stands, as its events tell it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import assert_never

from core.run.events import (
    AnyEvent,
    CheckpointSaved,
    Evaluated,
    Failed,
    Finished,
    Metrics,
    Notice,
    Paused,
    Progress,
    RequestHandled,
    Resumed,
    Sampled,
    Started,
    Stopped,
)
from tui.services.run_view import remaining_seconds
from tui.services.words import seconds_of

_ROWS_OF_PACE = 50


@dataclass
class Picture:
    """The last of everything that a watcher shows; `take` brings it up to date with one event."""

    phase: str = ""
    steps: int | None = None
    step: int = 0
    values: dict[str, float] = field(default_factory=dict)
    held_out: Evaluated | None = None
    samples: list[Sampled] = field(default_factory=list)
    progress: Progress | None = None
    facts: dict[str, str | int | float | bool] = field(default_factory=dict)
    end: Stopped | Failed | Finished | None = None
    paused: str = ""
    first_wall_seconds: float | None = None
    last_wall_seconds: float | None = None
    _pace: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=_ROWS_OF_PACE))

    def take(self, event: AnyEvent) -> None:
        """Bring the picture up to date with one event."""
        self._note_time(event.wall)
        if self.end is not None and event.attempt != self.end.attempt:
            self.end = None  # a later attempt, which says that it began only once data and model are there
        if not isinstance(event, Paused | RequestHandled | Notice):
            self.paused = ""
        match event:
            case Started() | Resumed():
                self._begin(event)
            case Metrics() | Progress():
                self._advance(event)
            case Evaluated():
                self.held_out, self.step = event, max(self.step, event.step)
            case Sampled():
                self.samples = [*(sample for sample in self.samples if sample.step == event.step), event]
            case Paused():
                self.paused = event.reason
            case Stopped() | Failed() | Finished():
                self.end = event
                self.facts = {**self.facts, **(event.facts if isinstance(event, Finished) else {})}
            case CheckpointSaved() | RequestHandled() | Notice():
                pass  # said once, in a line of their own
            case _:
                assert_never(event)

    @property
    def remaining_seconds(self) -> float | None:
        """How long the rest takes at the pace of the last rows of this attempt; None where that is not known."""
        if self.steps is None:
            return None
        return remaining_seconds([step for _, step in self._pace], [wall for wall, _ in self._pace], planned=self.steps)

    @property
    def elapsed_seconds(self) -> float:
        """Time between the first and the last event of this attempt, by the wall clock; never negative."""
        if self.first_wall_seconds is None or self.last_wall_seconds is None:
            return 0.0
        return max(0.0, self.last_wall_seconds - self.first_wall_seconds)

    def _note_time(self, wall: str) -> None:
        seconds = seconds_of(wall)
        if math.isnan(seconds):
            return
        self.last_wall_seconds = seconds
        if self.first_wall_seconds is None:
            self.first_wall_seconds = seconds

    def _begin(self, event: Started | Resumed) -> None:
        self._pace.clear()
        if isinstance(event, Resumed):
            self.step = event.step
            return
        self.phase, self.steps, self.facts = event.phase, event.steps, event.facts
        self.end, self.progress = None, None
        self.first_wall_seconds = self.last_wall_seconds

    def _advance(self, event: Metrics | Progress) -> None:
        if isinstance(event, Progress):
            self.progress = event
            return
        self.step, self.values, self.progress = event.step, event.values, None
        if self.last_wall_seconds is not None:
            self._pace.append((self.last_wall_seconds, event.step))
