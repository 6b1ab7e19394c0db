"""Documents of text and code files."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal, assert_never

from core.config.sources import FilesSource, StandardLibrarySource
from core.data.tally import RowError, Tally
from core.errors import DataError, UsageError

MAX_DOCUMENT_BYTES = 2**30
_MAX_LINE_BYTES = 64 * 2**20
_NOT_LIBRARY = frozenset({"site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__", "lib-dynload"})


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
    names = [path.relative_to(root) for path in files_below(root, ["*.py"], [], without=_NOT_LIBRARY)]
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


def read_documents(path: Path, unit: Literal["file", "line", "paragraph"], tally: Tally) -> Iterator[tuple[str, str]]:
    """Yield (place, text) for every document of a text file; bad ones go to the tally.

    Text is UTF-8, with or without a byte order mark, and holds no NUL character. A line keeps its own text without
    its end; a paragraph is what stands between blank lines; line ends inside a document stay as they are.
    """
    match unit:
        case "file":
            tally.rows += 1
            try:
                yield str(path), _whole(path)
            except RowError as error:
                tally.refuse(str(path), error)
        case "line":
            for place, line in _lines(path, tally):
                yield place, line.rstrip("\r\n")
        case "paragraph":
            yield from _paragraphs(path, tally)
        case _:
            assert_never(unit)


def _whole(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_DOCUMENT_BYTES:
        raise RowError("too_long", f"expected a document of at most {MAX_DOCUMENT_BYTES} bytes, found {size}; "
                                   "set `document: line` or `document: paragraph`")  # fmt: skip
    return _decoded(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))


def _decoded(data: bytes) -> str:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError("encoding", f"expected UTF-8 text, found {error.reason} at byte {error.start}") from None
    if "\0" in text:
        raise RowError("encoding", f"expected text, found a NUL character at {text.index(chr(0))}")
    return text


def _lines(path: Path, tally: Tally) -> Iterator[tuple[str, str]]:
    with path.open("rb") as file:
        number = 0
        while data := file.readline(_MAX_LINE_BYTES + 1):
            number += 1
            place = f"{path}:{number}"
            tally.rows += 1
            try:
                if len(data) > _MAX_LINE_BYTES and not data.endswith(b"\n"):
                    while (rest := file.readline(2**20)) and not rest.endswith(b"\n"):
                        pass
                    raise RowError(
                        "too_long", f"expected a line of at most {_MAX_LINE_BYTES} bytes, found a longer one"
                    )
                yield place, _decoded(data.removeprefix(b"\xef\xbb\xbf") if number == 1 else data)
            except RowError as error:
                tally.refuse(place, error)


def _paragraphs(path: Path, tally: Tally) -> Iterator[tuple[str, str]]:
    lines: list[str] = []
    start = ""
    for place, line in _lines(path, tally):
        if line.strip():
            start = start if lines else place
            lines.append(line)
            tally.rows -= len(lines) > 1  # a row is a paragraph here, not each of its lines
            continue
        tally.rows -= 1
        if lines:
            yield start, "".join(lines).rstrip("\r\n")
            lines = []
    if lines:
        yield start, "".join(lines).rstrip("\r\n")
