"""Folders that are there whole or not at all."""

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

_UNFINISHED = "unfinished"


@contextmanager
def placed_whole(folder: Path, *, replace: bool = True) -> Iterator[Path]:
    """Give a new folder to fill, and put it in the place of `folder` when the block ends well.

    What stood there before is replaced, unless `replace` is false. Files are on the disk before the name is. When the
    process is killed, the folder stays under its other name, and the next call for the same `folder` removes it: a lock
    tells it from one that is still being filled.
    Raises: StorageError where the disk is full or fails; UsageError where something is there that is not to be
    replaced. Nothing is left behind then.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(folder)
        unfinished, lock = _begun(folder)
        try:
            yield unfinished
            for path in [*unfinished.rglob("*"), unfinished]:
                _sync(path)
            _put(unfinished, folder, replace=replace)
            _sync(folder.parent)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
            os.close(lock)
    except FootplateError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and disk_errno(error) is None:  # safetensors has exceptions of its own
            raise
        raise StorageError(f"writing {folder} failed: {error}", hint="Free some space, then try again.") from error


def _begun(folder: Path) -> tuple[Path, int]:
    """Return a new folder and the descriptor that holds its lock."""
    while True:
        unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.{_UNFINISHED}")
        unfinished.mkdir(mode=0o700)
        try:
            lock = os.open(unfinished, os.O_RDONLY)
        except FileNotFoundError:
            continue  # taken for abandoned before it was locked
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if unfinished.is_dir():
            return unfinished, lock
        os.close(lock)


def _put(unfinished: Path, folder: Path, *, replace: bool) -> None:
    if not replace:
        try:
            os.rename(unfinished, folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
            raise UsageError(
                f"{folder} is there now: something else made it meanwhile", hint="Nothing was written there."
            ) from error
        return
    if not folder.exists():
        os.rename(unfinished, folder)
        return
    before = unfinished.with_suffix(".replaced")
    os.rename(folder, before)
    os.rename(unfinished, folder)
    shutil.rmtree(before, ignore_errors=True)


def _clear_abandoned(folder: Path) -> None:
    """Remove what killed processes left of `folder`; what stood there before goes back where nothing took its place."""
    for left in folder.parent.glob(f".{folder.name}.*.{_UNFINISHED}"):
        with contextlib.suppress(OSError):  # still being filled, gone meanwhile, or a file system that cannot say
            lock = os.open(left, os.O_RDONLY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _undo_replacing(left.with_suffix(".replaced"), folder)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)
    for before in folder.parent.glob(f".{folder.name}.*.replaced"):
        if folder.exists() and not before.with_suffix(f".{_UNFINISHED}").exists():
            shutil.rmtree(before, ignore_errors=True)


def _undo_replacing(before: Path, folder: Path) -> None:
    if before.is_dir() and not folder.exists():
        os.rename(before, folder)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
