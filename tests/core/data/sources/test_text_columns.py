"""Which column is the text."""

from __future__ import annotations

from typing import Any

import pytest

from core.data.sources.text_columns import text_column, text_of
from core.data.tally import RowError
from core.errors import DataError


@pytest.mark.parametrize(
    ("values", "stated", "text"),
    [
        ({"text": "a", "content": "b"}, None, "a"),
        ({"id": "1", "content": "b", "body": None}, None, "b"),
        ({"Article": "c", "url": "x"}, None, "c"),
        ({"only": "d"}, None, "d"),
        ({"text": "a", "other": "e"}, "other", "e"),
    ],
)
def test_the_text_is_found(values: dict[str, Any], stated: str | None, text: str) -> None:
    assert text_of(values, stated) == text
    names = [name for name, value in values.items() if value is not None]
    assert values[text_column(names, stated, "s")] == text


@pytest.mark.parametrize(
    ("values", "stated", "words"),
    [
        ({"content": "a", "body": "b"}, None, "expected the field 'text', found 'content', 'body'"),
        ({"a": "a", "b": "b"}, None, "expected the field 'text', found 'a', 'b'"),
        ({"text": "a"}, "body", "expected the field 'body', found 'text'"),
        ({"text": 7, "content": "a"}, None, "expected text in the field 'text', found 7"),
        ({"only": 7}, None, "expected the field 'text', found 'only'"),
        ({}, None, "found no fields"),
    ],
)
def test_a_row_without_text_names_its_columns(values: dict[str, Any], stated: str | None, words: str) -> None:
    with pytest.raises(RowError, match=words):
        text_of(values, stated)


def test_a_table_without_text_names_its_columns() -> None:
    with pytest.raises(DataError, match="s: expected a column 'text', found a, b") as error:
        text_column(["a", "b"], None, "s")
    assert "columns.text" in error.value.hint
