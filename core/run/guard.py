"""Outlives a killed supervisor just long enough to end the rest and to say so.

`python -m core.run.guard RUN ATTEMPT MARKER` in its own session; standard input is a pipe whose other end only the
supervisor has, so that its end of file means that the supervisor is gone, however it went.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from core.run.directory import RunDirectory
from core.run.processes import end_marked
from core.run.records import ExitRecord, read_exit, write_exit

KILL_SECONDS = 8.0


def main(arguments: list[str]) -> int:
    """Wait for the supervisor's end; then end what carries the marker and write exit.json where it did not."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    begin = time.monotonic()
    attempt = RunDirectory(Path(arguments[0])).attempt(int(arguments[1]))
    while os.read(0, 1):
        pass
    survivors = end_marked(arguments[2], ask_seconds=0, kill_seconds=KILL_SECONDS)
    if read_exit(attempt) is None:
        record = ExitRecord(
            code=128 + signal.SIGKILL,
            signal="SIGKILL",
            wall=datetime.now(UTC).isoformat(timespec="milliseconds"),
            seconds=round(time.monotonic() - begin, 3),
            by="guard",
            survivors=tuple(survivors),
        )
        write_exit(attempt, record)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
