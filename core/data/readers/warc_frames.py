"""The frames of a WARC file: where each record begins and ends, which are damaged, and where reading goes on.

FastWARC, which reads what is inside a record, ends at the first damaged one or passes over it without a word; here
each is found and named.

Source: WARC 1.1, https://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from core.data.readers.opening import compression_of, opened
from core.data.tally import RowError
from core.errors import DataError

MAX_RECORD_BYTES = 64 * 2**20
_MAX_HEADER_BYTES = 64 * 2**10
_CHUNK_BYTES = 2**18
_GZIP = b"\x1f\x8b\x08"
_BEGINS = re.compile(rb"WARC/\d\.\d+[ \t]*\r?\n")
_NEXT = re.compile(rb"WARC/\d\.\d+[ \t]*\r?\n[A-Za-z-]+[ \t]*:")
_HEADER_ENDS = re.compile(rb"\r?\n\r?\n")
_BLANKS = re.compile(rb"[\r\n]*")


@dataclass(frozen=True)
class Frame:
    """One record: its header and block as they stand in the file, or what is wrong with it; `place` for messages."""

    place: str
    header: bytes = b""
    block: bytes = b""
    error: RowError | None = None


@dataclass(frozen=True)
class _Damage:
    """A place in the file from which on a gzip member cannot be decompressed."""

    at: int
    why: str


def frames(path: Path) -> Iterator[Frame]:
    """Yield the records of a WARC file, plain or compressed, damaged ones included.

    A file of gzip members is read on after a damaged one; one of another compression ends there.

    Raises: DataError where the file cannot be opened.
    """
    with opened(path) as stream:
        is_gzip = compression_of(path) == "gzip"
        scanner = _Scanner(path, _gzip_pieces(path) if is_gzip else _blocks(stream), is_gzip)
        while (frame := scanner.next()) is not None:
            yield frame


def _blocks(stream: BinaryIO) -> Iterator[tuple[int, bytes] | _Damage]:
    yield 0, b""
    try:
        while data := cast(io.BufferedReader, stream).read1(_CHUNK_BYTES):
            yield -1, data
    except DataError as error:
        yield _Damage(0, error.message)


def _gzip_pieces(path: Path) -> Iterator[tuple[int, bytes] | _Damage]:
    with path.open("rb") as file:
        yield from _members(file)


def _members(file: BinaryIO) -> Iterator[tuple[int, bytes] | _Damage]:
    """Yield (where a member begins, b"") and (-1, bytes out of it); after a damaged one, go on with the next whole."""
    start = 0
    data = b""
    while data or (data := file.read(_CHUNK_BYTES)):
        if not data.strip(b"\0"):  # padding
            start, data = start + len(data), b""
            continue
        member = zlib.decompressobj(wbits=31)
        yield start, b""
        try:
            while not member.eof:
                unpacked = member.decompress(data, _CHUNK_BYTES)
                yield -1, unpacked
                data = member.unconsumed_tail
                if data or member.eof or len(unpacked) == _CHUNK_BYTES:
                    continue  # there may be more of it, even without input
                if not (data := file.read(_CHUNK_BYTES)):
                    yield _Damage(start, "the file ends inside a gzip member")
                    return
        except zlib.error as error:
            yield _Damage(start, f"a gzip member that cannot be decompressed ({error})")
            start, data = _next_member(file, start + 1)
            continue
        data = member.unused_data
        start = file.tell() - len(data)


def _next_member(file: BinaryIO, start: int) -> tuple[int, bytes]:
    """Return where the next gzip member begins that holds a record, with its first bytes; b"" where none does."""
    file.seek(start)
    data = b""
    while block := file.read(_CHUNK_BYTES):
        data += block
        at = -1
        while (at := data.find(_GZIP, at + 1)) >= 0:
            while len(data) - at < 4096 and (more := file.read(_CHUNK_BYTES)):
                data += more
            if _holds_record(data[at : at + 4096]):
                return start + at, data[at:]
        start, data = start + max(len(data) - 2, 0), data[-2:]
    return start, b""


def _holds_record(data: bytes) -> bool:
    try:
        return zlib.decompressobj(wbits=31).decompress(data, 64).lstrip(b"\r\n").startswith(b"WARC/")
    except zlib.error:
        return False


@dataclass
class _Scanner:
    path: Path
    pieces: Iterator[tuple[int, bytes] | _Damage]
    is_gzip: bool
    _buffer: bytearray = field(default_factory=bytearray)
    _position: int = 0  # of the buffer's first byte, in the decompressed stream
    _members: list[tuple[int, int]] = field(default_factory=list)  # (position, byte of the file), ascending
    _damage: _Damage | None = None  # where the buffer ends, if it is there
    _ended: bool = False

    def next(self) -> Frame | None:
        """Return the next record; None at the end."""
        self._skip_blanks()
        if self._buffer:
            return self._record()
        if self._damage is None:
            return None
        damage, self._damage = self._damage, None
        error = RowError("damaged", f"expected a WARC record, found {damage.why}")
        return Frame(f"{self.path}:byte {damage.at}", error=error)

    def _record(self) -> Frame:
        place = self._place()
        if not (self._has(len(b"WARC/1.10\r\n")) and _BEGINS.match(self._buffer)):
            found = bytes(self._buffer[:20])
            return self._refused(place, "frame", f"expected a WARC record, found {found!r}", 0)
        header = self._header()
        if header is None:
            return self._refused(place, "frame", "expected the end of a record's header, found none", 1)
        length = re.search(rb"(?im)^content-length[ \t]*:[ \t]*(\d{1,18})[ \t]*\r?$", header)
        if length is None:
            return self._refused(place, "frame", "expected a Content-Length in a record's header, found none", 1)
        size = int(length.group(1))
        if size > MAX_RECORD_BYTES:
            return self._passed_over(place, len(header), size)
        whole = len(header) + size
        if not self._has(whole):
            there = max(len(self._buffer) - len(header), 0)
            why = f"; {self._damage.why}" if self._damage else ""
            return self._refused(place, "truncated", f"expected a record of {size} bytes, found {there}{why}", 1)
        block = bytes(memoryview(self._buffer)[len(header) : whole])
        if (after := self._what_follows(whole)) is not None:
            message = f"expected a record of {size} bytes and a blank line, found {after}"
            return self._refused(place, "frame", message, 1)
        self._drop(whole)
        return Frame(place, header, block)

    def _what_follows(self, whole: int) -> str | None:
        """Return what stands after a record where neither the next one nor the end does."""
        while True:
            rest = bytes(self._buffer[whole : whole + 64]).lstrip(b"\r\n")
            if len(rest) >= 11 or not self._pull():
                break
        if not rest:
            # A member is whole only when its check sum at the end is right.
            is_its_own = self._damage is not None and self._damage.at == self._member_of(self._position)
            return self._damage.why if is_its_own and self._damage else None
        return None if _BEGINS.match(rest) else repr(rest[:20])

    def _header(self) -> bytes | None:
        while (end := _HEADER_ENDS.search(self._buffer)) is None:
            if len(self._buffer) > _MAX_HEADER_BYTES or not self._pull():
                return None
        return bytes(self._buffer[: end.end()])

    def _refused(self, place: str, code: str, message: str, at_least: int) -> Frame:
        """Return a damaged record, having gone on to where the next one begins."""
        self._drop(at_least)
        self._resynchronise()
        return Frame(place, error=RowError(code, message))

    def _resynchronise(self) -> None:
        """Drop bytes up to a line that begins a record; up to the next member after one that is damaged."""
        while True:
            if found := _NEXT.search(self._buffer):
                self._drop(found.start())
                return
            self._drop(max(len(self._buffer) - 64, 0))
            if not self._pull():
                break
        self._drop(len(self._buffer))
        self._damage = None  # it is what broke this record: counted once

    def _passed_over(self, place: str, header: int, size: int) -> Frame:
        """Return a record that is too long, without holding it."""
        left = header + size
        while left:
            if not self._buffer and not self._pull():
                break
            count = min(left, len(self._buffer))
            self._drop(count)
            left -= count
        if left:
            self._damage = None
        self._skip_blanks()
        if self._buffer and not (self._has(11) and _BEGINS.match(self._buffer)):
            self._resynchronise()
        message = f"expected a record of at most {MAX_RECORD_BYTES} bytes, found one of {size}"
        return Frame(place, error=RowError("too_long", message))

    def _skip_blanks(self) -> None:
        while True:
            blanks = _BLANKS.match(self._buffer)
            self._drop(blanks.end() if blanks else 0)
            if self._buffer or not self._pull():
                return

    def _has(self, count: int) -> bool:
        while len(self._buffer) < count:
            if not self._pull():
                return False
        return True

    def _pull(self) -> bool:
        """Read on; False at the end, and where damage comes next."""
        if self._damage is not None or self._ended:
            return False
        piece = next(self.pieces, None)
        match piece:
            case None:
                self._ended = True
                return False
            case _Damage():
                self._damage = piece
                return False
            case (-1, data):
                self._buffer += data
            case (start, _):
                self._members.append((self._position + len(self._buffer), start))
        return True

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._position += count

    def _member_of(self, position: int) -> int:
        while len(self._members) > 1 and self._members[1][0] <= position:
            del self._members[0]
        return self._members[0][1]

    def _place(self) -> str:
        start = self._member_of(self._position)
        if not self.is_gzip:
            return f"{self.path}:byte {self._position}"
        inside = self._position - self._members[0][0]
        return f"{self.path}:byte {start}" + (f" (byte {inside} of the gzip member)" if inside else "")
