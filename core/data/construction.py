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

from core.errors import FootplateError, StorageError, UsageError, disk_errno


class AlreadyThereError(UsageError):
    """The folder that was to be made is there."""


@contextmanager
def under_construction(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder`; when the block ends it is on the disk and becomes `folder`.

    When the block raises, it is removed. When the process is killed, it stays under its other name, and the next
    construction of the same folder removes it: a lock tells it from one that is still being made.

    Raises: StorageError where the disk is full or fails; AlreadyThereError where `folder` is there; UsageError where a
    file that the block reads cannot be read.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(folder)
        partial, lock = _begun(folder)
        try:
            yield partial
            _synchronise(partial)
            _publish(partial, folder)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        finally:
            os.close(lock)
    except FootplateError:
        raise
    except OSError as error:
        raise _explained(error, folder) from error
    except Exception as error:
        if disk_errno(error) is None:
            raise
        raise _storage_error(f"{folder}: {error}", folder) from error  # tokenizers has its own exceptions


def _begun(folder: Path) -> tuple[Path, int]:
    """Return a new folder and the descriptor that holds its lock."""
    while True:
        partial = folder.parent / f".{folder.name}.tmp-{secrets.token_hex(6)}"
        partial.mkdir(mode=0o700)
        try:
            lock = os.open(partial, os.O_RDONLY)
        except FileNotFoundError:
            continue  # taken for abandoned before it was locked
        # flock and not a record lock, because it holds on a folder: no file of ours that a kill could leave unlocked.
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if partial.is_dir():
            return partial, lock
        os.close(lock)


def _publish(partial: Path, folder: Path) -> None:
    try:
        partial.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise AlreadyThereError(
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
        with contextlib.suppress(OSError):  # still being made, gone meanwhile, or a file system that cannot say
            lock = os.open(partial, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(partial, ignore_errors=True)
            finally:
                os.close(lock)


def _explained(error: OSError, folder: Path) -> StorageError | UsageError:
    place = error.filename or folder
    if disk_errno(error) is not None or str(place).startswith(str(folder.parent)):
        return _storage_error(f"{place}: {error.strerror or error}", folder)
    return UsageError(f"{place}: expected a file that can be read, found: {error.strerror or error}")


def _storage_error(message: str, folder: Path) -> StorageError:
    return StorageError(message, hint=f"Make space or mend permissions below {folder.parent}.")
