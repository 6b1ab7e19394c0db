"""What a finished run has changed: the first and the last evaluation of each series that it declares."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from core.run.directory import RunDirectory
from core.run.event_log import EventReader
from core.run.events import AnyEvent, Evaluated, Series, Started
from core.run.marks import Marks


@dataclass(frozen=True)
class BeforeAfter:
    """A series at the first and at the last evaluation of a run; both are the same where there was one."""

    series: Series
    first_step: int
    before: float
    last_step: int
    after: float

    @property
    def is_better(self) -> bool | None:
        """Whether the later value is the better one; None where nothing has changed, or nobody says which is."""
        change = self.after - self.before
        if self.series.lower_is_better is None or change == 0 or math.isnan(change):
            return None
        return (change < 0) == self.series.lower_is_better


def before_after(run: RunDirectory) -> list[BeforeAfter]:
    """Return what each evaluated series that the run declares was first and last, in the order of its declaration.

    Evaluations beyond the step from which a later attempt went on do not count.
    """
    declared: dict[str, Series] = {}
    found: dict[str, tuple[int, float, int, float]] = {}
    for event in _events_that_count(run):
        if isinstance(event, Started):
            declared = {series.name: series for series in event.series}
        elif isinstance(event, Evaluated):
            for name, value in event.values.items():
                first = found.get(name, (event.step, value))[:2]
                found[name] = (*first, event.step, value)
    return [BeforeAfter(series, *found[name]) for name, series in declared.items() if name in found]


def _events_that_count(run: RunDirectory) -> Iterator[AnyEvent]:
    marks, reader = Marks(run.events), EventReader(run.events)
    marks.refresh()
    while events := reader.read():
        for event in events:
            if not isinstance(event, Evaluated) or event.step <= marks.last_step_of(event.attempt):
                yield event
