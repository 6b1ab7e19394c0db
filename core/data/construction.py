"""A folder that is either not there or complete, and whose making goes on where it was left."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from core.data.progress import PreparationStopped
from core.errors import DataError, FootplateError, OutOfMemoryError, StorageError, UsageError, disk_errno

_WAIT_SECONDS = 0.1


class AlreadyThereError(UsageError):
    """The folder that was to be made is there."""


class KeptWorkError(DataError):
    """An error that a user can mend so that what was done so far still holds."""


def partial_folder(folder: Path) -> Path:
    """Return where `folder` is made until it is complete."""
    return folder.parent / f".{folder.name}.partial"


@contextmanager
def under_construction(folder: Path, *, should_stop: Callable[[], bool], keeps_all: bool = False) -> Iterator[Path]:
    """Give the folder in which `folder` is made; when the block ends it is on the disk and becomes `folder`.

    What a kill, a stop, a full disk or memory, or a KeptWorkError left in it is there the next time. Any other error
    removes it, unless `keeps_all`. One process at a time works in it; others wait, until it is done or `should_stop`.

    Raises: StorageError where the disk is full or fails; AlreadyThereError where `folder` is there; UsageError where a
    file that the block reads cannot be read; PreparationStopped.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_folder(folder)
        lock = _locked(partial, folder, should_stop)
        try:
            yield partial
            _synchronise(partial)
            _publish(partial, folder)
        except BaseException as error:
            if not keeps_all and not _is_worth_keeping(error):
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


def _is_worth_keeping(error: BaseException) -> bool:
    if not isinstance(error, Exception):
        return True  # an interrupt
    if isinstance(error, PreparationStopped | StorageError | OutOfMemoryError | KeptWorkError):
        return True
    return not isinstance(error, FootplateError) and disk_errno(error) is not None


def _locked(partial: Path, folder: Path, should_stop: Callable[[], bool]) -> int:
    """Return the descriptor that holds the lock of the folder, which is made where it is not there."""
    while True:
        if folder.exists():
            raise AlreadyThereError(
                f"{folder}: expected nothing of that name yet, found something",
                hint="Use what is there, or delete it and prepare anew.",
            )
        partial.mkdir(mode=0o700, exist_ok=True)
        try:
            lock = os.open(partial, os.O_RDONLY)
        except FileNotFoundError:
            continue  # published or removed meanwhile
        try:
            # flock and not a record lock, because it holds on a folder: no file of ours that a kill leaves behind.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            if should_stop():
                raise PreparationStopped from None
            time.sleep(_WAIT_SECONDS)
            continue
        except OSError:
            return lock  # a file system without locks
        if partial.is_dir() and os.fstat(lock).st_ino == partial.stat().st_ino:
            return lock
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
    synchronise_entry(folder.parent)


def _synchronise(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            synchronise_entry(Path(place) / name)
        synchronise_entry(Path(place))


def synchronise_entry(path: Path) -> None:
    """Bring a file or a folder's list of names to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def writer_name() -> str:
    """Return what no other process that writes now is called, on this machine or on one that shares its disks."""
    return f"{os.uname().nodename}-{os.getpid()}"


def remove_half_written(folder: Path) -> None:
    """Remove the files that a killed `write_whole` left in a folder in which nobody writes now."""
    for path in folder.glob(".*.*"):
        if path.is_file():
            path.unlink()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file that is there whole or not at all, on the disk."""
    partial = path.with_name(f".{path.name}.{writer_name()}")
    with partial.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)


def _explained(error: OSError, folder: Path) -> StorageError | UsageError:
    place = error.filename or folder
    if disk_errno(error) is not None or str(place).startswith(str(folder.parent)):
        return _storage_error(f"{place}: {error.strerror or error}", folder)
    return UsageError(f"{place}: expected a file that can be read, found: {error.strerror or error}")


def _storage_error(message: str, folder: Path) -> StorageError:
    return StorageError(message, hint=f"Make space or mend permissions below {folder.parent}.")
