"""The documents of all sources of a preparation, each in its split, with what was left out counted."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import cast

from core.config.data import InstructionData, TextData
from core.data.fingerprints import source_file_records
from core.data.formats import Format, conversation, detect
from core.data.manifest import SourceFileRecord, SourceRecord, Split
from core.data.progress import Work
from core.data.sources import describe, documents, rows, source_files
from core.data.spool import Item
from core.data.tally import RowError, Tally, check_shares
from core.errors import DataError

_ROWS_TO_DETECT = 100


def is_held_out(text: str, *, seed: int, fraction: float) -> bool:
    """Whether a document belongs to the held-out split: its hash decides, so that equal texts stay together."""
    digest = hashlib.blake2b(text.encode(), digest_size=8, salt=seed.to_bytes(16, "little")).digest()
    return int.from_bytes(digest, "little") < fraction * 2**64


class Corpus:
    """The sources of one preparation.

    Raises: PreparationStopped where `work` is to stop while the files are read for their fingerprints.
    """

    def __init__(self, data: TextData | InstructionData, seed: int, work: Work) -> None:
        self._data = data
        self._seed = seed
        self._tallies = [
            Tally(describe(source, number), data.max_bad_rows) for number, source in enumerate(data.sources)
        ]
        self._formats = [""] * len(data.sources)
        self._states = self._file_states()
        self._files = [source_file_records(source, work) for source in data.sources]

    def items(self, work: Work) -> Iterator[Item]:
        """Yield every document with its split.

        Raises: DataError where a source gives nothing, too many rows are bad, or a file changed meanwhile.
        """
        done = 0
        for number, tally in enumerate(self._tallies):
            for place, payload in self._payloads(number, tally):
                held_out = is_held_out(payload, seed=self._seed, fraction=self._data.held_out_fraction)
                yield Item("held_out" if held_out else "train", number, place, payload)
                done += 1
                work.pulse("reading", done, None, "documents")
        self.check()
        if self._states != self._file_states():
            raise DataError("the sources changed while they were read", hint="Start again when they are at rest.")
        note = ", ".join(f"{count} {reason}" for reason, count in self.dropped().items())
        work.stage_ends("reading", done, "documents", note)

    def _payloads(self, number: int, tally: Tally) -> Iterator[tuple[str, str]]:
        source = self._data.sources[number]
        if isinstance(self._data, TextData):
            for document in documents(source, tally):
                yield document.place, document.text
            return
        stream = rows(source, tally)
        first = list(islice(stream, _ROWS_TO_DETECT))
        if not first:
            tally.check()
        shape = detect(first, tally.source) if self._data.format == "auto" else self._data.format
        self._formats[number] = shape
        for row in chain(first, stream):
            try:
                payload = conversation(row, cast(Format, shape), tally).dumped()
            except RowError as error:
                tally.refuse(row.place, error)
                continue
            tally.documents += 1
            tally.text_bytes += len(payload.encode())
            yield row.place, payload

    def drop(self, item: Item, error: RowError) -> None:
        """Count a document that was given out as one that cannot be used."""
        tally = self._tallies[item.source]
        tally.documents -= 1
        tally.refuse(item.place, error)

    def check(self) -> None:
        """Raise DataError where too many rows were bad, or a source gave nothing."""
        check_shares(self._tallies, self._data.max_bad_rows)

    def dropped(self) -> dict[str, int]:
        """Return how many rows did not become documents, by reason."""
        total: Counter[str] = Counter()
        for tally in self._tallies:
            total.update(tally.bad)
            total["empty"] += tally.empty
        return {reason: count for reason, count in sorted(total.items()) if count}

    def source_records(self) -> list[SourceRecord]:
        """Return what each source gave."""
        return [self._source_record(number, files) for number, files in enumerate(self._files)]

    def _file_states(self) -> list[tuple[str, int, int]]:
        paths = [path for source in self._data.sources for path in source_files(source)]
        return [(str(path), (status := path.stat()).st_size, status.st_mtime_ns) for path in paths]

    def _source_record(self, number: int, files: list[SourceFileRecord]) -> SourceRecord:
        tally = self._tallies[number]
        return SourceRecord(
            source=tally.source,
            format=self._formats[number],
            rows=tally.rows,
            documents=tally.documents,
            text_bytes=tally.text_bytes,
            empty=tally.empty,
            bad=dict(sorted(tally.bad.items())),
            repaired=dict(sorted(tally.repaired.items())),
            errors=tally.errors,
            files=files,
        )


def check_splits(documents: dict[Split, int], fraction: float) -> None:
    """Raise DataError where a split that is to have documents has none."""
    for split, count in documents.items():
        if not count and (split == "train" or fraction > 0):
            word = "to train on" if split == "train" else "held out for evaluation"
            raise DataError(
                f"expected documents {word}, found none among {sum(documents.values())} "
                f"(data.held_out_fraction: {fraction:g})",
                hint="Give more documents, cut them smaller (document: line or paragraph), or set another "
                "held_out_fraction; 0 holds nothing out.",
            )
