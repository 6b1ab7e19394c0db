"""Documents kept on disk between two passes over them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.data.manifest import SPLITS, Split

_HEADER = struct.Struct("<BIIQ")


@dataclass(frozen=True)
class Item:
    """One document on its way: text, or a conversation as `Conversation.dumped` writes it."""

    split: Split
    source: int
    """Which source, from 0."""
    place: str
    payload: str


class Spool:
    """Items in one file, written once and read as often as wanted."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.documents: dict[Split, int] = dict.fromkeys(SPLITS, 0)
        self.train_bytes = 0
        """UTF-8 bytes of the payloads of the training split."""

    def fill(self, items: Iterable[Item]) -> None:
        """Write all items."""
        with self._path.open("wb") as file:
            for item in items:
                place, payload = item.place.encode("utf-8", "surrogateescape"), item.payload.encode()
                file.write(_HEADER.pack(SPLITS.index(item.split), item.source, len(place), len(payload)))
                file.write(place)
                file.write(payload)
                self.documents[item.split] += 1
                self.train_bytes += len(payload) if item.split == "train" else 0

    def read(self) -> Iterator[Item]:
        """Yield the items in the order in which they were written."""
        with self._path.open("rb") as file:
            while header := file.read(_HEADER.size):
                split, source, place, payload = _HEADER.unpack(header)
                where = file.read(place).decode("utf-8", "surrogateescape")
                yield Item(SPLITS[split], source, where, file.read(payload).decode())

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink()
