"""Files as streams of bytes, compressed or not: plain, gzip, bzip2 and Zstandard, told by their first bytes.

Several members one after another are one stream, as `gzip`, `bzip2` and `zstd` have it. At most a few tens of
megabytes are held, however much a file expands to.
"""

from __future__ import annotations

import bz2
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, TypeAlias, assert_never, cast

import zstandard

from core.errors import DataError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    Member: TypeAlias = "zlib._Decompress | bz2.BZ2Decompressor | _Frame"

Compression = Literal["gzip", "bzip2", "zstd"]

_MAGIC: dict[bytes, Compression] = {b"\x1f\x8b\x08": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_BZIP2 = tuple(b"BZh%d" % level for level in range(1, 10))
SUFFIXES = (".gz", ".gzip", ".bz2", ".zst", ".zstd")
_SKIPPABLE = tuple(bytes([0x50 + number]) + b"\x2a\x4d\x18" for number in range(16))
_MAGIC_BYTES = 4
_BUFFER = 256 * 2**10
# A Zstandard block of 4 bytes may stand for 128 KiB and its decompressor has no limit of output: small bites.
_BITE: dict[Compression, int] = {"gzip": 64 * 2**10, "bzip2": 64 * 2**10, "zstd": 2**10}


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Give the content of a file, decompressed, as a buffered stream that reads forwards.

    Raises: DataError where the file cannot be opened, and while it is read where a compressed stream is broken or ends
    early; it names the byte in the file and in the text.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(
            f"{path}: expected a file that can be read, found: {error.strerror}",
            hint="Check the path and its permissions.",
        ) from error
    with file:
        kind = _compression(file.read(_MAGIC_BYTES))
        file.seek(0)
        if kind is None:
            yield file
        else:
            yield cast(BinaryIO, io.BufferedReader(_Expanded(file, path, kind), _BUFFER))


def chunks_of(path: Path, size: int) -> Iterator[bytes]:
    """Yield the content of a file, decompressed, in chunks of at most `size` bytes.

    What stands before the place where a compressed file breaks is yielded before the error is raised.

    Raises: DataError as `opened`.
    """
    with opened(path) as file:
        stream = cast(io.BufferedReader, file)
        while chunk := stream.read1(size):
            yield chunk


def head_of(path: Path, size: int) -> bytes:
    """Return the first bytes of a file, decompressed; where it breaks off before, those that stand before.

    Raises: DataError where it cannot be opened, or its first byte cannot be read.
    """
    head = b""
    try:
        for chunk in chunks_of(path, size):
            head += chunk
            if len(head) >= size:
                break
    except DataError:
        if not head:
            raise
    return head[:size]


def compression_of(path: Path) -> Compression | None:
    """Return how a file is compressed, by its first bytes; None where it is not.

    Raises: OSError where it cannot be read.
    """
    with path.open("rb") as file:
        return _compression(file.read(_MAGIC_BYTES))


def logical_name(path: Path) -> str:
    """Return the name of a file without what its compression added: `a.jsonl` of `a.jsonl.gz`."""
    name = path.name
    for suffix in SUFFIXES:
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return name[: -len(suffix)]
    return name


def _compression(start: bytes) -> Compression | None:
    if start.startswith(_SKIPPABLE):
        return "zstd"
    if start.startswith(_BZIP2):
        return "bzip2"
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)


class _Frame:
    """A Zstandard frame, with the attributes that the decompressors of the standard library have."""

    def __init__(self) -> None:
        self._inner = zstandard.ZstdDecompressor().decompressobj()

    def decompress(self, data: bytes) -> bytes:
        """Return all that `data` stands for."""
        return self._inner.decompress(data)

    @property
    def eof(self) -> bool:
        """Whether the frame's end was read."""
        return self._inner.eof

    @property
    def unused_data(self) -> bytes:
        """What was given beyond the frame's end."""
        return self._inner.unused_data


class _Expanded(io.RawIOBase):
    """The decompressed bytes of a file of one or more members."""

    def __init__(self, file: BinaryIO, path: Path, kind: Compression) -> None:
        super().__init__()
        self._file = file
        self._path = path
        self._kind: Compression = kind
        self._member = _member(kind)
        self._input = b""
        self._ready = memoryview(b"")
        self._read = 0
        self._given = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def tell(self) -> int:
        """Return how many decompressed bytes were given."""
        return self._given

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer, or a part of it; 0 at the end of the last member."""
        view = memoryview(buffer).cast("B")
        while not self._ready:
            if self._member.eof and not self._begin_member():
                return 0
            self._ready = memoryview(self._expanded(len(view)))
        count = min(len(view), len(self._ready))
        view[:count] = self._ready[:count]
        self._ready = self._ready[count:]
        self._given += count
        return count

    def _expanded(self, limit: int) -> bytes:
        if not self._input and not _holds_input(self._member):
            self._input = self._more()
        data, self._input = self._input, b""
        try:
            out = _expand(self._member, data, limit)
        except (zlib.error, zstandard.ZstdError, OSError, ValueError) as error:
            raise self._broken(str(error)) from error
        if not (data or out or self._member.eof or _holds_input(self._member)):
            raise self._broken("its end")
        return out

    def _begin_member(self) -> bool:
        """Go on to the next member; False where there is none. Zeros after a gzip member are padding."""
        rest = self._member.unused_data
        while len(rest) < _MAGIC_BYTES or (self._kind == "gzip" and not rest.strip(b"\0")):
            if not (more := self._more()):
                break
            rest += more
        rest = rest.lstrip(b"\0") if self._kind == "gzip" else rest
        if not rest:
            return False
        if _compression(rest) != self._kind:
            self._read -= len(rest)
            raise self._broken("bytes that begin no further member")
        self._member, self._input = _member(self._kind), rest
        return True

    def _more(self) -> bytes:
        data = self._file.read(_BITE[self._kind])
        self._read += len(data)
        return data

    def _broken(self, what: str) -> DataError:
        return DataError(
            f"{self._path}: expected a whole {self._kind} file, found {what} at byte {self._read} "
            f"({self._given} bytes decompressed)",
            hint="Get the file anew.",
        )


def _member(kind: Compression) -> Member:
    match kind:
        case "gzip":
            return zlib.decompressobj(wbits=31)
        case "bzip2":
            return bz2.BZ2Decompressor()
        case "zstd":
            return _Frame()
        case _:
            assert_never(kind)


def _expand(member: Member, data: bytes, limit: int) -> bytes:
    match member:
        case bz2.BZ2Decompressor():
            return member.decompress(data, limit)
        case _Frame():
            return member.decompress(data)
        case _:
            return member.decompress(member.unconsumed_tail + data, limit)


def _holds_input(member: Member) -> bool:
    match member:
        case bz2.BZ2Decompressor():
            return not member.needs_input and not member.eof
        case _Frame():
            return False
        case _:
            return bool(member.unconsumed_tail)
