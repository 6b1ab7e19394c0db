"""Processes by what cannot be mistaken: pid, start time and boot; and all that carry a run's mark."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

MARKER = "FOOTPLATE_RUN_MARKER"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Identity:
    """A process that a pid alone does not name: pids are used again, and differ between namespaces and machines."""

    pid: int
    start_ticks: int
    boot_id: str
    pid_namespace: int
    host: str


def identity_of(pid: int) -> Identity:
    """Return the identity of a live process of this machine.

    Raises: ProcessLookupError where there is none.
    """
    ticks = start_ticks(pid)
    if ticks is None:
        raise ProcessLookupError(pid)
    return Identity(pid, ticks, boot_id(), pid_namespace(), os.uname().nodename)


def start_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None where there is no such process, or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = text[text.rfind(b")") + 2 :].split()  # the name before may hold blanks and brackets
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def boot_id() -> str:
    """Return the name of this boot of the machine, "" where the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def pid_namespace() -> int:
    """Return the inode of this process's pid namespace, 0 where it cannot be read."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def is_here(identity: Identity) -> bool:
    """Whether this process could see the other one: same boot of the same machine, same pid namespace."""
    return identity.boot_id == boot_id() and identity.pid_namespace == pid_namespace()


def is_alive(identity: Identity) -> bool:
    """Whether exactly this process still runs. Only meaningful where `is_here`."""
    return is_here(identity) and start_ticks(identity.pid) == identity.start_ticks


def send(identity: Identity, number: int) -> bool:
    """Send a signal to exactly this process; return whether it was there."""
    try:
        descriptor = os.pidfd_open(identity.pid)
    except OSError:
        return False
    try:
        if not is_alive(identity):  # checked after the descriptor holds it, so that the pid cannot change hands
            return False
        signal.pidfd_send_signal(descriptor, number)
        return True
    except ProcessLookupError:
        return False
    finally:
        os.close(descriptor)


def marked(marker: str) -> list[int]:
    """Return all processes of this user whose environment carries the marker, without this one."""
    wanted = f"{MARKER}={marker}".encode()
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = Path(f"/proc/{entry}/environ").read_bytes()
        except OSError:
            continue  # gone, or another user's
        if wanted in environment.split(b"\0"):
            found.append(int(entry))
    return found


def end_marked(marker: str, *, ask_seconds: float, kill_seconds: float) -> list[int]:
    """End all processes that carry the marker: SIGTERM, after `ask_seconds` SIGKILL. Return those that survived."""
    if ask_seconds > 0 and _until_gone(marker, signal.SIGTERM, ask_seconds, again=False):
        return []
    if _until_gone(marker, signal.SIGKILL, kill_seconds, again=True):
        return []
    return marked(marker)


def _until_gone(marker: str, number: int, seconds: float, *, again: bool) -> bool:
    end = time.monotonic() + seconds
    asked: set[int] = set()
    while True:
        left = marked(marker)
        if not left:
            return True
        for pid in left:
            if again or pid not in asked:
                asked.add(pid)
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    continue
        reap_orphans()
        if time.monotonic() > end:
            return False
        time.sleep(_POLL_SECONDS)


def reap_orphans() -> None:
    """Take the exit status of children that have ended, so that none stays a zombie."""
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def become_subreaper() -> None:
    """Have orphans among this process's descendants become its children instead of init's."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent dies; for the first lines of a child."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the call
        os._exit(128 + signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if _libc.prctl(option, value, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


# Loaded at import: a child between fork and exec must not load a library.
_libc = ctypes.CDLL(None, use_errno=True)
