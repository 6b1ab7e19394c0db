"""Rows of Parquet files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from core.data.readers.lines import WHOLE, Span
from core.data.rows import Row
from core.data.tally import Tally
from core.errors import DataError

_ROWS_AT_ONCE = 1024


def read_parquet(
    path: Path, tally: Tally, span: Span = WHOLE, choose: Callable[[Sequence[str]], list[str]] = list
) -> Iterator[Row]:
    """Yield the rows of a Parquet file, or of some of its row groups, some rows at a time.

    `choose` says which of the columns to read.

    Raises: DataError where the file is no Parquet file; what `choose` raises.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as table:
            columns = choose(table.schema_arrow.names)
            groups = range(*slice(span.start, span.stop).indices(table.num_row_groups))
            number = sum(table.metadata.row_group(group).num_rows for group in range(groups.start))
            for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=columns, row_groups=list(groups)):
                for values in batch.to_pylist():
                    number += 1
                    tally.rows += 1
                    yield Row(values, f"{path}:row {number}")
    except (pyarrow.ArrowException, OSError, EOFError) as error:
        raise DataError(f"{path}: expected a Parquet file, found: {error}", hint="Get the file anew.") from error


def row_group_spans(path: Path, size: int) -> list[Span]:
    """Return spans of row groups of about `size` bytes of uncompressed data each.

    Raises: DataError where the file is no Parquet file.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as table:
            sizes = [table.metadata.row_group(group).total_byte_size for group in range(table.num_row_groups)]
    except (pyarrow.ArrowException, OSError, EOFError) as error:
        raise DataError(f"{path}: expected a Parquet file, found: {error}", hint="Get the file anew.") from error
    spans: list[Span] = []
    start = total = 0
    for group, bytes_of_group in enumerate(sizes):
        if total and total + bytes_of_group > size:
            spans.append(Span(start, group))
            start, total = group, 0
        total += bytes_of_group
    return [*spans, Span(start, None)]
