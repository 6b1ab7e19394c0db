"""Whether a run is what it would have been without interruption, read cheaply."""

from __future__ import annotations

import json
from itertools import count

from core.errors import FootplateError
from core.run.directory import RunDirectory
from core.run.private import read_file

_MOST_BYTES = 1_000_000
_MOST_LOG_BYTES = 100_000_000


def is_exact(run: RunDirectory) -> bool:
    """Return what the newest continuation of a run said of itself; True where no resume was allowed to be inexact.

    The log is read only of a run that was: of any other this costs a look for one file.
    """
    try:
        return not _was_allowed(run) or _newest_says(run)
    except (OSError, FootplateError):
        return True  # who lists runs does not end at one whose files are damaged


def _was_allowed(run: RunDirectory) -> bool:
    for number in count(1):
        try:
            text = read_file(run.overrides(number), limit_bytes=_MOST_BYTES, root=run.path)
        except FileNotFoundError:
            return False
        if b"true" in text.partition(b"allow_inexact")[2]:
            return True
    raise AssertionError("count has no end")


def _newest_says(run: RunDirectory) -> bool:
    """Return `exact` of the last Resumed in the log: each says it of the whole run up to there."""
    for text in reversed(read_file(run.events, limit_bytes=_MOST_LOG_BYTES, root=run.path).splitlines()):
        if b'"resumed"' not in text:
            continue
        try:
            event = json.loads(text)
        except ValueError:
            continue  # half a line
        if event.get("type") == "resumed":
            return bool(event.get("exact", True))
    return True
