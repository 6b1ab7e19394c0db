"""Parquet files by row groups."""

from __future__ import annotations

from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from core.data.readers.lines import Span
from core.data.readers.parquet import read_parquet, row_group_spans
from core.data.tally import Tally
from core.errors import DataError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file of 10 rows in groups of 3."""
    table = pyarrow.table({"text": [f"text {number}" for number in range(10)], "n": range(10)})
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    return tmp_path / "a.parquet"


@pytest.mark.parametrize("size", [1, 150, 250, 10**6])
def test_spans_of_row_groups_make_the_file(path: Path, size: int) -> None:
    spans = row_group_spans(path, size)
    assert (spans[0].start, spans[-1].stop) == (0, None)
    assert len(spans) == {1: 4, 10**6: 1}.get(size, len(spans))
    whole = list(read_parquet(path, Tally("s", 1.0)))
    assert [row for span in spans for row in read_parquet(path, Tally("s", 1.0), span)] == whole
    assert (whole[9].place, whole[9].values) == (f"{path}:row 10", {"text": "text 9", "n": 9})


def test_only_the_chosen_columns_are_read(path: Path) -> None:
    tally = Tally("s", 1.0)
    found = list(read_parquet(path, tally, Span(1, 2), lambda names: [names[1]]))
    assert [row.values for row in found] == [{"n": 3}, {"n": 4}, {"n": 5}]
    assert tally.rows == 3


def test_a_file_that_breaks_off_is_an_error(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="expected a Parquet file"):
        row_group_spans(path, 10)
