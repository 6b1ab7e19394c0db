"""Rows of Parquet files and of Hugging Face datasets; what reads them is imported where it is used."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from core.config.sources import HubSource
from core.errors import DataError, UsageError

_ROWS_AT_ONCE = 1024


def read_parquet(path: Path, column: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, row) for every row of a Parquet file, some at a time; only `column` where one is named.

    Raises: DataError where the file is no Parquet file or lacks the column.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as table:
            names = table.schema_arrow.names
            if column is not None and column not in names:
                raise missing_column(str(path), column, names)
            number = 0
            for batch in table.iter_batches(batch_size=_ROWS_AT_ONCE, columns=None if column is None else [column]):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:row {number}", row
    except (pyarrow.ArrowException, EOFError) as error:
        raise DataError(f"{path}: expected a Parquet file, found: {error}", hint="Get the file anew.") from error


def read_hub(source: HubSource) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, row) for the rows of a Hugging Face dataset as they arrive. No code of the dataset is run.

    Raises: UsageError where there is no such dataset, subset or split; DataError where reading it fails.
    """
    import datasets

    where = f"{source.name}[{source.split}]"
    local = Path(source.name).expanduser()
    try:
        rows = datasets.load_dataset(
            str(local) if local.is_dir() else source.name,
            source.subset,
            split=source.split,
            revision=source.revision,
            streaming=True,
        )
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError, KeyError) as error:
        raise UsageError(
            f"data source {where}: expected a dataset that can be streamed, found: {error}",
            hint="Check name, subset, split and revision, the network, and for a private dataset `hf auth login`.",
        ) from error
    try:
        for number, row in enumerate(islice(rows, source.max_rows), start=1):
            yield f"{where}:row {number}", dict(row)
    except (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError) as error:
        raise DataError(f"data source {where}: reading its rows failed: {error}") from error


def missing_column(place: str, column: str, names: list[str]) -> DataError:
    """Return the error for a table without the column that was asked for."""
    return DataError(
        f"{place}: expected a column {column!r}, found {', '.join(names) or 'no columns'}",
        hint="Set columns.text of this source to the column that holds the text.",
    )
