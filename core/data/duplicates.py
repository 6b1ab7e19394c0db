"""Which documents say the same: keys of a text, and the grouping of any number of keys on disk.

A document gets one or more keys; two documents belong together where one of their keys is equal, and groups are what
hangs together so. Keys are written a unit at a time by whoever reads the documents, the grouping comes afterwards.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config.filters import NearDuplicatesFilter
from core.data.grouping import Grouping
from core.errors import DataError

NO_MATCH = 2**64 - 1
"""A key whose first word is this equals no other, not even itself: that of a text in which nothing stands."""
EXACT_WIDTH = 2
"""Words of 64 bits in an exact key: 128 bits, so that a billion documents give no false match."""
KEYS_VERSION = 1
"""Changes whenever the same text gets other keys; part of what a cache is keyed by."""

_SEED = 0x466F6F74
_FOLDED = bytes(ord(chr(byte).lower()) if byte < 128 and chr(byte).isalnum() else 32 for byte in range(256))
# Scripts that put no space between words: each of their letters counts as a word.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff"  # Thai, Lao; Myanmar; Khmer; kana
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
# What makes most English pages more than ASCII, none of it a letter.
_MARKS = "\u2019\u2018\u201c\u201d\u2013\u2014\u2026\u00a0\u2022\u00ae\u2122\u00a9"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")


def exact_key(text: str, *, normalise: bool) -> NDArray[np.uint64]:
    """Return the key of a text, (2,): equal for equal texts only (BLAKE2b, 128 bits).

    `normalise` compares without regard to case (Unicode's full folding) and to how much space stands between words.
    A text of nothing but space has the key that matches no other.
    """
    if not text.strip():
        return np.full(EXACT_WIDTH, NO_MATCH, dtype=np.uint64)
    compared = " ".join(text.casefold().split()) if normalise else text
    digest = hashlib.blake2b(compared.encode("utf-8", "surrogatepass"), digest_size=8 * EXACT_WIDTH).digest()
    key = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    return _without_sentinel(key)


def near_keys(text: str, config: NearDuplicatesFilter) -> NDArray[np.uint64]:
    """Return one key a band, (bands,).

    Two texts whose shingles have Jaccard similarity s share a key with probability 1 - (1 - s^rows)^bands (Leskovec,
    Rajaraman, Ullman: Mining of Massive Datasets, section 3.4.2).
    A shingle is `ngram` words in a row, without case and punctuation; a shorter text is one shingle. MinHash is
    rensa's R-MinHash of bands x rows hashes of 32 bits, with a fixed seed; a band's hashes become its key by BLAKE2b.
    A text without a word has keys that match no other.
    """
    words = _words(text)
    if not words:
        return np.full(config.bands, NO_MATCH, dtype=np.uint64)
    from rensa import RMinHash

    sketch = RMinHash(config.bands * config.rows, _SEED)
    sketch.update(_shingles(words, config.ngram))
    hashes = np.array(sketch.digest(), dtype="<u4").tobytes()
    width = 4 * config.rows
    bands = (hashes[start : start + width] for start in range(0, len(hashes), width))
    digests = b"".join(hashlib.blake2b(band, digest_size=8).digest() for band in bands)
    return _without_sentinel(np.frombuffer(digests, dtype="<u8").astype(np.uint64))


def _words(text: str) -> list[bytes]:
    if not text.isascii():
        for mark in _MARKS:
            text = text.replace(mark, " ")
    if text.isascii():  # the same words as below, five times as fast
        return text.encode().translate(_FOLDED).split()
    return [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text.lower())]


def _shingles(words: list[bytes], ngram: int) -> list[bytes]:
    if len(words) <= ngram:
        return [b" ".join(words)]
    return list(map(b" ".join, zip(*(words[first:] for first in range(ngram)), strict=False)))


def _without_sentinel(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    keys[keys == NO_MATCH] = NO_MATCH - 1
    return keys


def first_of_group(
    keys: Sequence[Path], *, columns: int, total: int, folder: Path, width: int = 1, memory_bytes: int = 2**28
) -> Path:
    """Return a file of little-endian int64, (total,): for each document the first of its group, itself where it is it.

    `keys` are files of little-endian uint64, (documents of that file, columns x width), and documents are numbered
    through all of them. A key is `width` words; two documents belong together where all words of one of their columns
    are equal (exact keys: one column of two words; near-duplicates: `bands` columns of one word). Takes about
    `memory_bytes` of memory besides the file that it returns, which is mapped; on disk, up to 8 (width + 1) bytes a
    document and column for as long as it works. The result depends on nothing but the keys. A call that was killed
    may be made again: the file appears when it is whole.
    Raises: DataError where the files do not hold `total` documents.
    """
    stride = columns * width
    found = sum(path.stat().st_size for path in keys)
    if found != 8 * stride * total:
        raise DataError(
            f"the keys of {total} documents are {8 * stride * total} bytes, {len(keys)} files hold {found}",
            hint=f"Delete {folder.parent} and prepare again.",
        )
    folder.mkdir(parents=True, exist_ok=True)
    result, half, buckets = folder / "first.i64", folder / "first.i64.part", folder / "buckets"
    shutil.rmtree(buckets, ignore_errors=True)
    buckets.mkdir()
    grouping = Grouping(half, total, buckets, width=width, memory_bytes=memory_bytes)
    rows = max(64, memory_bytes // (8 * stride + 32 * (width + 1)))
    grouping.join(_chunks(keys, stride, rows=rows, total=total), columns)
    grouping.close()
    shutil.rmtree(buckets)
    half.replace(result)
    return result


def _chunks(keys: Sequence[Path], stride: int, *, rows: int, total: int) -> Iterator[NDArray[np.uint64]]:
    """Yield the rows of all files in order, `rows` at a time whatever file they are in; the last chunk has the rest.

    A chunk is overwritten by the next one.
    """
    chunk = np.empty((min(rows, total), stride), dtype="<u8")
    filled, left = 0, total
    for path in keys:
        with path.open("rb") as file:
            while left and (read := file.readinto(chunk.data.cast("B")[filled:])):
                filled += read
                if filled == chunk.nbytes:
                    yield chunk
                    left -= len(chunk)
                    chunk, filled = chunk[:left], 0
