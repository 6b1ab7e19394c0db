"""What one pass over one unit leaves on disk.

In the folder of a pass, for the unit 12: `00012.items` (one item after another), `00012.index` (uint64: where each
begins, and the end), `00012.keys` (uint64, where the pass gathers keys for duplicates), `00012.dropped` (JSON Lines:
some of the dropped ones) and, last, `00012.json`, with which the unit is done.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from core.data.cleaning.report import FilterCounts
from core.data.construction import synchronise_entry, write_whole, writer_name
from core.data.filters.verdict import Dropped
from core.data.manifest import SPLITS, Split
from core.data.tally import Tally

_HEADER = struct.Struct("<BIIQ")
_MOST_TEXT_OF_A_SAMPLE = 20_000


@dataclass(frozen=True)
class Item:
    """One document on its way: text, or a row as its `dumped` writes it."""

    split: Split
    source: int
    """Which source, from 0."""
    place: str
    payload: str


class UnitRecord(BaseModel):
    """The content of `00012.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    items: int
    train_bytes: int
    """UTF-8 bytes of the payloads of the training split."""
    tally: dict[str, object] | None
    """What was read, in the pass that reads sources."""
    filters: dict[str, FilterCounts]
    """By the number of the filter in the configuration."""


class UnitFiles:
    """The files of one unit in the folder of a pass."""

    def __init__(self, folder: Path, unit: int) -> None:
        self._folder = folder
        self._name = f"{unit:05d}"

    def path(self, ending: str) -> Path:
        """Return the path of a file: items, index, keys, dropped, json."""
        return self._folder / f"{self._name}.{ending}"

    @property
    def is_done(self) -> bool:
        """Whether the pass over this unit is complete."""
        return self.path("json").is_file()

    def record(self) -> UnitRecord:
        """Return the record of a unit that is done."""
        return UnitRecord.model_validate_json(self.path("json").read_bytes())

    def items(self) -> Iterator[Item]:
        """Yield the items in the order in which they were written."""
        with self.path("items").open("rb") as file:
            while header := file.read(_HEADER.size):
                split, source, place, payload = _HEADER.unpack(header)
                where = file.read(place).decode("utf-8", "surrogateescape")
                yield Item(SPLITS[split], source, where, file.read(payload).decode())

    def item(self, number: int) -> Item:
        """Return the `number`th item."""
        index = np.memmap(self.path("index"), dtype="<u8", mode="r")
        with self.path("items").open("rb") as file:
            file.seek(int(index[number]))
            split, source, place, payload = _HEADER.unpack(file.read(_HEADER.size))
            where = file.read(place).decode("utf-8", "surrogateescape")
            return Item(SPLITS[split], source, where, file.read(payload).decode())


_ENDINGS = frozenset({".items", ".index", ".keys", ".dropped", ".json", ".scores", ".scoring"})


def remove_leftovers(folder: Path) -> None:
    """Remove the files of a pass that killed processes were writing; nobody may be at work on it."""
    for path in folder.iterdir():
        if (path.is_file() and path.name[:1].isdigit() and path.suffix not in _ENDINGS) or path.name.startswith("."):
            path.unlink(missing_ok=True)


def _shown(name: str) -> str:
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def forget_items(folder: Path) -> None:
    """Give the space back of a pass whose items the next pass has read; what is counted and dropped stays."""
    for path in folder.iterdir():
        if path.suffix in (".items", ".index", ".keys", ".scores"):
            path.unlink(missing_ok=True)


class UnitWriter:
    """Writes the files of one unit under other names; `close` gives them their own."""

    def __init__(self, files: UnitFiles, *, columns: int, samples: int) -> None:
        self._files = files
        self._columns = columns
        self._samples = samples
        self._sampled: Counter[str] = Counter()
        endings = ("items", "index", "dropped", *(("keys",) if columns else ()))
        self._paths = {ending: files.path(f"{ending}.{writer_name()}") for ending in endings}
        self._streams = {ending: path.open("wb") for ending, path in self._paths.items()}
        self._at = 0
        self.items = 0
        self.train_bytes = 0

    def add(self, item: Item, keys: NDArray[np.uint64] | None = None) -> None:
        """Append an item, with its keys (columns,) where the pass gathers them."""
        place, payload = item.place.encode("utf-8", "surrogateescape"), item.payload.encode()
        self._streams["index"].write(struct.pack("<Q", self._at))
        header = _HEADER.pack(SPLITS.index(item.split), item.source, len(place), len(payload))
        self._at += self._streams["items"].write(header + place + payload)
        if keys is not None:
            assert keys.shape == (self._columns,)
            self._streams["keys"].write(keys.astype("<u8").tobytes())
        self.items += 1
        self.train_bytes += len(payload) if item.split == "train" else 0

    def drop(self, number: int, item: Item, verdict: Dropped) -> None:
        """Keep a dropped item to look at, as long as there are not enough of its rule."""
        if self._sampled[verdict.rule] >= self._samples:
            return
        self._sampled[verdict.rule] += 1
        values = {
            "filter": number,
            "rule": verdict.rule,
            "value": _shown(verdict.value),
            "source": item.source,
            "place": _shown(item.place),
            "characters": len(item.payload),
            "text": item.payload[:_MOST_TEXT_OF_A_SAMPLE],
        }
        self._streams["dropped"].write(json.dumps(values).encode() + b"\n")

    def close(self, tally: Tally | None, filters: dict[str, FilterCounts]) -> None:
        """Bring everything to the disk and say that the unit is done."""
        self._streams["index"].write(struct.pack("<Q", self._at))
        for ending, stream in self._streams.items():
            stream.flush()
            os.fsync(stream.fileno())
            stream.close()
            self._paths[ending].rename(self._files.path(ending))
        record = UnitRecord(
            items=self.items,
            train_bytes=self.train_bytes,
            tally=None if tally is None else tally.as_json(),
            filters=filters,
        )
        path = self._files.path("json")
        write_whole(path, record.model_dump_json().encode())
        synchronise_entry(path.parent)

    def abandon(self) -> None:
        """Close and remove what was begun."""
        for ending, stream in self._streams.items():
            with contextlib.suppress(OSError):  # what is not written yet may not fit the disk either
                stream.close()
            self._paths[ending].unlink(missing_ok=True)
