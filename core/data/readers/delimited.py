"""Rows of CSV and TSV files as RFC 4180 has them, and as people write them."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from core.data.readers.lines import MAX_LINE_BYTES, Line, lines_of
from core.data.rows import Row
from core.data.tally import RowError, Tally, show

DELIMITERS = (",", "\t", ";", "|")
_LOOKED_AT = 200
_HEAD_CHARACTERS = 2**18
_NAME = re.compile(r"[^\W\d][\w .\-/#()]{0,63}")
_MOST_WORDS = 4
_FEW = 3
_ENCLOSED = re.compile(r'"(?:[^"]|"")*"')
# A quoted field may span lines; what is longer is a quote that nobody closed.
csv.field_size_limit(MAX_LINE_BYTES)


@dataclass(frozen=True)
class Dialect:
    """How a table is written: `quoted` says whether a quote at the start of a field opens one that may hold anything.

    `names` are the columns; without a header they are called by position: column_1, column_2.
    """

    delimiter: str
    quoted: bool
    has_header: bool
    names: tuple[str, ...]


def read_delimited(path: Path, tally: Tally, usual: Literal[",", "\t"] = ",") -> Iterator[Row]:
    """Yield one row a record; every value is text. A record with a wrong number of fields is a bad row.

    Blank lines are no records. `usual` is the delimiter that is taken where several would do.

    Raises: DataError where the file cannot be read or decompressed.
    """
    dialect = dialect_of(path, usual)
    if dialect is None:
        return
    with lines_of(path) as lines:
        records = _Records(lines, dialect)
        if dialect.has_header:
            next(records, None)
        for place, record in records:
            tally.rows += 1
            if isinstance(record, RowError):
                tally.refuse(place, record)
            elif len(record) != len(dialect.names):
                expected = f"expected {len(dialect.names)} fields ({', '.join(dialect.names[:10])})"
                found = f"{len(record)}: {show(dialect.delimiter.join(record))}"
                tally.refuse(place, RowError("columns", f"{expected}, found {found}"))
            else:
                yield Row(dict(zip(dialect.names, record, strict=True)), place)


def dialect_of(path: Path, usual: Literal[",", "\t"]) -> Dialect | None:
    """Return how a table is written, by its first records; None where it has none.

    Raises: DataError where the file cannot be read or decompressed.
    """
    with lines_of(path) as lines:
        head = _head(lines)
    if not any(line.strip() for line in head):
        return None
    delimiters = (usual, *(one for one in DELIMITERS if one != usual))
    delimiter = max(delimiters, key=lambda one: _steadiness(head, one))  # the first of equals
    quoted = _is_quoted(head, delimiter)
    records = _parsed(head, delimiter, quoted)
    good = [record for record in records if record is not None] or [[""]]
    first = good[0]
    has_header = records[:1] == [first] and _is_header(first, good[1:])
    return Dialect(
        delimiter=delimiter,
        quoted=quoted,
        has_header=has_header,
        names=_distinct(first) if has_header else tuple(f"column_{number}" for number in range(1, len(first) + 1)),
    )


class _Records:
    """The records of a table, each with the place of its first line, as fields or as what is wrong with it."""

    def __init__(self, lines: Iterator[Line], dialect: Dialect) -> None:
        self._lines = lines
        self._place = ""
        self._error: RowError | None = None
        self._reader = _reader(self._texts(), dialect.delimiter, dialect.quoted)

    def __iter__(self) -> _Records:
        return self

    def __next__(self) -> tuple[str, list[str] | RowError]:
        while True:
            self._place, self._error = "", None
            try:
                record = next(self._reader)
            except csv.Error as error:
                return self._place, RowError("columns", f"expected a record of a table, found: {error}")
            if (wrong := self._wrong()) is not None:
                return self._place, wrong
            if record:
                return self._place, record

    def _wrong(self) -> RowError | None:
        return self._error

    def _texts(self) -> Iterator[str]:
        for line in self._lines:
            self._place = self._place or line.place
            try:
                text = line.text()
            except RowError as error:
                self._error = self._error or error
                text = line.data.decode("utf-8", "replace") if line.data is not None else "\n"
            yield text


def _reader(texts: Iterator[str], delimiter: str, quoted: bool) -> Iterator[list[str]]:
    return csv.reader(texts, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)


def _parsed(head: Sequence[str], delimiter: str, quoted: bool) -> list[list[str] | None]:
    """Return the records that are not blank, None for one that is broken."""
    records: list[list[str] | None] = []
    reader = _reader(iter(head), delimiter, quoted)
    while True:
        try:
            records += [record for record in (next(reader),) if record]
        except csv.Error:
            records.append(None)
        except StopIteration:
            return records


def _head(lines: Iterator[Line]) -> list[str]:
    """Return the first lines, up to a number of lines and of characters."""
    head: list[str] = []
    size = 0
    for line in islice(lines, _LOOKED_AT):
        if line.data is None or (size + line.length > _HEAD_CHARACTERS and head):
            break
        head.append(line.data.decode("utf-8", "replace"))
        size += line.length
    return head


def _steadiness(head: Sequence[str], delimiter: str) -> float:
    """Return the share of records that have the commonest number of fields; 0 where that is one field."""
    counts = Counter(len(record) for record in _parsed(head, delimiter, True) if record is not None)
    if not counts:
        return 0.0
    fields, often = counts.most_common(1)[0]
    return often / counts.total() if fields > 1 else 0.0


def _is_quoted(head: Sequence[str], delimiter: str) -> bool:
    """Say whether quotes enclose fields. In TSV a quote is mostly a character like any other."""
    if delimiter != "\t":
        return True
    fields = [field for line in head for field in line.rstrip("\r\n").split(delimiter) if field.startswith('"')]
    well = [field for field in fields if _ENCLOSED.fullmatch(field)]
    raw = Counter(line.count(delimiter) for line in head if line.strip())
    if len(raw) == 1:
        # Nothing needs quotes here: they enclose fields only where all that begin so say it, and one has a quote in it
        # or a whole column is quoted.
        columns = zip(*(line.rstrip("\r\n").split(delimiter) for line in head[1:] if line.strip()), strict=True)
        is_column = len(head) > _FEW and any(all(field in well for field in column) for column in columns)
        return len(well) == len(fields) > 0 and (is_column or any('""' in field[1:-1] for field in well))
    return _steadiness(head, delimiter) > raw.most_common(1)[0][1] / raw.total()


def _is_header(first: Sequence[str], rest: Sequence[Sequence[str]]) -> bool:
    """Say whether the first record names the columns: short distinct names, none of which is a value further down."""
    names = [name.strip() for name in first]
    if len(set(names)) != len(names) or not all(
        _NAME.fullmatch(name) and len(name.split()) <= _MOST_WORDS and not name.endswith(".") for name in names
    ):
        return False
    return not any(name == value for record in rest for name, value in zip(first, record, strict=False))


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name.strip() for name in names)
