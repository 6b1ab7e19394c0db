"""LaTeX sources: single files, and the packages of one paper that arXiv gives."""

from __future__ import annotations

import io
import posixpath
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from core.data.readers.latex_macros import without_comments
from core.data.readers.latex_text import latex_title, latex_to_text
from core.data.readers.opening import opened
from core.data.rows import Row
from core.data.tally import RowError, Tally
from core.errors import DataError

MAX_SOURCE_BYTES = 16 * 2**20
_MOST_MEMBERS = 20_000
_NOT_TEXT = (b"%PDF", b"%!PS", b"\x1f\x8b", b"\xff\xd8")
_DEEPEST_INPUT = 10
_INPUT_BYTES = 4096  # what taking in a source counts for at least: ever more of little ones take time, too
_SUFFIXES = (".tex", ".ltx", ".latex", ".txt", ".bbl", ".sty", ".cls", "")
_INPUT = re.compile(r"\\(?:input|include|subfile)\s*(\{[^{}\n]+\}|[^\s{}\\]+)")


def read_latex(path: Path, tally: Tally) -> Iterator[Row]:
    r"""Yield the document of one LaTeX file: text, title. Its rows are its lines.

    \input is not followed: in a folder of sources each file is a document of its own, once. A file that only defines
    commands is counted as empty. Bytes that are not UTF-8 are read as Latin-1 and counted as repaired ("latin-1").
    """
    try:
        with opened(path) as stream:
            data = stream.read(MAX_SOURCE_BYTES + 1)
        if len(data) > MAX_SOURCE_BYTES:
            raise RowError("too_long", f"expected a source of at most {MAX_SOURCE_BYTES} bytes, found a longer one")
        source = _decoded(data, tally)
    except DataError as error:
        tally.rows += 1
        tally.refuse(str(path), RowError("damaged", error.message))
    except RowError as error:
        tally.rows += 1
        tally.refuse(str(path), error)
    else:
        tally.rows += data.count(b"\n") + (not data.endswith(b"\n") and bool(data))
        yield from _document(source, str(path), tally)


def read_arxiv_package(path: Path, tally: Tally) -> Iterator[Row]:
    r"""Yield the paper of one package, a .tar.gz or the .gz of a single source: text, title. It is one row.

    The main source is the one with \documentclass and \begin{document} (the longest, where several have both); what it
    takes in by \input is put in its place. Nothing is written to the disk.
    """
    tally.rows += 1
    try:
        sources = _sources(path, tally)
        main = main_source(sources)
        source = with_inputs(main, sources)
    except DataError as error:
        tally.refuse(str(path), RowError("damaged", error.message))
    except RowError as error:
        tally.refuse(str(path), error)
    else:
        yield from _document(source, f"{path}:{main}" if main else str(path), tally)


def main_source(sources: dict[str, str]) -> str:
    r"""Return the name of the source that is the paper.

    Raises: RowError where none has \begin{document}.
    """

    def rank(name: str) -> tuple[bool, bool, int]:
        text = without_comments(sources[name])
        stated = "\\documentclass" in text or "\\documentstyle" in text
        return stated and "\\begin{document}" in text, "\\begin{document}" in text, len(text)

    ranked = sorted(((rank(name), name) for name in sources), reverse=True)
    if not ranked or not ranked[0][0][1]:
        names = ", ".join(sorted(sources)[:5]) or "no source"
        raise RowError("format", f"expected a LaTeX source with \\begin{{document}}, found {names}")
    return ranked[0][1]


def with_inputs(main: str, sources: dict[str, str]) -> str:
    """Return a source with the sources that it takes in put in their places, and what they take in.

    One that is not in the package is left out, and so is one that takes in itself.
    """
    left = MAX_SOURCE_BYTES

    def text_of(name: str, above: tuple[str, ...]) -> str:
        nonlocal left
        text = without_comments(sources[name])
        left -= len(text) + _INPUT_BYTES
        if left < 0:
            raise RowError("too_long", f"expected a paper of at most {MAX_SOURCE_BYTES} bytes, found a longer one")

        def taken(found: re.Match[str]) -> str:
            inner = _resolved(found.group(1).strip("{} \"'"), name, sources)
            if inner is None or inner in above or len(above) > _DEEPEST_INPUT:
                return ""
            return text_of(inner, (*above, inner))

        return _INPUT.sub(taken, text)

    return text_of(main, (main,))


def _resolved(name: str, origin: str, sources: dict[str, str]) -> str | None:
    for folder in ("", posixpath.dirname(origin)):
        for suffix in ("", ".tex", ".ltx"):
            candidate = posixpath.normpath(posixpath.join(folder, name + suffix))
            if candidate in sources:
                return candidate
    return None


def _sources(path: Path, tally: Tally) -> dict[str, str]:
    """Return the LaTeX sources of a package by their names in it; one without a tar file is named ""."""
    with opened(path) as stream:
        head = cast(io.BufferedReader, stream).peek(512)[:512]
        if head[257:262] == b"ustar" or _is_old_tar(head):
            return _members(path, stream, tally)
        data = stream.read(MAX_SOURCE_BYTES + 1)
    if len(data) > MAX_SOURCE_BYTES:
        raise RowError("too_long", f"expected a source of at most {MAX_SOURCE_BYTES} bytes, found a longer one")
    return {"": _decoded(data, tally)}


def _is_old_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "latin-1", "replace")
    except tarfile.HeaderError:
        return False
    return True


def _members(path: Path, stream: BinaryIO, tally: Tally) -> dict[str, str]:
    sources: dict[str, str] = {}
    left = MAX_SOURCE_BYTES
    try:
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for number, member in enumerate(archive):
                name = posixpath.normpath(member.name)
                if number >= _MOST_MEMBERS:
                    raise RowError("too_long", f"expected at most {_MOST_MEMBERS} files in a package, found more")
                if not member.isfile() or posixpath.splitext(name)[1].lower() not in _SUFFIXES:
                    continue
                left -= member.size
                if left < 0:
                    raise RowError("too_long", f"expected at most {MAX_SOURCE_BYTES} bytes of sources, found more")
                file = archive.extractfile(member)
                data = file.read() if file else b""
                if not _is_binary(data):
                    sources[name] = _decoded(data, tally)
    except (tarfile.TarError, OSError, EOFError) as error:
        raise RowError("damaged", f"expected a whole tar file, found: {error}") from None
    return sources


def _document(source: str, place: str, tally: Tally) -> Iterator[Row]:
    text = latex_to_text(source)
    if not text:
        tally.empty += 1
        return
    title = latex_title(source)
    yield Row({"text": f"{title}\n\n{text}" if title else text, "title": title}, place)


def _is_binary(data: bytes) -> bool:
    return b"\0" in data[:4096] or data.startswith(_NOT_TEXT)


def _decoded(data: bytes, tally: Tally) -> str:
    if _is_binary(data):
        raise RowError("format", f"expected a LaTeX source, found bytes of another kind: {data[:8]!r}")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode()
    except UnicodeDecodeError:
        tally.repaired.update({"latin-1"})
        return data.decode("latin-1")
