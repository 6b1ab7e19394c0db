"""The run that the console follows, as the main thread knows it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from core.run.before_after import BeforeAfter
from core.run.directory import RunDirectory
from core.run.events import AnyEvent, Metrics, Progress, Sampled
from core.run.status import RunStatus
from tui.services.run_tree import TreeRow
from tui.services.run_view import RunView
from tui.services.safe_text import SafeText
from tui.services.sample_text import sample_lines
from tui.services.styled import Line, line, word
from tui.services.words import event_line

if TYPE_CHECKING:
    from tui.services.curves import Frame

_KEPT_LINES = 2000
_LINES_AT_ONCE = 300
_SAMPLES_AT_ONCE = 50


@dataclass
class Watched:
    """A run with its view, its state, its newest frame, and the lines of its log.

    `key` is another one for each time that a run was opened, so that no message of an earlier time is taken. `parent`
    is the run to which it belongs as a stage; `stages` are its own, and `changes` what those that are finished changed.
    """

    run: RunDirectory
    view: RunView
    key: int
    state: RunStatus | None = None
    frame: Frame | None = None
    parent: RunDirectory | None = None
    stages: tuple[TreeRow, ...] = ()
    changes: Mapping[str, tuple[BeforeAfter, ...]] = field(default_factory=dict)
    log: deque[Line] = field(default_factory=lambda: deque(maxlen=_KEPT_LINES))

    @property
    def clip(self) -> float | None:
        """The bound to which the gradient norm is clipped, where the run told it."""
        facts = self.view.started.facts if self.view.started else {}
        value = facts.get("max_grad_norm")
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None

    def take_events(self, events: Iterable[AnyEvent]) -> tuple[list[Line], list[Line]]:
        """Take events; return the lines that they add to the log and to the samples."""
        taken = list(events)
        self.view.apply(taken)
        told = [event for event in taken if not isinstance(event, Progress | Metrics | Sampled)]
        log = [event_line(event) for event in told[-_LINES_AT_ONCE:]]
        self.log.extend(log)
        sampled = [event for event in taken if isinstance(event, Sampled)]
        samples = [part for event in sampled[-_SAMPLES_AT_ONCE:] for part in sample_lines(event)]
        return log, samples

    def take_output(self, lines: Iterable[SafeText]) -> list[Line]:
        """Take lines of the worker's output; they are marked, so that none can pass for an event."""
        added = [line(word("  │ ", "muted"), (text, "muted")) for text in lines]
        self.log.extend(added)
        return added

    def sample_lines(self) -> list[Line]:
        """Return all samples that are kept, oldest first."""
        return [part for event in self.view.samples for part in sample_lines(event)]
