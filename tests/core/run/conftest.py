"""A run, workers that only pretend, and waiting for what processes do."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from core.run.directory import Home, RunDirectory
from core.run.launch import create_run
from core.run.processes import end_marked, is_alive
from core.run.records import read_process

ROOT = Path(__file__).parents[3]
STAND_IN = Path(__file__).with_name("stand_in_worker.py")


@pytest.fixture
def run(home: Home) -> Iterator[RunDirectory]:
    """A run that was not started; whatever a test leaves running is ended."""
    made = create_run(home, "tiny", "tiny", "phase: pretrain\n")
    yield made
    for attempt in made.attempts():
        record = read_process(attempt)
        if record is not None:
            if is_alive(record.identity):
                with suppress(ProcessLookupError):  # it may end by itself in between
                    os.kill(record.identity.pid, signal.SIGKILL)
            end_marked(record.marker, ask_seconds=0, kill_seconds=5)


def stand_in(*kind: str | int | float) -> list[str]:
    """Return the command of a worker that pretends."""
    return [sys.executable, "-P", str(STAND_IN), *map(str, kind)]


def wait_until(claim: Callable[[], bool], *, seconds: float = 15.0) -> None:
    """Wait until something holds; fail where it does not in time."""
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.02)
