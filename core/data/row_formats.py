"""What the rows of each file of a source say: a folder may hold files of several formats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from core.config.data import RowFormat
from core.config.preferences import PromptData, RowData
from core.config.sources import CodeSource, Columns, FilesSource, FunctionsSource, Source, StandardLibrarySource
from core.data.formats import Canonical, detect
from core.data.row_items import items_of
from core.data.rows import Row
from core.data.sources.reading import Unit, describe, rows, units_of
from core.data.tally import Tally
from core.errors import DataError

_ROWS_TO_DETECT = 100


def columns_of(source: Source) -> Columns:
    """Return which column of a source holds what; those without columns have none to name."""
    match source:
        case CodeSource() | StandardLibrarySource() | FilesSource() | FunctionsSource():
            return Columns()
        case _:
            return source.columns


def row_formats(data: RowData, number: int) -> dict[str, RowFormat]:
    """Return the format of each file of the `number`th source that has rows; stated, or told by its first rows.

    Raises: UsageError where the source is not there; DataError where nobody knows what a file's rows say, or no file
        has rows.
    """
    source = data.sources[number]
    name = describe(source, number)
    formats: dict[str, RowFormat] = {}
    for unit in units_of(source, number):
        if data.format != "auto" or isinstance(source, FunctionsSource):
            formats[unit.file] = "alpaca" if data.format == "auto" else data.format
            continue
        tally = Tally(name, data.max_bad_rows)
        if first := list(islice(rows(source, tally, unit), _ROWS_TO_DETECT)):
            where = f"{name}: {unit.file}" if unit.file and unit.file not in name else name
            if isinstance(data, PromptData) and _only_texts(first):
                formats[unit.file] = "prompts"
            else:
                formats[unit.file] = detect(first, columns_of(source), where)
        elif tally.bad:
            tally.check()
    if not formats:
        raise DataError(f"{name}: expected rows, found none", hint="Check the path, or leave the source out.")
    return formats


def _only_texts(first: Sequence[Row]) -> bool:
    """Return whether rows are nothing but a text, such as strings one a line: there is nothing else to ask."""
    return all(row.values.keys() == {"text"} for row in first)


def unit_items(
    data: RowData, unit: Unit, shape: RowFormat | None, tally: Tally, *, seed: int
) -> Iterator[tuple[str, Canonical]]:
    """Yield (place, row) of one unit of a source; nothing of a file without rows, which has no format."""
    source = data.sources[unit.source]
    stream = _heard(rows(source, tally, unit), tally)
    if shape is not None:
        yield from items_of(data, stream, shape, columns_of(source), tally, seed=seed)
        return
    for _ in stream:
        raise DataError(f"{unit.file}: expected no rows, found some", hint="It changed while it was read.")


def _heard(stream: Iterator[Row], tally: Tally) -> Iterator[Row]:
    for row in stream:
        tally.on_row()
        yield row
