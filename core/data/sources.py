"""Documents and rows of every kind of source, with a place for messages and the bad ones counted.

`documents` yields text for next-token prediction, `rows` yields objects for fine-tuning. Both read one source as a
stream; nothing is held but the row at hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, assert_never

from core.config.sources import (
    CodeSource,
    FilesSource,
    HubSource,
    JSONSource,
    ParquetSource,
    PathSource,
    Source,
    StandardLibrarySource,
)
from core.data.read_files import existing, files_below, files_of, library_files, read_documents
from core.data.read_json import read_objects
from core.data.read_tables import read_hub, read_parquet
from core.data.rows import Row
from core.data.tally import RowError, Tally, show
from core.errors import DataError, UsageError

_JSON_NAMES = ["*.jsonl", "*.json", "*.jsonl.gz", "*.json.gz"]


@dataclass(frozen=True)
class Document:
    """One text and the place it came from: a file, `file:line`, `file:row n`."""

    text: str
    place: str


@dataclass(frozen=True)
class Unit:
    """A part of a source that is read on its own, so that several processes can share a source.

    `file` is "" for a dataset on the hub. From `start` up to `stop` (None: the end): bytes of a file of lines, of which
    those lines belong to the unit that begin there; row groups of a Parquet file.
    """

    source: int
    file: str
    start: int = 0
    stop: int | None = None


def units_of(source: Source, number: int, *, split_bytes: int | None = None) -> list[Unit]:
    """Return the units of the `number`th source, in the order of its records.

    With `split_bytes`, files in which a record can be found from the middle are cut into parts of about so many bytes.
    """
    return [Unit(number, str(path)) for path in source_files(source)] or [Unit(number, "")]


def documents(source: Source, tally: Tally, unit: Unit | None = None) -> Iterator[Document]:
    """Yield the documents of a source, or of one unit of it, that hold more than space; count the rest in `tally`.

    Raises: UsageError where the source is not there; DataError where it is of another shape.
    """
    for place, text in _texts(source, tally, unit):
        if not text.strip():
            tally.empty += 1
            tally.rows -= 1
            continue
        try:
            size = _encoded_bytes(text)
        except RowError as error:
            tally.refuse(place, error)
            continue
        tally.documents += 1
        tally.text_bytes += size
        yield Document(text, place)


def rows(source: Source, tally: Tally, unit: Unit | None = None) -> Iterator[Row]:
    """Yield the rows of a source, or of one unit of it; count what is no object in `tally`.

    Raises: UsageError where the source is not there or has no rows; DataError where it is of another shape.
    """
    for place, values in _objects(source, None, tally, unit):
        yield Row(values, place)


def source_files(source: Source) -> list[Path]:
    """Return the files that a source reads, in order; [] for one on the hub.

    Raises: UsageError where the path does not exist; DataError where no file of a folder matches.
    """
    match source:
        case StandardLibrarySource():
            return library_files(source)
        case FilesSource():
            return _some(files_of(source), source.path, source.include)
        case JSONSource():
            return _matching(source.path, _JSON_NAMES)
        case ParquetSource():
            return _matching(source.path, ["*.parquet"])
        case PathSource() | CodeSource():
            raise NotImplementedError
        case HubSource():
            local = Path(source.name).expanduser()
            return files_below(local, ["*"], []) if local.is_dir() else []
        case _:
            assert_never(source)


def describe(source: Source, number: int) -> str:
    """Return how messages name the `number`th source, from 0."""
    match source:
        case StandardLibrarySource():
            what = ""
        case HubSource():
            what = f", {source.name}"
        case FilesSource() | JSONSource() | ParquetSource() | PathSource() | CodeSource():
            what = f", {source.path}"
        case _:
            assert_never(source)
    return f"data.sources[{number}] ({source.kind}{what})"


def _files(source: Source, unit: Unit | None) -> list[Path]:
    return source_files(source) if unit is None else [Path(unit.file)]


def _texts(source: Source, tally: Tally, unit: Unit | None) -> Iterator[tuple[str, str]]:
    match source:
        case StandardLibrarySource():
            for path in _files(source, unit):
                yield from read_documents(path, "file", tally)
        case FilesSource():
            for path in _files(source, unit):
                yield from read_documents(path, source.document, tally)
        case CodeSource():
            raise NotImplementedError
        case JSONSource() | ParquetSource() | HubSource() | PathSource():
            for place, values in _objects(source, source.columns.text or "text", tally, unit):
                try:
                    yield place, _text_of(values, source.columns.text or "text")
                except RowError as error:
                    tally.refuse(place, error)
        case _:
            assert_never(source)


def _objects(
    source: Source, column: str | None, tally: Tally, unit: Unit | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    match source:
        case JSONSource():
            for path in _files(source, unit):
                yield from read_objects(path, tally)
        case ParquetSource():
            for path in _files(source, unit):
                for found in read_parquet(path, column):
                    tally.rows += 1
                    yield found
        case HubSource():
            for found in read_hub(source):
                tally.rows += 1
                yield found
        case PathSource() | CodeSource():
            raise NotImplementedError
        case StandardLibrarySource() | FilesSource():
            raise UsageError(
                f"{tally.source}: expected rows with instructions or messages, found a source of plain text",
                hint="Take a source of kind json, parquet or hub for instructions.",
            )
        case _:
            assert_never(source)


def _text_of(values: dict[str, Any], field: str) -> str:
    if field not in values:
        raise RowError("no_text", f"expected the field {field!r}, found {', '.join(map(repr, values)) or 'no fields'}")
    text = values[field]
    if not isinstance(text, str):
        raise RowError("no_text", f"expected text in the field {field!r}, found {show(text)}")
    return text


def _encoded_bytes(text: str) -> int:
    check_text(text)
    return len(text.encode())


def check_text(text: str) -> None:
    """Raise RowError where text holds what no tokenizer can take: a NUL character or half a surrogate pair."""
    if "\0" in text:
        raise RowError("encoding", f"expected text, found a NUL character at {text.index(chr(0))}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RowError("encoding", f"expected text, found half a surrogate pair at {error.start}") from None


def _matching(path: str, patterns: list[str]) -> list[Path]:
    place = existing(path)
    return _some(files_below(place, patterns, []), path, patterns) if place.is_dir() else [place]


def _some(files: list[Path], path: str, patterns: list[str]) -> list[Path]:
    if not files:
        raise DataError(
            f"{path}: expected files that match {', '.join(patterns)}, found none",
            hint="Check the folder and the patterns of this source.",
        )
    return files
