"""A run that another run waits for: followed with its progress, asked to stop, and what its end means.

Such a run is one like any other, with a supervisor and a session of its own: it goes on when the run that waits for it
is killed.
"""

from __future__ import annotations

import signal
import time
from contextlib import suppress

from core.errors import FootplateError
from core.run.control import request
from core.run.directory import RunDirectory
from core.run.event_log import EventReader
from core.run.events import Progress, Started
from core.run.launch import terminate
from core.run.metrics import MetricsReader
from core.run.session import Leaving, Session
from core.run.status import BeatWatch, RunStatus, read_status

AT_WORK = ("running", "stalled", "silent")
POLL_SECONDS = 0.25


def follow(run: RunDirectory, session: Session, *, stage: str, refusal: str = "") -> RunStatus | None:
    """Wait until a run has ended and return how, or None once `session` is to leave; tell how far it is as `stage`.

    What the waiting run is asked meanwhile, other than to stop, waits until it works itself; with `refusal` it is
    refused in these words.
    """
    watch, told = BeatWatch(), _Told(run, stage)
    while (status := read_status(run, watch)).word in AT_WORK:
        if session.leaving() is not None:
            return None
        for asked in session.requests() if refusal else ():
            session.handled(asked, False, refusal)
        told.tell(session)
        time.sleep(POLL_SECONDS)
    told.tell(session)
    return status


def ask_to_stop(run: RunDirectory, session: Session, reason: Leaving, *, seconds: float | None) -> None:
    """Ask a run to stop for the reason for which `session` leaves, and wait for its end.

    For at most `seconds`, however long it takes where that is None.
    """
    if reason == "preempted":
        terminate(run, signal.SIGTERM)
    else:
        with suppress(FootplateError):  # a full disk: it goes on
            request(run, "stop")
    deadline = float("inf") if seconds is None else time.monotonic() + seconds
    while read_status(run).word in AT_WORK and time.monotonic() < deadline:
        session.leaving()  # a sign of life
        time.sleep(POLL_SECONDS)


class _Told:
    """Passes the progress of a run on to those who watch the one that waits for it."""

    def __init__(self, run: RunDirectory, stage: str) -> None:
        self._stage = stage
        self._events = EventReader(run.events)
        self._metrics = MetricsReader(run)
        self._steps: int | None = None
        self._last_progress: Progress | None = None
        self._last: tuple[float, float | None, str, str] | None = None

    def tell(self, session: Session) -> None:
        """Tell what is new: steps where the run has them, with what it is at beside them; else its own progress."""
        while events := self._events.read():
            for event in events:
                match event:
                    case Started(steps=steps):
                        self._steps, self._last_progress = steps, None
                    case Progress():
                        self._last_progress = event
                    case _:
                        pass
        self._metrics.refresh()
        now = self._now()
        if now is not None and now != self._last:
            self._last = now
            session.progress(self._stage, *now)

    def _now(self) -> tuple[float, float | None, str, str] | None:
        of = self._last_progress
        if self._steps is None:
            return None if of is None else (of.done, of.total, of.unit, f"{of.stage} {of.note}".strip())
        note = ""
        if of is not None:
            total = "" if of.total is None else f" of {of.total:,.0f}"
            note = f"{of.stage}: {of.done:,.0f}{total} {of.unit}"
        return self._metrics.last_step, self._steps, "steps", note
