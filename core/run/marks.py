"""Where each attempt of a run began, from its events; so which steps of earlier attempts no longer count."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.errors import UsageError
from core.run.events import MAX_LINE_BYTES
from core.run.private import open_file

_SPARSE = "eval/"


def dense(names: Sequence[str]) -> list[str]:
    """Return the series that are columns of the metrics file, in their order."""
    return [name for name in names if not name.startswith(_SPARSE)]


@dataclass
class Mark:
    """What the event log says about an attempt's rows.

    `names` are the dense series, None until Started was seen; `resumed` is the step of its Resumed, None without one.
    """

    attempt: int
    names: list[str] | None = None
    resumed: int | None = None


class Marks:
    """Finds Started and Resumed in the event log without reading the rest as JSON."""

    # Inside a string the quotes would be escaped, so a text cannot forge one.
    _PATTERN = re.compile(rb'"type": ?"(?:started|resumed)"')
    _CHUNK_BYTES = 4 << 20

    def __init__(self, path: Path) -> None:
        self.found: dict[int, Mark] = {}
        self._path = path
        self._offset = 0

    def refresh(self) -> None:
        """Read on from where the last call ended."""
        try:
            descriptor = open_file(self._path, os.O_RDONLY)
        except (OSError, UsageError):
            return  # the reader of the events says what is wrong with the log
        try:
            if os.fstat(descriptor).st_size < self._offset:
                self._offset = 0
                self.found.clear()
            while chunk := os.pread(descriptor, self._CHUNK_BYTES, self._offset):
                end = chunk.rfind(b"\n") + 1
                if not end:
                    if len(chunk) <= MAX_LINE_BYTES:
                        break
                    end = len(chunk)
                for match in self._PATTERN.finditer(chunk, 0, end):
                    start = chunk.rfind(b"\n", 0, match.start()) + 1
                    self._take(chunk[start : chunk.find(b"\n", match.end())])
                self._offset += end
        finally:
            os.close(descriptor)

    def _take(self, line: bytes) -> None:
        try:
            record = json.loads(line)
            mark = self.found.setdefault(int(record["attempt"]), Mark(int(record["attempt"])))
            match record["type"]:
                case "started":
                    mark.names = dense([str(series["name"]) for series in record["series"]])
                case "resumed":
                    mark.resumed = int(record["step"])
                case _:
                    pass
        except (ValueError, KeyError, TypeError, RecursionError):
            return  # a torn line; the reader of the events reports it

    def last_step_of(self, attempt: int) -> float:
        """Return the last step of `attempt` that still counts, infinity where no later attempt took up before."""
        later = [mark.resumed for mark in self.found.values() if mark.attempt > attempt and mark.resumed is not None]
        return min(later, default=float("inf"))
