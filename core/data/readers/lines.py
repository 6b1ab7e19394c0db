"""The lines of a file, whole or between two bytes, without holding one that is too long."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from core.data.readers.opening import opened
from core.data.tally import RowError

MAX_LINE_BYTES = 64 * 2**20
_CHUNK = 2**20


@dataclass(frozen=True)
class Span:
    """A part of a file that is read alone: from `start` up to `stop` (None: the end).

    Bytes of a plain file of lines, of which the lines belong to it that begin there; row groups of a Parquet file.
    """

    start: int = 0
    stop: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left out."""
        return self.start == 0 and self.stop is None


WHOLE = Span()


@dataclass(frozen=True, slots=True)
class Line:
    """One line with its end; `offset` counts bytes from the start of the file's text, `length` is the line's own.

    `data` is None where the line is longer than 64 MiB. `place` is `file:line`, or `file:byte n` in a part of a file.
    """

    data: bytes | None
    place: str
    offset: int
    length: int

    def text(self) -> str:
        """Return the line as text.

        Raises: RowError where it is too long or no UTF-8.
        """
        if self.data is None:
            raise RowError("too_long", f"expected a line of at most {MAX_LINE_BYTES} bytes, found {self.length}")
        return utf8(self.data, self.offset)


@contextmanager
def lines_of(path: Path, span: Span = WHOLE) -> Iterator[Iterator[Line]]:
    """Give the lines of a file, compressed or not; a byte order mark at its start is left out.

    Raises: DataError where the file cannot be read or decompressed.
    """
    with opened(path) as file:
        yield _numbered(file, path) if span.is_whole else _between(file, path, span)


def utf8(data: bytes, offset: int = 0) -> str:
    """Return UTF-8 bytes as text; `offset` is where they stand in their file.

    Raises: RowError with the byte that is wrong.
    """
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = f"byte {error.start}" if not offset else f"byte {error.start} (byte {offset + error.start} of the file)"
        raise RowError("encoding", f"expected UTF-8 text, found {error.reason} at {place}") from None


def _numbered(file: BinaryIO, path: Path) -> Iterator[Line]:
    offset = 0
    for number, (data, length) in enumerate(_bounded(file), start=1):
        yield Line(_without_mark(data) if number == 1 else data, f"{path}:{number}", offset, length)
        offset += length


def _between(file: BinaryIO, path: Path, span: Span) -> Iterator[Line]:
    offset = span.start
    if offset:
        # From the byte before: where that ends a line, the next one begins in this part.
        file.seek(offset - 1)
        offset += next((length for _, length in _bounded(file)), 1) - 1
    for data, length in _bounded(file):
        if span.stop is not None and offset >= span.stop:
            return
        yield Line(data if offset else _without_mark(data), f"{path}:byte {offset}", offset, length)
        offset += length


def _bounded(file: BinaryIO) -> Iterator[tuple[bytes | None, int]]:
    while data := file.readline(MAX_LINE_BYTES + 1):
        length = len(data)
        if length <= MAX_LINE_BYTES or data.endswith(b"\n"):
            yield data, length
            continue
        del data
        while rest := file.readline(_CHUNK):
            length += len(rest)
            if rest.endswith(b"\n"):
                break
        yield None, length


def _without_mark(data: bytes | None) -> bytes | None:
    return data.removeprefix(codecs.BOM_UTF8) if data else data
