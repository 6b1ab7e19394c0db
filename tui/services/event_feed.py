"""The one thread that looks at run directories, and the one that looks at the machine.

What they see goes to the console as messages. What is looked at is set by `watch` and `list_runs`; both may be called
from any thread and take effect at once.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from core.run.directory import Home, RunDirectory
from core.run.event_log import EventReader
from core.run.status import BeatWatch, read_status
from tui.messages import CurvesReady, FeedFailed, LogGrew, MachineSeen, RunBatch, RunsListed, RunStated, StagesSeen
from tui.services.log_tail import LogTail
from tui.services.run_list import RunRow, RunSummary, list_folders
from tui.services.safe_text import safe, safe_text
from tui.services.stages_watch import StagesWatch

if TYPE_CHECKING:
    from tui.services.curves import CurveRequest, CurveSource

Post = Callable[[Message], object]

POLL_SECONDS = 0.25
LIST_SECONDS = 2.0
FRAME_SECONDS = 1.0
MACHINE_SECONDS = 2.0
_BATCH_EVENTS = 1000
_TAKING_SECONDS = 1.0
_PARTIAL_SECONDS = 0.2


class EventFeed(threading.Thread):
    """Follows the watched run at 4 Hz and the list of runs every two seconds, while somebody looks at them."""

    def __init__(self, home: Home, post: Post, *, frame_seconds: float = FRAME_SECONDS) -> None:
        super().__init__(name="footplate-feed", daemon=True)
        self._home = home
        self._post = post
        self._frame_seconds = frame_seconds
        self._wake = threading.Event()
        self._ending = False
        self._taken = threading.Event()
        self._taken.set()
        self._wanted: _Wanted | None = None
        self._is_listing = False
        self._watched: _Watched | None = None
        self._summaries: dict[str, RunSummary] = {}
        self._rows: dict[str, RunRow] = {}
        self._listed_at = 0.0

    def watch(self, run: RunDirectory, key: int, request: CurveRequest) -> None:
        """Follow `run` and make the curves of `request`; with another `key` it is read from its beginning."""
        self._wanted = _Wanted(run, key, request)
        self._wake.set()

    def pause(self) -> None:
        """Follow no run until `watch` is called; the same key goes on where it was."""
        self._wanted = None
        self._wake.set()

    def taken(self) -> None:
        """Say that the last batch of events has been dealt with; the next is not read before."""
        self._taken.set()

    def list_runs(self, *, on: bool) -> None:
        """Look at the list of runs from now on, or no more."""
        self._is_listing = on
        self._listed_at = 0.0
        self._wake.set()

    def end(self) -> None:
        """End the thread at its next turn."""
        self._ending = True
        self._taken.set()
        self._wake.set()

    def run(self) -> None:
        """Look, post, sleep."""
        while not self._ending:
            try:
                more = self._turn()
            except Exception:
                self._post(FeedFailed(safe_text(traceback.format_exc(limit=-6))))
                more = False
                self._wake.wait(5.0)
            if not more:
                idle = self._wanted is None and not self._is_listing
                self._wake.wait(None if idle else POLL_SECONDS if self._wanted else LIST_SECONDS)
            self._wake.clear()

    def _turn(self) -> bool:
        """Look once; return whether there is more to read at once."""
        wanted, more = self._wanted, False
        if wanted is not None:
            if self._watched is None or self._watched.key != wanted.key:
                self._watched = _Watched(wanted, self._post, self._frame_seconds)
            if not self._taken.wait(_TAKING_SECONDS):  # a console that is busy is not given more to do
                return False
            more = self._watched.turn(wanted.request, self._taken)
        if self._is_listing and time.monotonic() - self._listed_at >= LIST_SECONDS:
            self._list()
            self._listed_at = time.monotonic()
        return more

    def _list(self) -> None:
        folders, total = list_folders(self._home)
        names = {run.name for run in folders}
        self._summaries = {name: summary for name, summary in self._summaries.items() if name in names}
        rows: list[RunRow] = []
        posted = time.monotonic()
        for index, run in enumerate(folders):
            rows.append(self._summaries.setdefault(run.name, RunSummary(run)).row())
            if len(self._rows) < index + 1 < len(folders) and time.monotonic() - posted > _PARTIAL_SECONDS:
                self._post(RunsListed(tuple(rows), total, complete=False))
                posted = time.monotonic()
            if self._ending or not self._is_listing:
                return
        self._rows = {row.name: row for row in rows}
        self._post(RunsListed(tuple(rows), total, complete=True))


@dataclass(frozen=True)
class _Wanted:
    run: RunDirectory
    key: int
    request: CurveRequest


class _Watched:
    """What the feed keeps for the run that it follows."""

    def __init__(self, wanted: _Wanted, post: Post, frame_seconds: float) -> None:
        self.key = wanted.key
        self.run = run = wanted.run
        self._post = post
        self._frame_seconds = frame_seconds
        self._events = EventReader(run.events)
        self._log = LogTail(run)
        self._beats = BeatWatch()
        self._curves: CurveSource | None = None
        self._built: CurveRequest | None = None
        self._built_at = -1e9
        self._is_stale = True
        self._problems = 0
        self._stated_at = -1e9
        self._stages = StagesWatch(run)

    def turn(self, request: CurveRequest, taken: threading.Event) -> bool:
        events = self._events.read(_BATCH_EVENTS)
        if self._curves is None:
            from tui.services.curves import CurveSource

            self._curves = CurveSource(self.run)
        if events:
            taken.clear()
            self._post(RunBatch(self.key, tuple(events), has_more=len(events) == _BATCH_EVENTS))
            self._is_stale |= self._curves.take(events)
        lines = self._log.read()
        if lines:
            self._post(LogGrew(self.key, tuple(lines)))
        self._report_problems()
        if time.monotonic() - self._stated_at >= 1.0 or 0 < len(events) < _BATCH_EVENTS:
            self._post(RunStated(self.key, read_status(self.run, self._beats)))
            if (stages := self._stages.look()) is not None:
                self._post(StagesSeen(self.key, *stages))
            self._stated_at = time.monotonic()
        self._make_frame(request)
        return len(events) == _BATCH_EVENTS

    def _make_frame(self, request: CurveRequest) -> None:
        assert self._curves is not None
        self._is_stale |= self._curves.refresh()
        is_new = request != self._built
        is_due = self._is_stale and time.monotonic() - self._built_at >= self._frame_seconds
        if not (is_new or is_due):
            return
        self._post(CurvesReady(self.key, self._curves.build(request)))
        self._built, self._built_at, self._is_stale = request, time.monotonic(), False

    def _report_problems(self) -> None:
        fresh = self._events.problems[self._problems :]
        self._problems = len(self._events.problems)
        if fresh:
            words = [safe(f"event log, byte {problem.offset}: {problem.reason}") for problem in fresh]
            self._post(LogGrew(self.key, tuple(words)))


class MachineWatch(threading.Thread):
    """Reads the machine every two seconds while `on` is set; a driver that hangs holds up nothing else."""

    def __init__(self, path: Path, post: Post) -> None:
        super().__init__(name="footplate-machine", daemon=True)
        self._path = path
        self._post = post
        self.on = threading.Event()
        self._ending = False

    def end(self) -> None:
        """End the thread at its next turn."""
        self._ending = True
        self.on.set()

    def run(self) -> None:
        """Read, post, sleep."""
        self.on.wait()
        if self._ending:
            return
        try:
            from tui.services.machine import Machine

            machine = Machine(self._path)
            while not self._ending:
                self._post(MachineSeen(machine.read()))
                time.sleep(MACHINE_SECONDS)
                self.on.wait()
        except Exception:
            self._post(FeedFailed(safe_text(traceback.format_exc(limit=-6))))
