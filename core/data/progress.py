"""How long work tells how far it has come, and hears that it is to stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

_POLL_SECONDS = 0.05


class ProgressCallback(Protocol):
    """Hears how far a stage has come; `total` is None where nobody knows it before the end."""

    def __call__(self, stage: str, done: float, total: float | None, unit: str, note: str = "") -> None:
        """Take the report."""


class PreparationStopped(Exception):
    """`should_stop` said so; what was done so far is kept for the next time."""


def silent(stage: str, done: float, total: float | None, unit: str, note: str = "") -> None:
    """Tell nobody."""


class Work:
    """Reports and asks whether to stop, at most twenty times a second."""

    def __init__(self, progress: ProgressCallback, should_stop: Callable[[], bool]) -> None:
        self.report = progress
        self.should_stop = should_stop
        self._next = 0.0

    def pulse(self, stage: str, done: float, total: float | None, unit: str) -> None:
        """Report and ask whether to stop, when it is time again."""
        if self.ask():
            self.report(stage, done, total, unit)

    def ask(self) -> bool:
        """Ask whether to stop, when it is time again, and say whether it was.

        Raises: PreparationStopped.
        """
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _POLL_SECONDS
        if self.should_stop():
            raise PreparationStopped
        return True

    def stage_ends(self, stage: str, done: float, unit: str, note: str = "") -> None:
        """Report the end of a stage, with its total.

        Raises: PreparationStopped.
        """
        if self.should_stop():
            raise PreparationStopped
        self.report(stage, done, done, unit, note)
