"""How much memory a process has held."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def peak_bytes() -> int:
    """Return the most resident memory since the start, or since `forget_peak`."""
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak() -> None:
    """Begin to measure the peak anew, where the system can do that (Linux)."""
    try:
        _CLEAR.write_text("5")
    except OSError:
        return  # the peak of the whole process is reported in its place


def available_bytes() -> int:
    """Return how much memory new processes may take."""
    import psutil

    return int(psutil.virtual_memory().available)
