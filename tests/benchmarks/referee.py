"""The side of the command: starts processes, lets them step in turns, and collects what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Entrant:
    """One process of a contest: its name, the module and arguments that it runs, and in what environment."""

    name: str
    module: str
    arguments: tuple[str, ...]
    env: Mapping[str, str]
    bytes_needed: int = 0


@dataclass
class Course:
    """How one process did: seconds and CPU seconds of each step, warm-up included, and what it said at the end."""

    name: str
    seconds: list[float] = field(default_factory=list)
    cpu_seconds: list[float] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    failure: str = ""


def environment(threads: int) -> dict[str, str]:
    """Return the environment of every measured process: the same number of threads, no network, no progress bars."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "MKL_", "KMP_", "GOMP_"))}
    return {
        **kept,
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def alone(module: str, arguments: Sequence[str], *, env: Mapping[str, str], log: Path) -> dict[str, Any]:
    """Run a module in a process of its own and return the JSON object that it prints last.

    Raises: RuntimeError with the end of its log where it failed.
    """
    with log.open("ab") as errors:
        command = [sys.executable, "-m", module, *arguments]
        ended = subprocess.run(command, cwd=ROOT, env=dict(env), stdout=subprocess.PIPE, stderr=errors, check=False)
    if ended.returncode:
        raise RuntimeError(f"{module} ended with {ended.returncode}: {_end_of(log)}")
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def contest(entrants: Sequence[Entrant], *, warm_up: int, steps: int, logs: Path) -> list[Course]:
    """Let all entrants make the same steps in turns, in an order that is reversed each time; return their courses.

    One that fails is left out from there on, and its course says why.
    """
    running = [_Process(entrant, logs) for entrant in entrants]
    try:
        for process in running:
            process.expect()  # ready: nobody loads while another is timed
        for step in range(warm_up + steps):
            if step == warm_up:
                for process in running:
                    process.mark()
            for process in running if step % 2 == 0 else reversed(running):
                process.step()
        for process in running:
            process.end()
    finally:
        for process in running:
            process.close()
    return [process.course for process in running]


class _Process:
    def __init__(self, entrant: Entrant, logs: Path) -> None:
        self.course = Course(entrant.name)
        self._log = logs / f"{entrant.name}.log"
        with self._log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", entrant.module, *entrant.arguments],
                cwd=ROOT,
                env=dict(entrant.env),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def expect(self) -> dict[str, Any]:
        """Return the next answer; {} from one that failed."""
        assert self._process.stdout is not None
        if self.course.failure:
            return {}
        if line := self._process.stdout.readline():
            answer: dict[str, Any] = json.loads(line)
            return answer
        self.course.failure = _end_of(self._log)
        return {}

    def step(self) -> None:
        self._tell("step")
        if answer := self.expect():
            self.course.seconds.append(answer["seconds"])
            self.course.cpu_seconds.append(answer["cpu_seconds"])

    def mark(self) -> None:
        self._tell("mark")
        self.expect()

    def end(self) -> None:
        self._tell("end")
        self.course.facts = self.expect()

    def _tell(self, word: str) -> None:
        assert self._process.stdin is not None
        if not self.course.failure:
            try:
                self._process.stdin.write(word + "\n")
                self._process.stdin.flush()
            except BrokenPipeError:
                self.course.failure = _end_of(self._log)

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _end_of(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return f"{lines[-1][:300] if lines else 'it said nothing'} ({log})"
