"""A folder that is either not there or complete."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import StorageError, UsageError

_LOCK = ".lock"
_STORAGE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG}


@contextmanager
def under_construction(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder`; when the block ends it is on the disk and becomes `folder`.

    When the block raises, it is removed. When the process is killed, it stays under its other name, and the next
    construction of the same folder removes it: a lock tells it from one that is still being made.

    Raises: StorageError where the disk is full or fails; UsageError where `folder` is there already, or a file that
    the block reads cannot be read.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        partial = folder.parent / f".{folder.name}.tmp-{secrets.token_hex(6)}"
        partial.mkdir(mode=0o700)
        try:
            with (partial / _LOCK).open("w") as lock:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                yield partial
                (partial / _LOCK).unlink()
                _synchronise(partial)
                _publish(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise _explained(error, folder) from error


def _publish(partial: Path, folder: Path) -> None:
    try:
        partial.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise UsageError(
                f"{folder}: expected no folder of that name yet, found one",
                hint="Use what is there, or delete it and prepare anew.",
            ) from error
        raise
    _synchronise_entry(folder.parent)


def _synchronise(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            _synchronise_entry(Path(place) / name)
        _synchronise_entry(Path(place))


def _synchronise_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path) -> None:
    for partial in folder.parent.glob(f".{folder.name}.tmp-*"):
        try:
            with (partial / _LOCK).open("r+") as lock:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue  # still being made, or of a file system that cannot say
        shutil.rmtree(partial, ignore_errors=True)


def _explained(error: OSError, folder: Path) -> StorageError | UsageError:
    place = error.filename or folder
    if error.errno in _STORAGE_ERRORS or str(place).startswith(str(folder.parent)):
        return StorageError(
            f"{place}: {error.strerror or error}", hint=f"Make space or mend permissions below {folder.parent}."
        )
    return UsageError(f"{place}: expected a file that can be read, found: {error.strerror or error}")
