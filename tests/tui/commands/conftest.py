from __future__ import annotations

import io
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from core.run.directory import Home
from core.run.events import AnyEvent
from core.run.launch import terminate
from core.run.runs import list_runs
from tui.commands.context import Context

BEGIN = datetime(2026, 11, 24, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in which nothing is yet: what a wrong command must leave so."""
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return Home(path)


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def piped(home: Home) -> Context:
    """Surroundings in which output and words go to pipes."""
    return Context(home, {"LANG": "C.UTF-8", "TERM": "xterm", "PATH": ""}, io.StringIO(), io.StringIO(), False)


@pytest.fixture
def on_terminal(home: Home) -> Context:
    """Surroundings in which the output is a terminal."""
    return Context(home, {"LANG": "C.UTF-8", "TERM": "xterm", "PATH": ""}, Terminal(), io.StringIO(), True)


class At(Protocol):
    """Stamps an event."""

    def __call__(self, event: AnyEvent, seconds: float, *, seq: int = 0, attempt: int = 1) -> AnyEvent: ...


@pytest.fixture
def at() -> At:
    """Return an event with an envelope that says when it was."""

    def stamp(event: AnyEvent, seconds: float, *, seq: int = 0, attempt: int = 1) -> AnyEvent:
        wall = (BEGIN + timedelta(seconds=seconds)).isoformat()
        stamped: AnyEvent = event.model_copy(update={"wall": wall, "mono": seconds, "seq": seq, "attempt": attempt})
        return stamped

    return stamp


PRESET = """\
phase: pretrain
about: {title: tiny}
model: {kind: scratch, layers: 2, hidden_size: 32, heads: 2, context_length: 64}
data:
  kind: text
  sources: [{kind: standard_library, max_bytes: 100000}]
  tokenizer: {kind: train, vocabulary_size: 300}
schedule: {kind: constant, peak_learning_rate: 1e-3, steps: 6}
batch: {size: 2, micro_size: 2, sequence_length: 32}
"""


@dataclass(frozen=True)
class Commands:
    """Runs commands of Footplate as processes, with a worker that only says things."""

    home: Home
    environment: dict[str, str]

    def argv(self, *arguments: str, behaviour: str = "plain") -> list[str]:
        return [sys.executable, str(Path(__file__).with_name("driver.py")), behaviour, *arguments]

    def __call__(self, *arguments: str, behaviour: str = "plain") -> subprocess.CompletedProcess[str]:
        argv = self.argv(*arguments, behaviour=behaviour)
        pipes: dict[str, Any] = {"capture_output": True, "stdin": subprocess.DEVNULL}
        return subprocess.run(argv, env=self.environment, text=True, timeout=60, check=False, **pipes)

    def start(self, *arguments: str, behaviour: str = "plain", **options: Any) -> subprocess.Popen[str]:
        argv = self.argv(*arguments, behaviour=behaviour)
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(argv, env=self.environment, text=True, **{**pipes, **options})


@pytest.fixture
def commands(home: Home, environment: dict[str, str]) -> Iterator[Commands]:
    """Commands in a home with the preset `tiny`; whatever still runs at the end is asked to leave."""
    home.presets.mkdir(mode=0o700)
    (home.presets / "tiny.yaml").write_text(PRESET)
    yield Commands(home, environment)
    for run in list_runs(home):
        terminate(run)


def wait_until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.05)


@pytest.fixture
def until() -> Callable[..., None]:
    """Wait until something holds, at most 20 s."""
    return wait_until
