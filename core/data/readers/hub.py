"""Rows of Hugging Face datasets; the library is imported where it is used. No code of a dataset is run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from core.config.sources import HubSource
from core.data.rows import Row
from core.data.tally import Tally
from core.errors import DataError, UsageError

_SLICE = re.compile(r"(?P<name>[\w.\-]+)\[(?P<start>\d*):(?P<stop>\d*)\]")


def read_hub(source: HubSource, tally: Tally) -> Iterator[Row]:
    """Yield the rows of a dataset as they arrive.

    A split such as train[100:200] is streamed up to its last row; one in percent, from the end or a sum of several is
    known only once all of it is here, so the dataset is downloaded first. A folder that `save_to_disk` wrote is read
    from the disk.

    Raises: UsageError where there is no such dataset, subset or split; DataError where reading it fails.
    """
    import datasets

    where = f"{source.name}[{source.split}]"
    failures = (datasets.exceptions.DatasetsError, OSError, ValueError, RuntimeError, KeyError)
    try:
        first, rows = _rows(source)
    except failures as error:
        raise UsageError(
            f"data source {where}: expected a dataset that can be streamed, found: {error}",
            hint="Check name, subset, split and revision, the network, and for a private dataset `hf auth login`.",
        ) from error
    try:
        for number, row in enumerate(islice(rows, source.max_rows), start=first + 1):
            tally.rows += 1
            yield Row(dict(row), f"{where}:row {number}")
    except failures as error:
        raise DataError(f"data source {where}: reading its rows failed: {error}") from error


def _rows(source: HubSource) -> tuple[int, Iterable[dict[str, Any]]]:
    """Return the number of rows before the first, and the rows."""
    import datasets

    local = Path(source.name).expanduser()
    cut = _SLICE.fullmatch(source.split)
    if cut is not None:
        start, stop = int(cut["start"] or 0), int(cut["stop"]) if cut["stop"] else None
        whole = _split(source, cut["name"])
        return start, islice(whole, stop) if not start else islice(whole.skip(start), _length(start, stop))
    if "[" in source.split or "+" in source.split:
        if _is_saved(local):
            raise ValueError("of a dataset that was saved to disk take a whole split or rows, such as train[100:200]")
        name = str(local) if local.is_dir() else source.name
        rows = datasets.load_dataset(name, source.subset, split=source.split, revision=source.revision)
        return 0, rows
    return 0, _split(source, source.split)


def _length(start: int, stop: int | None) -> int | None:
    return None if stop is None else max(stop - start, 0)


def _split(source: HubSource, split: str) -> Any:
    import datasets

    local = Path(source.name).expanduser()
    if _is_saved(local):
        saved = datasets.load_from_disk(str(local))
        return saved[split] if isinstance(saved, datasets.DatasetDict) else saved
    name = str(local) if local.is_dir() else source.name
    return datasets.load_dataset(name, source.subset, split=split, revision=source.revision, streaming=True)


def _is_saved(folder: Path) -> bool:
    return (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file()
