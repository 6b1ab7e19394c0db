"""Is a file a whole fastText model? fastText itself waits for ever, or ends the process, on one that is cut short."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from core.errors import DataError

_MAGIC = 793712314  # fastText 0.9.2, src/fasttext.cc: FASTTEXT_FILEFORMAT_MAGIC_INT32
_VERSIONS = (11, 12)
_ARGUMENTS_BYTES = 12 * 4 + 8  # src/args.cc, Args::save: twelve int32 and a double
_MOST_ENTRIES = 1 << 31
_CENTROIDS = 256  # src/productquantizer.h: ksub_


def check_model(path: Path) -> None:
    """Read the sizes that stand in a model file and compare them with its length.

    Raises: DataError where it is none, is cut short or goes on after its end, with the byte at which that was found.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            _skip_model(file, size)
            end = file.tell()
    except _BrokenError as error:
        raise _broken(path, str(error)) from None
    if end != size:
        raise _broken(path, f"expected {end:,} bytes, found {size:,}")


class _BrokenError(Exception):
    pass


def _broken(path: Path, found: str) -> DataError:
    return DataError(
        f"{path}: expected a fastText model such as lid.176.ftz: {found}",
        hint="Copy or download the file again, or leave `model` out for the model that comes with Footplate.",
    )


def _skip_model(file: BinaryIO, size: int) -> None:
    magic, version = _numbers(file, "<ii")
    if magic != _MAGIC:
        raise _BrokenError(f"found no mark of fastText at byte 0 ({magic:#x})")
    if version not in _VERSIONS:
        raise _BrokenError(f"found version {version} of the format, 11 and 12 are known")
    _skip(file, _ARGUMENTS_BYTES, size)
    _skip_dictionary(file, size)
    for _ in ("input", "output"):
        (quantised,) = _numbers(file, "<?")
        if quantised:
            _skip_quantised(file, size)
        else:
            rows, columns = _numbers(file, "<qq")
            _skip(file, 4 * rows * columns, size)


def _skip_dictionary(file: BinaryIO, size: int) -> None:
    entries, _, _, _, pruned = _numbers(file, "<iiiqq")
    if not 0 < entries < _MOST_ENTRIES:
        raise _BrokenError(f"found a dictionary of {entries} words")
    start = file.tell()
    # An entry is a word, a zero byte, an int64 and an int8.
    block, at = file.read(min(size - start, 64 * entries + (1 << 20))), 0
    for _ in range(entries):
        end = block.find(b"\0", at)
        if end < 0:
            raise _BrokenError(f"found the end of the file in its dictionary (byte {start + at:,})")
        at = end + 1 + 9
    file.seek(start)
    _skip(file, at + 8 * max(pruned, 0), size)


def _skip_quantised(file: BinaryIO, size: int) -> None:
    (with_norms, rows, _, codes) = _numbers(file, "<?qqi")
    _skip(file, codes, size)
    _skip_quantiser(file, size)
    if with_norms:
        _skip(file, rows, size)
        _skip_quantiser(file, size)


def _skip_quantiser(file: BinaryIO, size: int) -> None:
    (dimension, _, _, _) = _numbers(file, "<iiii")
    _skip(file, 4 * dimension * _CENTROIDS, size)


def _numbers(file: BinaryIO, shape: str) -> tuple[int, ...]:
    start = file.tell()
    block = file.read(struct.calcsize(shape))
    if len(block) < struct.calcsize(shape):
        raise _BrokenError(f"found the end of the file at byte {start + len(block):,}, inside a header")
    return struct.unpack(shape, block)


def _skip(file: BinaryIO, count: int, size: int) -> None:
    start = file.tell()
    if count < 0 or start + count > size:
        raise _BrokenError(f"found {size:,} bytes where the parts need {start + count:,}")
    file.seek(count, 1)
