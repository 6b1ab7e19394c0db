"""Folders that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import StorageError


@contextmanager
def placed_whole(folder: Path) -> Iterator[Path]:
    """Give a new folder to fill, and put it in the place of `folder` when the block ends well.

    What stood there before is replaced. Files are on the disk before the name is.
    Raises: StorageError where the disk is full or fails; nothing is left behind then.
    """
    unfinished = folder.with_name(f".{folder.name}.{secrets.token_hex(8)}.unfinished")
    try:
        unfinished.mkdir(parents=True, mode=0o700)
        yield unfinished
        for path in [*unfinished.rglob("*"), unfinished]:
            _sync(path)
        _put(unfinished, folder)
        _sync(folder.parent)
    except OSError as error:
        raise StorageError(f"writing {folder} failed: {error}", hint="Free some space, then try again.") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _put(unfinished: Path, folder: Path) -> None:
    if not folder.exists():
        os.rename(unfinished, folder)
        return
    before = unfinished.with_suffix(".replaced")
    os.rename(folder, before)
    os.rename(unfinished, folder)
    shutil.rmtree(before, ignore_errors=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
