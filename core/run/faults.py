"""Named points where a test makes the process die or the disk fill up.

Inactive they cost one comparison. A worker activates them from FOOTPLATE_FAULT=POINT:ACTION[:COUNT][,...]: at the
COUNTth time (from 1) that the point is passed, ACTION happens: kill9, enospc, eio or sleep.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from dataclasses import dataclass

from core.errors import UsageError

_SLEEP_SECONDS = 3600.0


@dataclass
class _Armed:
    action: str
    count: int
    passed: int = 0
    fired: int = 0


_armed: dict[str, _Armed] = {}


def activate(text: str) -> None:
    """Arm the points that `text` names; "" disarms all.

    Raises: UsageError where `text` is not POINT:ACTION[:COUNT][,...].
    """
    _armed.clear()
    for part in filter(None, text.split(",")):
        pieces = part.split(":")
        action = pieces[1] if len(pieces) > 1 else ""
        count = pieces[2] if len(pieces) > 2 else "1"
        if action not in ("kill9", "enospc", "eio", "sleep") or not count.isdecimal() or len(pieces) > 3:
            raise UsageError(
                f"FOOTPLATE_FAULT={part!r} is not POINT:ACTION[:COUNT]",
                hint="ACTION is kill9, enospc, eio or sleep; COUNT counts from 1. Unset it for real work.",
            )
        _armed[pieces[0]] = _Armed(action, int(count))


def fault(point: str) -> None:
    """Do what is armed for `point`, usually nothing."""
    if _armed:
        _pass(point)


def fired() -> dict[str, int]:
    """Return how often each armed point fired: a test whose fault never fired has shown nothing."""
    return {point: armed.fired for point, armed in _armed.items()}


def _pass(point: str) -> None:
    armed = _armed.get(point)
    if armed is None:
        return
    armed.passed += 1
    if armed.passed != armed.count:
        return
    armed.fired += 1
    print(f"fault fired: {point}:{armed.action}", file=sys.stderr, flush=True)
    match armed.action:
        case "kill9":
            os.kill(os.getpid(), signal.SIGKILL)
        case "enospc":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), point)
        case "eio":
            raise OSError(errno.EIO, os.strerror(errno.EIO), point)
        case "sleep":
            time.sleep(_SLEEP_SECONDS)
