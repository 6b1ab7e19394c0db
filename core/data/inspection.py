"""What is in a file, a folder or any other source: its format, rows, bad rows, columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from core.config.data import RowFormat
from core.config.sources import Columns, HubSource, PathSource, Source
from core.data.formats import canonical, recognised
from core.data.rows import Row
from core.data.sources.path_files import list_files
from core.data.sources.reading import Unit, check_text, describe, records, units_of
from core.data.sources.row_text import row_text
from core.data.tally import KEPT_ERRORS, RowError, Tally
from core.errors import DataError

_ROWS_TO_RECOGNISE = 100
_MOST_COLUMNS = 1000
_EXAMPLE_CHARACTERS = 80
_MIXED = "mixed"
# Containers whose records say something row by row; the others hold documents.
ROW_CONTAINERS = frozenset({
    "json_lines", "json_array", "json_object", "parquet", "csv", "tsv", "squad", "medquad", "hellaswag_text", "xml",
    "hub", "json", "functions",
})  # fmt: skip
_KINDS: dict[type, str] = {
    str: "text", bool: "boolean", int: "number", float: "number", list: "list", dict: "object", type(None): "null",
}  # fmt: skip


@dataclass
class Column:
    """One column: the kinds of its values, the number of rows that have it, the first value that says something."""

    name: str
    kinds: set[str] = field(default_factory=set)
    rows: int = 0
    example: str = ""

    def see(self, value: object) -> None:
        """Take in a value."""
        self.kinds.add(_KINDS.get(type(value), type(value).__name__))
        self.rows += 1
        if not self.example and value not in (None, "", [], {}):
            self.example = _shortened(value)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values; `type` is `text`, or such as `null or number`."""
        return {"name": self.name, "type": " or ".join(sorted(self.kinds)), "rows": self.rows, "example": self.example}


@dataclass(frozen=True)
class FileInspection:
    """One file, or a source without files. Counts as in `Inspection`."""

    path: str
    container: str
    format: str
    bytes: int
    rows: int
    bad_rows: int
    documents: int | None


@dataclass(frozen=True)
class LeftOut:
    """A file that is not read; or how many are not, for one reason."""

    what: str
    reason: str


@dataclass(frozen=True)
class Inspection:
    """What was found.

    `rows` are physical records, bad ones included; `bad_rows` cannot be read, `unusable_rows` can be read but lack
    what their format needs. `documents` are the conversations or texts that come out; None where nobody can say
    before the columns are named. `is_complete` is False where reading stopped at a limit of rows.
    """

    source: str
    container: str
    format: str
    rows: int
    bad_rows: int
    unusable_rows: int
    empty: int
    documents: int | None
    columns: list[Column]
    errors: list[str]
    files: list[FileInspection]
    left_out: list[LeftOut]
    repaired: dict[str, int]
    bytes: int
    is_complete: bool

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            **{name: value for name, value in vars(self).items() if name not in ("columns", "files", "left_out")},
            "columns": [column.name for column in self.columns],
            "column_details": [column.as_json() for column in self.columns],
            "files": [vars(file) for file in self.files],
            "left_out": [vars(one) for one in self.left_out],
        }


