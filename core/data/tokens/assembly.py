"""The tokens of all units as the shards of two splits, mixed as the configuration says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config.preferences import PreferenceData
from core.config.sources import Source
from core.data.cleaning.plan import Plan
from core.data.manifest import SPLITS, DocumentRange, GroupRecord, Split, SplitRecord
from core.data.progress import Work
from core.data.sources.reading import describe
from core.data.tokens.encoding import UnitTokens, marks_of, read_tokens
from core.data.tokens.mixing import chosen, interleaved, targets
from core.data.tokens.shards import ShardWriter

Place = tuple[int, int]
"""A unit, and a document of it."""


class Assembly:
    """Writes the shards of one prepared folder from the tokens of its units.

    Raises: DataError where the sources do not give what the mix takes; PreparationStopped.
    """

    def __init__(self, plan: Plan, work_folder: Path, folder: Path, vocabulary_size: int, work: Work) -> None:
        self._plan = plan
        self._work_folder = work_folder
        self._folder = folder
        self._vocabulary_size = vocabulary_size
        self._work = work
        self.given: dict[Split, list[tuple[int, int]]] = {split: [] for split in SPLITS}
        """What each source gave to a split: documents, tokens."""

    def write(self) -> dict[Split, SplitRecord]:
        """Write both splits and return their records."""
        return {split: self._write(split) for split in SPLITS}

    def _write(self, split: Split) -> SplitRecord:
        marks = marks_of(self._plan.data)
        are_pairs = isinstance(self._plan.data, PreferenceData)
        writer = ShardWriter(
            self._folder, split, vocabulary_size=self._vocabulary_size, marks=marks, are_pairs=are_pairs
        )
        documents = [0] * len(self._plan.data.sources)
        tokens = [0] * len(self._plan.data.sources)
        read = lru_cache(maxsize=64)(lambda unit: self._read(unit, split))
        try:
            for done, (unit, number) in enumerate(self._order(split), start=1):
                found = read(unit)
                assert found is not None
                ids, supervised, classes = found.document(number)
                writer.add(ids, supervised, classes)
                source = self._plan.units[unit].source
                documents[source] += 1
                tokens[source] += len(ids)
                self._work.pulse("writing", done, None, "documents")
            record = writer.close()
        finally:
            writer.abandon()
        self.given[split] = list(zip(documents, tokens, strict=True))
        if split == "train":
            return record
        return record.model_copy(update={"groups": group_records(self._plan.data.sources, documents)})

    def _read(self, unit: int, split: Split) -> UnitTokens | None:
        return read_tokens(self._work_folder, unit, split, self._vocabulary_size)

    def _order(self, split: Split) -> Iterator[Place]:
        if split == "held_out" or self._plan.data.mix.by == "once":
            for unit in range(len(self._plan.units)):
                found = self._read(unit, split)
                for number in range(len(found.offsets) - 1 if found is not None else 0):
                    yield unit, number
            return
        yield from self._mixed(split)

    def _mixed(self, split: Split) -> Iterator[Place]:
        data = self._plan.data
        places = [self._places(source, split) for source in range(len(data.sources))]
        lengths = [found[:, 2] for found in places]
        wanted = targets(
            data.mix,
            [source.share for source in data.sources],
            [int(found.sum()) for found in lengths],
            [describe(source, number) for number, source in enumerate(data.sources)],
        )
        choices = [
            chosen(found, tokens, self._plan.seed + number)
            for number, (found, tokens) in enumerate(zip(lengths, wanted, strict=True))
        ]
        for source, document in interleaved(choices, lengths):
            unit, number, _ = places[source][document]
            yield int(unit), int(number)

    def _places(self, source: int, split: Split) -> NDArray[np.int64]:
        """Return unit, number and length in tokens of every document of a source. Shape: (documents, 3)."""
        parts = [np.zeros((0, 3), dtype=np.int64)]
        for unit, planned in enumerate(self._plan.units):
            found = self._read(unit, split) if planned.source == source else None
            if found is not None:
                lengths = np.diff(found.offsets.astype(np.int64))
                numbers = np.arange(len(lengths), dtype=np.int64)
                parts.append(np.stack([np.full_like(numbers, unit), numbers, lengths], axis=1))
        return np.concatenate(parts)


def group_records(sources: Sequence[Source], documents: Sequence[int]) -> list[GroupRecord]:
    """Return which documents of a split belong to which group, where the split has them source by source.

    `documents` says how many each source gave. What sources without a group gave is in no record.
    """
    groups: dict[str, list[DocumentRange]] = {}
    first = 0
    for source, count in zip(sources, documents, strict=True):
        if source.group is not None:
            ranges = groups.setdefault(source.group, [])
            if ranges and ranges[-1].first + ranges[-1].documents == first:
                ranges[-1] = DocumentRange(first=ranges[-1].first, documents=ranges[-1].documents + count)
            elif count:
                ranges.append(DocumentRange(first=first, documents=count))
        first += count
    return [GroupRecord(name=name, ranges=ranges) for name, ranges in groups.items()]
