"""What is said of a source that gave nothing."""

from __future__ import annotations

import pytest

from core.data.tally import RowError, Tally
from core.errors import DataError


def refused(max_bad_share: float) -> DataError:
    tally = Tally("data.sources[0]", max_bad_share, rows=1)
    tally.refuse("rows.jsonl:1", RowError("no_answer", "expected an answer, found none"))
    with pytest.raises(DataError) as caught:
        tally.check()
    return caught.value


def test_too_many_bad_rows_are_told_with_what_may_be() -> None:
    error = refused(0.5)
    assert "1 of 1 rows (100 %) cannot be used, at most 50 % may be" in error.message
    assert "max_bad_rows" in error.hint


def test_where_all_rows_may_be_bad_it_is_the_document_that_is_missing() -> None:
    error = refused(1.0)
    assert error.message == (
        "data.sources[0]: expected at least one document, found 1 row that cannot be used:\n"
        "  rows.jsonl:1: expected an answer, found none"
    )
    assert "max_bad_rows" not in error.hint
