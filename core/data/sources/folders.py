"""Which files a path names: a folder walked by patterns, the standard library of this interpreter."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from fnmatch import fnmatchcase
from pathlib import Path

from core.config.sources import FilesSource, StandardLibrarySource
from core.errors import DataError, UsageError

NOT_LIBRARY = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "lib-dynload"})


def files_below(
    folder: Path, include: list[str], exclude: list[str], *, without: frozenset[str] = frozenset()
) -> list[Path]:
    """Return the files of a folder and of those below it whose name is included and whose path is not excluded.

    Sorted by relative path. Symbolic links to folders are not followed; names that begin with a dot are left out, and
    folders that are named in `without`. Patterns are those of a shell: `include` looks at the name, `exclude` at the
    path relative to the folder.
    """
    found: list[str] = []
    for place, folders, names in os.walk(folder, followlinks=False):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in without)
        below = os.path.relpath(place, folder)
        for name in names:
            if name.startswith(".") or not any(fnmatchcase(name, pattern) for pattern in include):
                continue
            relative = name if below == "." else f"{below}/{name}"
            if not any(fnmatchcase(relative, pattern) for pattern in exclude):
                found.append(relative)
    return [folder / relative for relative in sorted(found) if (folder / relative).is_file()]


def existing(path: str) -> Path:
    """Return the path of a source.

    Raises: UsageError where nothing is there, or neither a file nor a folder.
    """
    place = Path(path).expanduser()
    if place.is_file() or place.is_dir():
        return place
    found = "neither a file nor a folder" if place.exists() else "nothing there"
    raise UsageError(
        f"{place}: expected a file or a folder, found {found}",
        hint="A relative path counts from the folder in which the command runs.",
    )


def files_of(source: FilesSource) -> list[Path]:
    """Return the files of a `files` source, in order."""
    path = existing(source.path)
    return files_below(path, source.include, source.exclude) if path.is_dir() else [path]


def library_folder() -> Path:
    """Return the folder of the standard library; in a virtual environment that of the interpreter below it."""
    return Path(sysconfig.get_path("stdlib"))


def library_files(source: StandardLibrarySource, library: Path | None = None) -> list[Path]:
    """Return Python files of the standard library, in the order of their names' hashes, up to max_bytes.

    Without site-packages, tests and caches.

    Raises: DataError where this interpreter comes without the source of its library.
    """
    root = library or library_folder()
    names = [path.relative_to(root) for path in files_below(root, ["*.py"], [], without=NOT_LIBRARY)]
    names.sort(key=lambda name: hashlib.sha256(name.as_posix().encode()).digest())
    chosen: list[Path] = []
    total = 0
    for name in names:
        total += (root / name).stat().st_size
        if total > source.max_bytes:
            break
        chosen.append(root / name)
    if not chosen:
        raise DataError(
            f"{root}: expected the Python source of the standard library within {source.max_bytes} bytes, found none",
            hint="Use an interpreter that has its library as files, or a `files` source instead.",
        )
    return chosen