def inspect(source: Path | Source, *, limit: int | None = None) -> Inspection:
    """Read a file, a folder or another source and say what is in it; up to `limit` rows of each file where given.

    Where a file breaks off, what could be read of it counts, and one bad row for the rest.

    Raises: UsageError where nothing is there; DataError where it is no data set, or nothing of it can be read.
    """
    if isinstance(source, Path):
        source = PathSource(kind="path", path=str(source))
    left_out: list[LeftOut] = []
    if isinstance(source, PathSource):
        listing = list_files(source)
        left_out = [LeftOut(str(file.path), file.reason) for file in listing.left_out]
        parts: list[tuple[Unit, str]] = [(Unit(0, str(file.path)), file.container) for file in listing.known]
    else:
        parts = [(unit, source.kind) for unit in units_of(source, 0)]
    seen = _Seen(source, limit)
    files = [seen.part(unit, container, must_begin=len(parts) == 1) for unit, container in parts]
    left_out += [LeftOut(f"{count} files", reason) for reason, count in sorted(seen.tally.skipped.items())]
    counts = [file.documents for file in files]
    return Inspection(
        source=source.name if isinstance(source, HubSource) else getattr(source, "path", source.kind),
        container=_same([file.container for file in files]),
        format=_same([file.format for file in files]),
        rows=seen.tally.rows,
        bad_rows=seen.tally.bad.total(),
        unusable_rows=seen.unusable.bad.total(),
        empty=seen.tally.empty,
        documents=None if None in counts else sum(count or 0 for count in counts),
        columns=list(seen.columns.values()),
        errors=[*seen.tally.errors, *seen.unusable.errors][:KEPT_ERRORS],
        files=files,
        left_out=left_out,
        repaired=dict(sorted((seen.tally.repaired + seen.unusable.repaired).items())),
        bytes=sum(file.bytes for file in files),
        is_complete=seen.is_complete,
    )


class _Seen:
    """What was seen of one source so far."""

    def __init__(self, source: Source, limit: int | None) -> None:
        self._source = source
        self._limit = limit
        self._texts = row_text(source)
        self.tally = Tally(describe(source, 0), 1.0)
        self.unusable = Tally(describe(source, 0), 1.0)
        self.columns: dict[str, Column] = {}
        self.is_complete = True

    def part(self, unit: Unit, container: str, *, must_begin: bool) -> FileInspection:
        """Read one unit; `must_begin`: where not even its first row can be read, that is an error."""
        rows, bad = self.tally.rows, self.tally.bad.total()
        stream = self._noted(self._unbroken(unit, must_begin))
        first = list(islice(stream, _ROWS_TO_RECOGNISE))
        columns = getattr(self._source, "columns", Columns())
        is_rows = container in ROW_CONTAINERS and self._texts.template is None
        shape = recognised(first, columns) if is_rows else None
        documents = self._documents(chain(first, stream), shape, columns)
        path = Path(unit.file)
        return FileInspection(
            path=unit.file,
            container=container,
            format=shape or container,
            bytes=path.stat().st_size if unit.file and path.is_file() else 0,
            rows=self.tally.rows - rows,
            bad_rows=self.tally.bad.total() - bad,
            documents=documents,
        )

    def _unbroken(self, unit: Unit, must_begin: bool) -> Iterator[Row]:
        before = self.tally.rows
        try:
            yield from records(self._source, self.tally, unit)
        except DataError as error:
            if must_begin and self.tally.rows == before:
                raise
            self.tally.rows += 1
            self.tally.refuse(unit.file or describe(self._source, 0), RowError("damaged", error.message))

    def _noted(self, stream: Iterator[Row]) -> Iterator[Row]:
        before = self.tally.rows
        for row in stream:
            for name, value in row.values.items():
                column = self.columns.get(name)
                if column is None:
                    if len(self.columns) == _MOST_COLUMNS:
                        continue
                    column = self.columns[name] = Column(name)
                column.see(value)
            yield row
            if self._limit is not None and self.tally.rows - before >= self._limit:
                self.is_complete = False
                return

    def _documents(self, stream: Iterator[Row], shape: RowFormat | None, columns: Columns) -> int | None:
        if shape is not None:
            return sum(1 for _ in canonical(stream, shape, columns, self.unusable))
        documents = without = 0
        for row in stream:
            try:
                text = self._texts.of(row.values)
            except RowError as error:
                if self._texts.template is not None:
                    self.unusable.refuse(row.place, error)
                without += 1
                continue
            try:
                check_text(text)
            except RowError as error:
                self.tally.refuse(row.place, error)
                continue
            documents += bool(text.strip())
        return None if without and not documents else documents


def _same(values: list[str]) -> str:
    return values[0] if len(set(values)) == 1 else _MIXED if values else "none"


def _shortened(value: object) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= _EXAMPLE_CHARACTERS else text[: _EXAMPLE_CHARACTERS - 1] + "…"
