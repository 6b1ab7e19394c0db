"""What reaches a command that watches: Ctrl-C, and the signals that it passes on."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

SECONDS_TO_ASK = 3.0
_PASSED_ON = (signal.SIGTERM, signal.SIGUSR1)


@dataclass
class Received:
    """Signals that came and were not yet answered; the handlers only note them."""

    interrupts: list[float] = field(default_factory=list)
    """When Ctrl-C was pressed, in seconds of the monotonic clock."""
    to_pass_on: list[int] = field(default_factory=list)
    """Numbers of the signals that are meant for the run."""


@contextmanager
def received(*, passing_on: bool, clock: Callable[[], float] = time.monotonic) -> Iterator[Received]:
    """Note Ctrl-C, and where `passing_on` SIGTERM and SIGUSR1, while the block runs; then restore what was before."""
    noted = Received()

    def interrupt(number: int, frame: FrameType | None) -> None:
        noted.interrupts.append(clock())

    def pass_on(number: int, frame: FrameType | None) -> None:
        noted.to_pass_on.append(number)

    before = {signal.SIGINT: signal.signal(signal.SIGINT, interrupt)}
    if passing_on:
        before.update({number: signal.signal(number, pass_on) for number in _PASSED_ON})
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def signal_name(number: int) -> str:
    """Return SIGTERM for 15."""
    return signal.Signals(number).name
