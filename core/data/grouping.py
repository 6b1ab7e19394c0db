"""Groups of documents with a key in common, in constant memory: keys in buckets on disk, and a union-find on disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_NO_MATCH = np.uint64(2**64 - 1)
_LEVEL_BITS = 6
_LEVELS = 8
_WORKING_COPIES = 6
"""How many times a bucket's records stand in memory while they are sorted and joined."""

Records = NDArray[np.uint64]
"""(records, width + 1): the words of a key, then the number of the document."""


class Grouping:
    """A union-find over documents that is fed with their keys."""

    def __init__(self, path: Path, total: int, buckets: Path, *, width: int, memory_bytes: int) -> None:
        """`path` becomes a file of int64, (total,), `buckets` is an empty folder for as long as `join` works."""
        self._width, self._total, self._buckets = width, total, buckets
        self._most = max(1024, memory_bytes // (8 * (width + 1) * _WORKING_COPIES))
        self._parents = _Parents(path, total, chunk=max(1024, memory_bytes // 32))

    def join(self, chunks: Iterable[NDArray[np.uint64]], columns: int) -> None:
        """Bring together all documents with an equal key; `chunks` are (documents, columns x width), in order."""
        number = 0
        for chunk in chunks:
            documents = np.arange(number, number + len(chunk), dtype=np.uint64)[:, None]
            number += len(chunk)
            for column in range(columns):
                words = chunk[:, column * self._width : (column + 1) * self._width]
                kept = words[:, 0] != _NO_MATCH
                records = np.hstack((words[kept], documents[kept]))
                if len(chunk) == self._total:  # all there is: it needs no buckets
                    self._collapse(records)
                else:
                    self._scatter(records, f"{column}", level=0)
        for column in range(columns):
            self._settle_all(f"{column}", level=0)

    def close(self) -> None:
        """Let every document point at the first of its group, and write the file out."""
        self._parents.close()

    def _scatter(self, records: Records, name: str, *, level: int) -> None:
        shift = np.uint64(64 - _LEVEL_BITS * (level + 1))
        bucket = (records[:, 0] >> shift & np.uint64(2**_LEVEL_BITS - 1)).astype(np.uint8)
        order = np.argsort(bucket, kind="stable")
        starts = np.searchsorted(bucket[order], np.arange(2**_LEVEL_BITS + 1))
        for index in np.flatnonzero(np.diff(starts)):
            with (self._buckets / f"{name}-{index:02d}").open("ab") as file:
                file.write(records[order[starts[index] : starts[index + 1]]].data)

    def _settle_all(self, name: str, *, level: int) -> None:
        for index in range(2**_LEVEL_BITS):
            path = self._buckets / f"{name}-{index:02d}"
            if path.exists():
                self._settle(path, level=level)

    def _settle(self, path: Path, *, level: int) -> None:
        """Join the documents of one bucket, and delete it.

        A bucket that is too large is split by further bits of its keys, after each key was left once a piece: so one
        key that all documents share does not stay in the way.
        """
        if path.stat().st_size // (8 * (self._width + 1)) <= self._most:
            for records in self._pieces(path):
                self._collapse(records)
            path.unlink()
            return
        deeper = level + 1
        rest = path.with_name(f"{path.name}-rest")
        for records in self._pieces(path):
            left = self._collapse(records)
            if deeper < _LEVELS:
                self._scatter(left, path.name, level=deeper)
            else:
                with rest.open("ab") as file:
                    file.write(left.data)
        path.unlink()
        if deeper < _LEVELS:
            self._settle_all(path.name, level=deeper)
        elif rest.exists():
            self._collapse(np.fromfile(rest, dtype=np.uint64).reshape(-1, self._width + 1))
            rest.unlink()

    def _pieces(self, path: Path) -> Iterator[Records]:
        count = self._most * (self._width + 1)
        with path.open("rb") as file:
            while (read := np.fromfile(file, dtype=np.uint64, count=count)).size:
                yield read.reshape(-1, self._width + 1)

    def _collapse(self, records: Records) -> Records:
        """Join the documents with equal keys, and return one record a key."""
        words = records[:, :-1]
        order = np.lexsort(words.T) if self._width > 1 else np.argsort(words[:, 0], kind="stable")
        records = records[order]
        new = np.ones(len(records), dtype=bool)
        new[1:] = (records[1:, :-1] != records[:-1, :-1]).any(axis=1)
        firsts = np.flatnonzero(new)
        representative = records[firsts, -1].astype(np.int64)[np.cumsum(new) - 1]
        again = ~new
        self._parents.unite(records[again, -1].astype(np.int64), representative[again])
        return records[firsts]


class _Parents:
    """A union-find in a mapped file: each document points at itself or at an earlier one of its group."""

    def __init__(self, path: Path, total: int, *, chunk: int) -> None:
        self._chunk, self._total = chunk, total
        with path.open("wb") as file:  # written, not mapped: a full disk is then an error, and not a SIGBUS
            for start in range(0, total, chunk):
                file.write(np.arange(start, min(start + chunk, total), dtype="<i8").data)
        if total:
            self._parents = np.memmap(path, dtype="<i8", mode="r+", shape=(total,))

    def unite(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        """Bring documents together pair by pair; all pairs at once.

        The later of two roots is hung below the earlier one; where several hang the same root, the earliest wins, and
        the others are tried again. Parents only ever point backwards, so there is no circle.
        """
        while len(one):
            one, other = self._roots(one), self._roots(other)
            apart = one != other
            one, other = one[apart], other[apart]
            np.minimum.at(self._parents, np.maximum(one, other), np.minimum(one, other))

    def close(self) -> None:
        """Point every document at its root."""
        if not self._total:
            return
        for start in range(0, self._total, self._chunk):
            stop = min(start + self._chunk, self._total)
            self._parents[start:stop] = self._roots(np.arange(start, stop))
        self._parents.flush()
        del self._parents

    def _roots(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        roots = np.asarray(self._parents[documents])
        while not np.array_equal(above := np.asarray(self._parents[roots]), roots):
            self._parents[documents] = roots = above
        self._parents[documents] = roots
        return roots
