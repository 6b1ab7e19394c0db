"""The newest output of a run's worker, as safe lines."""

from __future__ import annotations

import os

from core.errors import UsageError
from core.run.directory import RunDirectory
from core.run.private import open_file
from tui.services.safe_text import SafeText, safe

_FIRST_BYTES = 64 * 1024
_POLL_BYTES = 256 * 1024


class LogTail:
    """Reads worker.log of the newest attempt as it grows; half a line waits for its end."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._attempt = 0
        self._offset = 0
        self._rest = b""

    def read(self) -> list[SafeText]:
        """Return the lines that are new; of what was there at first, only the end."""
        attempts = self._run.attempts()
        if not attempts:
            return []
        newest = attempts[-1]
        if newest.number != self._attempt:
            self._attempt, self._offset, self._rest = newest.number, 0, b""
        try:
            descriptor = open_file(newest.log, os.O_RDONLY)
        except (OSError, UsageError):
            return []
        try:
            size = os.fstat(descriptor).st_size
            if size < self._offset:
                self._offset, self._rest = 0, b""
            limit = _POLL_BYTES if self._offset else _FIRST_BYTES
            if size - self._offset > limit:
                self._offset, self._rest = size - limit, b""
            data = self._rest + os.pread(descriptor, size - self._offset, self._offset)
        finally:
            os.close(descriptor)
        lines = [safe(f"── output of attempt {newest.number} ──")] if size and not self._offset else []
        self._offset = size
        *whole, self._rest = data.split(b"\n")
        self._rest = self._rest[-_POLL_BYTES:]
        return lines + [safe(_last_overprint(part).decode("utf-8", "replace")) for part in whole]


def _last_overprint(part: bytes) -> bytes:
    """Return what stood on the line in the end: progress bars write over themselves with carriage returns."""
    return part.rstrip(b"\r").rsplit(b"\r", 1)[-1]
