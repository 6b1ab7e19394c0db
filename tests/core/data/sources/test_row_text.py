"""Texts made of rows by a template, over every way in which rows are written down."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from core.config.data import TextData, TrainedTokenizer
from core.config.sources import JSONSource, ParquetSource, PathSource
from core.config.text_template import parsed
from core.data.inspection import inspect
from core.data.preview import preview
from core.data.sources.reading import documents
from core.data.sources.row_text import filled
from core.data.tally import RowError, Tally, check_shares
from core.errors import DataError

ROWS = [
    {"name": "Aspirin", "uses": ["pain", "fever"], "dose": {"mg": 500.5, "note": None}, "warning": ""},
    {"name": "Ibuprofen", "uses": ["pain", ""], "dose": {"mg": 200.5}, "warning": "ulcers"},
]
TEMPLATE = "{name} treats {uses}.[[ Dose: {dose.mg} mg.]][[ Beware of {warning}!]]"
TEXTS = ["Aspirin treats pain, fever. Dose: 500.5 mg.", "Ibuprofen treats pain. Dose: 200.5 mg. Beware of ulcers!"]


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("{a}", {"a": " x "}, "x"),
        ("{a} {b}", {"a": 1, "b": True}, "1 true"),
        ("{a.b}", {"a.b": "flat", "a": {"b": "deep"}}, "flat"),
        ("{a.b.c}", {"a": [{"b": {"c": 1}}, {"b": [{"c": 2}, {"d": 3}]}, "x"]}, "1, 2"),
        ("{a.text}", {"a": [{"text": "x", "n": "1"}, "y"]}, "x, y"),
        ("{a}", {"a": {"b": "ä"}}, '{"b": "ä"}'),
        ("x[[ {a}]][[ {b}]]", {"a": None, "b": []}, "x"),
        ("{b}[[ {a}, {b}]]", {"a": " ", "b": "y"}, "y"),
        ("{b}[[ {a}, {b}]]", {"a": 0, "b": "y"}, "y 0, y"),
        ("{{{a}}}", {"a": "x"}, "{x}"),
    ],
)  # fmt: skip
def test_what_becomes_of_values(template: str, values: dict[str, Any], text: str) -> None:
    if template.startswith("x[["):
        template = template + "{c}"
        values, text = {**values, "c": "c"}, text + "c"
    assert filled(parsed(template), values) == text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"b": "x"}, "expected a value in 'a' for text_template, found the columns 'b'"),
        ({"a": ""}, "expected a value in 'a' for text_template, found an empty one"),
        ({}, "found the columns no columns"),
    ],
)
def test_a_value_that_is_lacking(values: dict[str, Any], words: str) -> None:
    with pytest.raises(RowError, match=words):
        filled(parsed("{a}[[{b}]]"), values)


def _written(kind: str, folder: Path) -> PathSource | JSONSource | ParquetSource:
    place = folder / f"rows.{kind}"
    more: dict[str, Any] = {}
    match kind:
        case "jsonl":
            place.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
            return JSONSource(kind="json", path=str(place), text_template=TEMPLATE)
        case "json":
            place.write_text(json.dumps(ROWS))
        case "parquet":
            pq.write_table(pa.Table.from_pylist([{**row, "unread": "x"} for row in ROWS]), place)
            return ParquetSource(kind="parquet", path=str(place), text_template=TEMPLATE)
        case "xml":
            each = (
                f"<drug><name>{row['name']}</name>{''.join(f'<uses>{use}</uses>' for use in row['uses'])}"
                f"<dose><mg>{row['dose']['mg']}</mg></dose><warning>{row['warning']}</warning></drug>"
                for row in ROWS
            )
            place.write_text(f"<drugs>{''.join(each)}</drugs>")
            more = {"format": "xml", "record": "drug"}
    return PathSource(kind="path", path=str(place), text_template=TEMPLATE, **more)


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet", "xml"])
def test_rows_of_every_kind(kind: str, tmp_path: Path) -> None:
    tally = Tally("s", 0.0)
    assert [found.text for found in documents(_written(kind, tmp_path), tally)] == TEXTS
    check_shares([tally], 0.0)


@pytest.mark.parametrize(("suffix", "sign"), [("csv", ","), ("tsv", "\t")])
def test_delimited_tables_and_rows_that_lack_a_value(suffix: str, sign: str, tmp_path: Path) -> None:
    place = tmp_path / f"notes.{suffix}"
    rows = [("id", "section", "note"), ("1", "PLAN", "Rest."), ("2", "", "Walk."), ("3", "EXAM", "")]
    place.write_text("".join(sign.join(row) + "\n" for row in rows))
    source = PathSource(kind="path", path=str(place), text_template="[[{section}: ]]{note}")
    tally = Tally("s", 0.5)
    assert [found.text for found in documents(source, tally)] == ["PLAN: Rest.", "Walk."]
    assert (tally.rows, tally.bad) == (3, {"template": 1})
    assert tally.columns_seen == {"section": 3, "note": 3}
    found = inspect(source)
    assert (found.documents, found.unusable_rows, found.format) == (2, 1, suffix)
    data = TextData(kind="text", sources=[source], tokenizer=TrainedTokenizer(kind="train"))
    shown = preview(data, start=0, count=5)
    assert ([row.says for row in shown.rows], shown.formats) == (["PLAN: Rest.", "Walk."], ("documents",))


def test_a_column_that_no_row_has_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "rows.jsonl"
    place.write_text('{"name": "a", "use": "b"}\n' * 3)
    tally = Tally("s", 1.0)
    source = JSONSource(kind="json", path=str(place), text_template="{name}[[ for {uses}]]")
    assert len(list(documents(source, tally))) == 3
    with pytest.raises(DataError, match="expected the columns 'uses' of text_template in some row, found them in none"):
        check_shares([tally], 1.0)
    other = Tally("s", 1.0)
    other.add({**tally.as_json(), "columns_seen": {"name": 3, "uses": 1}})
    other.add(tally.as_json())
    check_shares([other], 1.0)


def test_a_column_that_a_table_lacks_is_refused_at_once(tmp_path: Path) -> None:
    place = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist(ROWS), place)
    source = ParquetSource(kind="parquet", path=str(place), text_template="{name} {use.x}")
    with pytest.raises(DataError, match=r"expected the columns 'use\.x' of text_template, found name, uses, dose"):
        list(documents(source, Tally("s", 1.0)))
