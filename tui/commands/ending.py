"""What a status word means for a command that waits."""

from __future__ import annotations

import time

from core.errors import ExitCode
from core.run.directory import RunDirectory
from core.run.status import RunStatus, read_status

_AT_WORK = frozenset({"running", "stalled", "silent"})
_ENDED = frozenset({"finished", "stopped", "preempted", "failed", "lost"})
_POLL_SECONDS = 0.25


def is_at_work(status: RunStatus) -> bool:
    """Whether a process works on the run, or may do so on another machine."""
    return status.word in _AT_WORK


def has_ended(status: RunStatus) -> bool:
    """Whether the run's last attempt is over."""
    return status.word in _ENDED


def exit_code_of(status: RunStatus) -> int:
    """Return the run's exit code; a run that was lost without one counts as an unexpected error."""
    return int(ExitCode.UNEXPECTED) if status.exit_code is None else status.exit_code


def wait_for_end(run: RunDirectory) -> RunStatus:
    """Return the status of a run once it has ended."""
    while not has_ended(status := read_status(run)):
        time.sleep(_POLL_SECONDS)
    return status
