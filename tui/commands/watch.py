"""Watching a run from a command: its events onto a display, Ctrl-C and signals to where they belong.

The run does not depend on the watch: it has a session and files of its own. Whatever ends the watch, the run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from core.run.control import request
from core.run.directory import RunDirectory
from core.run.launch import terminate
from core.run.replay import Replay
from core.run.status import BeatWatch, RunStatus, read_status
from tui.commands.display import Display
from tui.commands.ending import has_ended
from tui.commands.failure import INTERRUPT_EXIT
from tui.commands.output import shown
from tui.commands.signals import SECONDS_TO_ASK, Received, signal_name

_POLL_SECONDS = 0.25


@dataclass(frozen=True)
class Left:
    """The watch ended before the run did."""

    exit_code: int


class Watch:
    """One run on one display, until the run ends or the watcher leaves.

    Events of attempts before `shown_from` are not shown, and only attempts from `waits_for` on end the watch.
    """

    def __init__(self, run: RunDirectory, display: Display, *, shown_from: int, waits_for: int) -> None:
        self._run = run
        self._display = display
        self._shown_from = shown_from
        self._waits_for = waits_for
        self._replay = Replay(run)
        self._beats = BeatWatch()
        self._said = ""
        self._told_how_to_stop = False
        self._asked_to_stop = False

    def follow(self, noted: Received) -> RunStatus | Left:
        """Show the run until it ends; return its last status, or how the watch was left.

        Raises: BrokenPipeError, TerminalLost where the place to show it is gone.
        """
        for status in self._statuses():
            self._pass_on(noted)
            if self._is_left(noted):
                self._display.close()
                return Left(INTERRUPT_EXIT)
            if has_ended(status) and status.attempt >= self._waits_for:
                self._display.close()
                return status
        raise AssertionError("statuses do not end")

    def _statuses(self) -> Iterator[RunStatus]:
        """Yield the status again and again, each time after all events that were there when it was read."""
        while True:
            status = read_status(self._run, self._beats)
            while events := self._replay.read():
                self._display.take([event for event in events if event.attempt >= self._shown_from])
            if status.word in ("silent", "stalled") and status.word != self._said:
                self._display.words(shown(f"{self._run.name}: {status.words}"))
            self._said = status.word
            self._display.tick(status.word)
            yield status
            time.sleep(_POLL_SECONDS)

    def _pass_on(self, noted: Received) -> None:
        while noted.to_pass_on:
            number = noted.to_pass_on.pop(0)
            reached = terminate(self._run, number)
            outcome = "passed on to" if reached else "not passed on: no process here holds"
            self._display.words(f"{signal_name(number)} {outcome} {shown(self._run.name)}")

    def _is_left(self, noted: Received) -> bool:
        """Answer Ctrl-C: once is to leave, twice within three seconds to stop the run, once more to leave at last."""
        if not noted.interrupts:
            return False
        name = shown(self._run.name)
        if self._asked_to_stop:
            return len(noted.interrupts) > 2
        first = noted.interrupts[0]
        if len(noted.interrupts) > 1 and noted.interrupts[1] - first <= SECONDS_TO_ASK:
            request(self._run, "stop")
            self._asked_to_stop = True
            self._display.words(f"Asked {name} to stop. It keeps what is done first; Ctrl-C leaves without waiting.")
            return len(noted.interrupts) > 2
        if not self._told_how_to_stop:
            self._told_how_to_stop = True
            self._display.words(
                f"{name} goes on. Watch it: footplate attach {name}. "
                f"Stop it: footplate stop {name}, or Ctrl-C again within {SECONDS_TO_ASK:.0f} s."
            )
        return time.monotonic() - first > SECONDS_TO_ASK
