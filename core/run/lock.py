"""The lock that says who works on a run: a POSIX record lock.

Unlike flock it is not inherited by forked children and not outlived by the process that took it. But it is lost as
soon as its holder closes any descriptor of that file, so nothing outside this module may open it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import RunHeldError, StorageError, UsageError
from core.run.directory import RunDirectory
from core.run.private import open_file

# struct flock of Linux on 64 bits: type, whence, start, length, pid.
_FLOCK = "hhqqi4x"
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}

_held: set[tuple[int, int]] = set()
"""Device and inode of the locks that this process holds."""


@dataclass(frozen=True)
class LockState:
    """The answer to "who holds this run?".

    `pid` is None unless held; 0 where the holder is in another pid namespace or on another machine. "unknown" where
    the file system has no locks or the file cannot be opened.
    """

    state: Literal["free", "held", "unknown"]
    pid: int | None = None


class RunLock:
    """A run's lock while this process holds it; lost when the process ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, run: RunDirectory) -> RunLock:
        """Take the lock of a run.

        Raises: RunHeldError where another process has it; StorageError where the file system has no locks.
        """
        if _identity(run.lock) in _held:
            raise RunHeldError(f"{run.name} is held by this process, {os.getpid()}")
        descriptor = open_file(run.lock, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = _ask(descriptor) if error.errno in (errno.EACCES, errno.EAGAIN) else None
            os.close(descriptor)
            if holder is not None:
                raise RunHeldError(
                    f"{run.name} is held by pid {holder.pid or 'of another pid namespace or machine'}",
                    hint=f"Watch it: footplate attach {run.name}. Stop it: footplate stop {run.name}.",
                ) from error
            if error.errno in _NO_LOCKS:
                raise StorageError(
                    f"the file system of {run.path} has no locks ({error.strerror})",
                    hint="Two processes could work on one run there. Set FOOTPLATE_HOME to a local disk.",
                ) from error
            raise
        found = os.fstat(descriptor)
        _held.add((found.st_dev, found.st_ino))
        return cls(descriptor)

    def release(self) -> None:
        """Give the lock back."""
        found = os.fstat(self._descriptor)
        _held.discard((found.st_dev, found.st_ino))
        os.close(self._descriptor)


def lock_state(run: RunDirectory) -> LockState:
    """Ask who holds a run, without taking anything."""
    if _identity(run.lock) in _held:
        return LockState("held", os.getpid())
    try:
        descriptor = open_file(run.lock, os.O_RDWR)
    except FileNotFoundError:
        return LockState("free")
    except (OSError, UsageError):
        return LockState("unknown")
    try:
        return _ask(descriptor)
    finally:
        os.close(descriptor)


def _ask(descriptor: int) -> LockState:
    question = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    try:
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, question)
    except OSError:
        return LockState("unknown")
    kind, _, _, _, pid = struct.unpack(_FLOCK, answer)
    return LockState("free") if kind == fcntl.F_UNLCK else LockState("held", max(0, pid))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
