"""Token shards: documents as token ids in memory-mapped files.

Per shard `NAME.tokens` (little-endian uint16, or uint32 where the vocabulary needs it), `NAME.documents` (uint64, one
offset more than there are documents), for rows `NAME.supervised` (uint8 a token: bit 0 where the loss counts it, bit 1
on the worse side, see core.data.tokens.sides), and where data.syntax is set `NAME.syntax` (uint8 a token: its class of
source code, see core.data.tokens.syntax).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from core.data.manifest import (
    SPLITS,
    TOKENIZER,
    FileRecord,
    Manifest,
    ShardRecord,
    Split,
    SplitRecord,
    file_record,
    read_manifest,
)
from core.data.progress import PreparationStopped
from core.data.tokens.sides import has_one_side
from core.data.tokens.syntax import CLASSES
from core.errors import DataError

SHARD_TOKENS = 2**28

Mark = Literal["supervised", "syntax"]
"""What stands beside the tokens, a byte for each; the ending of its file."""
Tokens = NDArray[np.uint16] | NDArray[np.uint32]


def token_type(vocabulary_size: int) -> np.dtype[Any]:
    """Return the number type that a vocabulary of this size is stored in."""
    return np.dtype("<u2" if vocabulary_size <= 2**16 else "<u4")


class ShardWriter:
    """Writes the documents of one split, a new shard whenever the last one is full; each document has all `marks`.

    `are_pairs`: documents are pairs of answers, and those of one side are counted.
    """

    def __init__(self, folder: Path, split: Split, *, vocabulary_size: int, marks: Collection[Mark] = (),
                 are_pairs: bool = False, shard_tokens: int = SHARD_TOKENS) -> None:  # fmt: skip
        self._folder = folder
        self._split = split
        self._vocabulary_size = vocabulary_size
        self._type = token_type(vocabulary_size)
        self._marks = frozenset(marks)
        self._are_pairs = are_pairs
        self._shard_tokens = shard_tokens
        self._shards: list[ShardRecord] = []
        self._files: dict[str, _HashedFile] = {}
        self._offsets = [0]
        self._supervised_tokens = 0
        self._judged = 0
        self._classes = np.zeros(len(CLASSES), dtype=np.int64)

    def add(
        self,
        ids: NDArray[np.int64],
        supervised: NDArray[np.bool_] | NDArray[np.uint8] | None = None,
        classes: NDArray[np.uint8] | None = None,
    ) -> None:
        """Append one document; a document lies in one shard. Marks of `supervised` are as in the file.

        Shapes: (tokens,) each, of the same length, at least one.
        """
        assert len(ids)
        given = {"supervised": supervised, "syntax": classes}
        marks = {name: values.astype(np.uint8) for name, values in given.items() if values is not None}
        assert marks.keys() == self._marks
        assert all(len(values) == len(ids) for values in marks.values())
        if int(ids.max()) >= self._vocabulary_size or int(ids.min()) < 0:
            raise DataError(f"expected token ids below {self._vocabulary_size}, found {ids.max()}")
        if len(self._offsets) > 1 and self._offsets[-1] + len(ids) > self._shard_tokens:
            self._close_shard()
        self._file("tokens").write(ids.astype(self._type).tobytes())
        for name, values in marks.items():
            self._file(name).write(values.tobytes())
        if classes is not None:
            self._classes += np.bincount(classes, minlength=len(CLASSES))
        self._supervised_tokens += len(ids) - 1 if supervised is None else int((supervised & 1).sum())
        self._judged += supervised is not None and has_one_side(supervised)
        self._offsets.append(self._offsets[-1] + len(ids))

    def close(self) -> SplitRecord:
        """Write what is left, to the disk, and return the record of the split."""
        if len(self._offsets) > 1:
            self._close_shard()
        return SplitRecord(
            documents=sum(shard.documents for shard in self._shards),
            tokens=sum(shard.tokens for shard in self._shards),
            supervised_tokens=self._supervised_tokens,
            shards=self._shards,
            judged=self._judged if self._are_pairs else 0,
            classes={name: int(count) for name, count in zip(CLASSES, self._classes, strict=True) if count},
        )

    def abandon(self) -> None:
        """Close the open files."""
        for file in self._files.values():
            with contextlib.suppress(OSError):  # what is not written yet may not fit the disk
                file.stream.close()

    @property
    def _name(self) -> str:
        return f"{self._split}-{len(self._shards):05d}"

    def _file(self, ending: str) -> _HashedFile:
        if ending not in self._files:
            name = f"{self._name}.{ending}"
            self._files[ending] = _HashedFile(name, (self._folder / name).open("wb"))
        return self._files[ending]

    def _close_shard(self) -> None:
        self._file("documents").write(np.array(self._offsets, dtype="<u8").tobytes())
        name = self._name
        records = [file.close() for _, file in sorted(self._files.items())]
        documents, tokens = len(self._offsets) - 1, self._offsets[-1]
        self._shards.append(ShardRecord(name=name, documents=documents, tokens=tokens, files=records))
        self._files = {}
        self._offsets = [0]


class _HashedFile:
    def __init__(self, name: str, stream: BinaryIO) -> None:
        self.name = name
        self.stream = stream
        self._digest = hashlib.sha256()
        self._bytes = 0

    def write(self, data: bytes) -> None:
        self.stream.write(data)
        self._digest.update(data)
        self._bytes += len(data)

    def close(self) -> FileRecord:
        self.stream.flush()
        os.fsync(self.stream.fileno())
        self.stream.close()
        return FileRecord(name=self.name, bytes=self._bytes, sha256=self._digest.hexdigest())


@dataclass(frozen=True)
class _Shard:
    """Shapes: offsets (documents + 1,), tokens, supervised and classes (tokens,); None for marks that are not there."""

    offsets: NDArray[np.uint64]
    tokens: NDArray[Any]
    supervised: NDArray[np.uint8] | None
    classes: NDArray[np.uint8] | None


class TokenShards:
    """The documents of one split of a prepared folder, read where they are needed.

    Raises: DataError where the folder holds no prepared data, or a file is missing or of another size than the
    manifest says. (`verify` also compares hashes.)
    """

    def __init__(self, folder: Path, split: Split) -> None:
        self.manifest: Manifest = read_manifest(folder)
        record = self.manifest.splits[split]
        self.folder = folder
        self.split = split
        self.documents: int = record.documents
        self.tokens: int = record.tokens
        self.supervised_tokens: int = record.supervised_tokens
        self.vocabulary_size: int = self.manifest.vocabulary_size
        self._shards = [self._opened(shard) for shard in record.shards]
        self._first_tokens = np.cumsum([0, *(shard.tokens for shard in record.shards)], dtype=np.int64)
        self._first_documents = np.cumsum([0, *(shard.documents for shard in record.shards)], dtype=np.int64)

    @cached_property
    def document_starts(self) -> NDArray[np.int64]:
        """Where each document begins in the stream of all tokens, and where the last one ends: (documents + 1,)."""
        parts = [
            shard.offsets[:-1].astype(np.int64) + first
            for shard, first in zip(self._shards, self._first_tokens[:-1], strict=True)
        ]
        return np.concatenate([*parts, np.array([self.tokens], dtype=np.int64)])

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each document: (documents,)."""
        return np.diff(self.document_starts)

    def document(self, number: int) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        """Return the token ids of a document, and for instructions which of them the loss counts.

        Shapes: both (tokens,). They are views of the files.
        """
        if not 0 <= number < self.documents:
            raise IndexError(f"document {number} of {self.documents}")
        index = int(np.searchsorted(self._first_documents, number, side="right")) - 1
        shard = self._shards[index]
        local = number - int(self._first_documents[index])
        start, stop = int(shard.offsets[local]), int(shard.offsets[local + 1])
        supervised = None if shard.supervised is None else shard.supervised[start:stop]
        return shard.tokens[start:stop], supervised

    def stream(self, start: int, stop: int) -> NDArray[Any]:
        """Return the tokens from `start` to before `stop` of all documents laid end to end: (stop - start,)."""
        return self._stretch([shard.tokens for shard in self._shards], start, stop, token_type(self.vocabulary_size))

    def classes(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Return the classes of source code of the same tokens; the data must have been prepared with data.syntax."""
        assert self.manifest.syntax is not None
        parts = [shard.classes for shard in self._shards if shard.classes is not None]
        return self._stretch(parts, start, stop, np.dtype(np.uint8))

    def _stretch(self, values: Sequence[NDArray[Any]], start: int, stop: int, kind: np.dtype[Any]) -> NDArray[Any]:
        if not 0 <= start <= stop <= self.tokens:
            raise IndexError(f"tokens {start} to {stop} of {self.tokens}")
        parts = []
        for one, first in zip(values, self._first_tokens[:-1], strict=True):
            low, high = max(start - int(first), 0), min(stop - int(first), len(one))
            if low < high:
                parts.append(one[low:high])
        if len(parts) == 1:
            return parts[0]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)

    def _opened(self, record: ShardRecord) -> _Shard:
        for file in record.files:
            _check_size(self.folder / file.name, file)
        path = self.folder / record.name
        supervised = classes = None
        if self.manifest.kind != "text":
            supervised = _mapped(path.with_suffix(".supervised"), np.dtype(np.uint8))
        if self.manifest.syntax is not None:
            classes = _mapped(path.with_suffix(".syntax"), np.dtype(np.uint8))
        return _Shard(
            offsets=_mapped(path.with_suffix(".documents"), np.dtype("<u8")),
            tokens=_mapped(path.with_suffix(".tokens"), np.dtype(token_type(self.vocabulary_size))),
            supervised=supervised,
            classes=classes,
        )


def _mapped(path: Path, kind: np.dtype[Any]) -> NDArray[Any]:
    # As a plain array: slicing np.memmap costs three times as much.
    return np.asarray(np.memmap(path, dtype=kind, mode="r"))


def verify(folder: Path, *, should_stop: Callable[[], bool] | None = None) -> Manifest:
    """Compare every file of a prepared folder with its manifest, by hash, and return the manifest.

    Raises: DataError that names the first file that is missing or differs; PreparationStopped once `should_stop`,
    which is asked before each file, is true.
    """
    manifest = read_manifest(folder)
    files = [(folder / TOKENIZER / record.name, record) for record in manifest.tokenizer]
    for split in SPLITS:
        for shard in manifest.splits[split].shards:
            files += [(folder / record.name, record) for record in shard.files]
    for path, record in files:
        if should_stop is not None and should_stop():
            raise PreparationStopped
        _check_size(path, record)
        if file_record(path, record.name).sha256 != record.sha256:
            raise _differs(path, "another content")
    return manifest


def _check_size(path: Path, record: FileRecord) -> None:
    if not path.is_file():
        raise _differs(path, "no file")
    if (size := path.stat().st_size) != record.bytes:
        raise _differs(path, f"{size} bytes instead of {record.bytes}")


def _differs(path: Path, found: str) -> DataError:
    return DataError(
        f"{path}: expected the file that the manifest describes, found {found}",
        hint="Delete the folder of prepared data and prepare it anew.",
    )
