"""A run seen from inside its worker: what it says, what it is asked, and when it is to leave."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Literal, Self

from core.config.phases import Config
from core.errors import StorageError
from core.run import control
from core.run.control import Rejected, Request
from core.run.directory import RunDirectory
from core.run.event_log import EventWriter
from core.run.events import AnyEvent, Notice, Progress, RequestHandled, Started
from core.run.marks import dense
from core.run.metrics import MetricsWriter
from core.run.private import make_folder
from core.run.processes import boot_id
from core.run.records import Heartbeat, write_heartbeat

Leaving = Literal["asked", "preempted"]
Outcome = Literal["finished", "asked", "preempted"]
"""How a phase ended, where it ended without an error."""

HEARTBEAT_SECONDS = 5.0
POLL_SECONDS = 0.25
PROGRESS_SECONDS = 0.25
SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class Session:
    """The only writer of a run's events, rows and heartbeat; made by `Session.open`, once in a process.

    Meant for the main thread. Nothing that it writes raises on a full disk.
    """

    def __init__(self, run: RunDirectory, config: Config, attempt: int) -> None:
        self.run = run
        self.config = config
        self.attempt = attempt
        self.step = 0
        """What the heartbeat shows; the phase sets it."""
        self._lock = threading.RLock()
        make_folder(run.attempt(attempt).path, root=run.path)
        self._events = EventWriter(run.events, attempt)
        self._metrics: MetricsWriter | None = None
        self._series: list[str] = []
        self._lost_rows = 0
        self._sections = ["loading"]
        self._signalled = False
        self._asked = False
        self._old_handlers: dict[int, Any] = {}
        self._progressed: dict[str, float] = {}
        self._polled = float("-inf")
        self._waiting: dict[str, Request] = {}
        self._refused: set[str] = set()
        self._pulse = _Pulse(self)

    @classmethod
    def open(cls, run: RunDirectory, config: Config, attempt: int) -> Self:
        """Begin an attempt's work: signals set a flag from here on, and the heart beats.

        The supervisor starts its worker with SIGTERM and SIGUSR1 blocked, so that one that comes while Python still
        starts is not lost and kills nothing: they are let in here.
        Raises: StorageError, UsageError where the run's files cannot be opened.
        """
        session = cls(run, config, attempt)
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                session._old_handlers[number] = signal.signal(number, session._on_signal)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        session._pulse.start()
        return session

    def close(self, *, ends_process: bool = False) -> None:
        """Write what waits, stop the heart, and give the signals back.

        With `ends_process` they are ignored instead: the work is done, and what comes while Python and the threads of
        its libraries leave must not change the exit code. (A mask would hold for this thread alone.)
        """
        self._pulse.stop()
        with self._lock:
            if self._metrics is not None:
                self._metrics.close()
                self._metrics = None
            self._events.close()
        for number, handler in self._old_handlers.items():
            signal.signal(number, signal.SIG_IGN if ends_process else handler)
        self._old_handlers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # What the run says

    def start(self, started: Started) -> None:
        """Write the first event of the attempt and open its metrics file with the dense series."""
        self._series = dense([series.name for series in started.series])
        self.emit(started)
        if self._series:
            self._metrics = MetricsWriter(self.run.attempt(self.attempt), self._series)

    def emit(self, event: AnyEvent) -> AnyEvent:
        """Write an event and return it with its envelope (seq -1 where it waits for space on the disk)."""
        with self._lock:
            self._pulse.progressed()
            return self._events.write(event)

    def metrics(self, *, step: int, tokens: float, values: Mapping[str, float]) -> None:
        """Write the row of a step. A declared series without a value is NaN.

        Raises: ValueError for a series that Started did not declare.
        """
        unknown = values.keys() - set(self._series)
        if unknown or self._metrics is None:
            raise ValueError(f"series that Started did not declare: {', '.join(sorted(unknown or values))}")
        with self._lock:
            self._pulse.progressed()
            self._metrics.append(
                seq=self._events.next_seq,
                step=step,
                wall=time.time(),
                tokens=tokens,
                values=[values.get(name, float("nan")) for name in self._series],
            )
            self._tell_of_lost_rows()

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Have the heartbeat say what the run is at: loading, preparing, training, evaluating, sampling, saving.

        Or for which run it waits. Between two sections it is still at the last: only a run that begins is loading.
        """
        self._sections.append(name)
        self._pulse.progressed()
        try:
            yield
        finally:
            left = self._sections.pop()
            if len(self._sections) == 1:
                self._sections[0] = left
            self._pulse.progressed()

    def progress(self, stage: str, done: float, total: float | None = None, unit: str = "", note: str = "") -> None:
        """Say how far work without steps has come: four times a second a stage, besides its first and its end."""
        now = time.monotonic()
        self._pulse.progressed()
        is_due = now - self._progressed.get(stage, float("-inf")) >= PROGRESS_SECONDS
        if is_due or (total is not None and done >= total):
            self._progressed[stage] = now
            self.emit(Progress(stage=stage, done=done, total=total, unit=unit, note=note))

    # What the run is asked

    def requests(self) -> list[Request]:
        """Return the checkpoint, evaluate and sample requests that wait for `handled`, oldest first."""
        self._poll()
        return list(self._waiting.values())

    def handled(self, request: Request, accepted: bool, message: str = "") -> None:
        """Say what became of a request, and put it away."""
        self._waiting.pop(request.nonce, None)
        self._settle(request, accepted=accepted, message=message)

    def leaving(self) -> Leaving | None:
        """Return why the run is to leave after this step: its user asked, or a signal came; None to go on.

        Cheap: it looks at the disk at most four times a second. A user's stop wins over a signal, since the exit
        code of a signal asks for another start.
        """
        self._pulse.progressed()
        self._poll()
        if self._asked:
            return "asked"
        return "preempted" if self._signalled else None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._signalled = True

    def _poll(self) -> None:
        now = time.monotonic()
        if now - self._polled < POLL_SECONDS:
            return
        self._polled = now
        if self._events.blocked:
            with self._lock:
                self._events.flush()
        if not self._asked and os.path.lexists(self.run.stop):
            self._asked = True
            self.emit(Notice(level="info", code="stop_file", message="STOP is there: stopping after this step"))
        requests, rejected = control.scan(self.run)
        for request in requests:
            self._receive(request)
        for refused in rejected:
            self._settle(refused, accepted=False, message=refused.reason)

    def _receive(self, request: Request) -> None:
        if request.nonce in self._waiting or request.nonce in self._refused:
            return
        if request.attempt < self.attempt and request.attempt > 0:
            message = f"asked of attempt {request.attempt}, which has ended"
            self._settle(request, accepted=False, message=message)
        elif request.verb == "stop":
            self._asked = True
            self._settle(request, accepted=True, message="stopping after this step")
        else:
            self._waiting[request.nonce] = request

    def _settle(self, request: Request | Rejected, *, accepted: bool, message: str) -> None:
        if isinstance(request, Request):
            key, nonce, verb = request.nonce, request.nonce, str(request.verb)
        else:
            key, nonce, verb = request.name, request.name[:100], "unknown"
        if key in self._refused:
            return
        self.emit(RequestHandled(nonce=nonce, verb=verb, accepted=accepted, message=message[:500]))
        if not control.settle(self.run, request):
            self._refused.add(key)  # it cannot be moved: it was answered once, which is enough

    def _tell_of_lost_rows(self) -> None:
        if self._metrics is not None and self._metrics.lost > self._lost_rows and not self._metrics.blocked:
            lost, self._lost_rows = self._metrics.lost - self._lost_rows, self._metrics.lost
            message = f"{lost} rows of the curves are lost: the disk was full"
            self.emit(Notice(level="error", code="events_lost", message=message))

    @property
    def current_section(self) -> str:
        """What the run is at."""
        return self._sections[-1]


class _Pulse:
    """The thread that writes heartbeat.json every 5 s, also while the main thread is busy for long."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._counter = 0
        self._ended = threading.Event()
        self._last_progress = time.monotonic()
        self._boot_id = boot_id()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def start(self) -> None:
        self._write()
        self._thread.start()

    def stop(self) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self._write()

    def progressed(self) -> None:
        self._last_progress = time.monotonic()

    def _beat(self) -> None:
        while not self._ended.wait(HEARTBEAT_SECONDS):
            self._write()

    def _write(self) -> None:
        now = time.monotonic()
        self._counter += 1
        heartbeat = Heartbeat(
            attempt=self._session.attempt,
            counter=self._counter,
            step=self._session.step,
            section=self._session.current_section,
            wall=time.time(),
            mono=now,
            boot_id=self._boot_id,
            idle_seconds=round(now - self._last_progress, 3),
        )
        with contextlib.suppress(StorageError):  # a full disk: the age of the last beat tells
            write_heartbeat(self._session.run, heartbeat)
