"""The side of a training process: one step at a time, when the referee says so.

The process stops between two steps and says how long the last one took, from being let go until it came back: so
everything that its loop does between two steps is in it. Several processes take turns in this way, step by step on the
same rows, and whatever else the machine does meanwhile hits them all alike.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

from tests.benchmarks.memory import forget_peak, peak_bytes


class Ended(BaseException):
    """The referee has seen enough. Not an Exception, so that no trainer takes it for one of its own."""


class Gate:
    """Standard input brings `step`, `mark` and `end`, a line each; answers go to what was standard output."""

    def __init__(self) -> None:
        self._answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)  # whatever a library prints goes to the log
        self._begin: float | None = None
        self._cpu = 0.0
        self._peaks: list[int] = []

    def wait(self) -> None:
        """Say what the last step took (the first time: that all is ready), and wait to be let go.

        Raises: Ended.
        """
        _finish_device()
        if self._begin is None:
            self._say({"ready": True})
        else:
            seconds, cpu = time.perf_counter() - self._begin, time.process_time() - self._cpu
            self._say({"seconds": seconds, "cpu_seconds": cpu})
        while (word := sys.stdin.readline().strip()) != "step":
            if word != "mark":
                self._begin = None
                raise Ended
            self._peaks.append(peak_bytes())
            forget_peak()
            self._say({"marked": True})
        self._begin, self._cpu = time.perf_counter(), time.process_time()

    def report(self, *, losses: list[float], **facts: Any) -> None:
        """Say how it went: the loss of every step in nats, the peaks before and after the mark, other facts."""
        steps_peak = peak_bytes()
        peaks = {"peak_bytes": max([*self._peaks, steps_peak]), "steps_peak_bytes": steps_peak}
        self._say({"losses": losses, **peaks, **_device_peak(), **facts})

    def _say(self, answer: dict[str, Any]) -> None:
        self._answers.write(json.dumps(answer) + "\n")
        self._answers.flush()


def _finish_device() -> None:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()


def _device_peak() -> dict[str, int]:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return {}
    return {"device_peak_bytes": int(torch.cuda.max_memory_allocated())}
