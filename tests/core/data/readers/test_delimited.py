"""CSV and TSV: dialects, headers, quotes, and rows that are no rows."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.readers import delimited
from core.data.readers.delimited import read_delimited
from core.data.tally import Tally


def read(
    path: Path, content: str | bytes, usual: Literal[",", "\t"] = ","
) -> tuple[list[tuple[str, dict[str, Any]]], Tally]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    tally = Tally("s", 1.0)
    return [(row.place.removeprefix(str(path)), row.values) for row in read_delimited(path, tally, usual)], tally


def test_quoted_fields_may_hold_delimiters_quotes_and_lines(tmp_path: Path) -> None:
    found, tally = read(tmp_path / "a", '\ufeffid,text\r\n1,"a, ""b""\nc"\r\n\r\n2,d\r\n')
    assert found == [(":2", {"id": "1", "text": 'a, "b"\nc'}), (":5", {"id": "2", "text": "d"})]
    assert tally.rows == 2


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
def test_the_delimiter_is_found(tmp_path: Path, delimiter: str) -> None:
    text = "".join(delimiter.join((str(number), "word, word; word", "x")) + "\n" for number in range(5))
    text = f"id{delimiter}text{delimiter}tag\n{text}".replace("word, word; word", '"word, word; word"')
    found, _ = read(tmp_path / "a", text)
    assert found[3][1] == {"id": "3", "text": "word, word; word", "tag": "x"}


@pytest.mark.parametrize(
    ("text", "names", "rows"),
    [
        ("eng\tHello there.\neng\tGood bye.\n", ["column_1", "column_2"], 2),
        ("eng\tHello\neng\tBye\n", ["column_1", "column_2"], 2),
        ("deu\tHallo.\neng\tHello.\n", ["column_1", "column_2"], 2),
        ("1\t2\n3\t4\n", ["column_1", "column_2"], 2),
        ("Query\tAnswer text\nWhy?\tSo.\n", ["Query", "Answer text"], 1),
        ("a\ta\nx\ty\n", ["column_1", "column_2"], 2),
        ("a\t\nx\ty\n", ["column_1", "column_2"], 2),
        ("text\nline one\nline two\n", ["text"], 2),
    ],
)
def test_a_header_is_told_from_a_first_row(tmp_path: Path, text: str, names: list[str], rows: int) -> None:
    found, tally = read(tmp_path / "a", text, "\t")
    assert list(found[0][1]) == names
    assert (len(found), tally.rows) == (rows, rows)


def test_a_quote_in_tab_separated_text_is_a_character(tmp_path: Path) -> None:
    found, tally = read(tmp_path / "a", 'eng\t"Well," she said.\neng\t"Open\neng\t"Yes."\n', "\t")
    assert [values["column_2"] for _, values in found] == ['"Well," she said.', '"Open', '"Yes."']
    assert not tally.bad


def test_tab_separated_text_may_be_quoted(tmp_path: Path) -> None:
    found, _ = read(tmp_path / "a", 'id\ttext\n1\t"a ""b"""\n2\tc\n', "\t")
    assert [values["text"] for _, values in found] == ['a "b"', "c"]
    found, _ = read(tmp_path / "a", 'id\ttext\n1\t"a\tb\nc"\n2\td\n', "\t")
    assert [values["text"] for _, values in found] == ["a\tb\nc", "d"]


def test_a_wrong_number_of_fields_is_a_bad_row_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a"
    found, tally = read(path, 'id,text\n1,"x\ny"\n2\n3,a,b\n4,z\n')
    assert [values["id"] for _, values in found] == ["1", "4"]
    assert (tally.rows, dict(tally.bad)) == (4, {"columns": 2})
    assert tally.errors == [
        f"{path}:4: expected 2 fields (id, text), found 1: '2'",
        f"{path}:5: expected 2 fields (id, text), found 3: '3,a,b'",
    ]


def test_a_broken_encoding_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "a"
    found, tally = read(path, b"id,text\n1,caf\xe9\n2,ok\n")
    assert [values["id"] for _, values in found] == ["2"]
    assert dict(tally.bad) == {"encoding": 1}
    assert tally.errors[0].startswith(f"{path}:2: expected UTF-8 text, found invalid continuation byte at byte 5")


def test_a_quote_that_nobody_closes_costs_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = csv.field_size_limit(1000)
    try:
        rows = "".join(f"{number},text {number}\n" for number in range(300))
        found, tally = read(tmp_path / "a", f'id,text\n{rows}x,"open\n{rows}')
    finally:
        csv.field_size_limit(before)
    assert (tally.rows - len(found), dict(tally.bad)) == (1, {"columns": 1})
    assert "field larger than field limit" in tally.errors[0]
    assert len(found) > 500
    assert before == delimited.MAX_LINE_BYTES


def test_a_line_end_of_another_kind_inside_a_field_is_a_bad_row(tmp_path: Path) -> None:
    found, tally = read(tmp_path / "a", "id,text\n1,a\rb\n2,c\n")
    assert [values for _, values in found] == [{"id": "2", "text": "c"}]
    assert dict(tally.bad) == {"columns": 1}
    found, tally = read(tmp_path / "a", "id\rx,text\n2,c\n")
    assert [values for _, values in found] == [{"column_1": "2", "column_2": "c"}]
    found, tally = read(tmp_path / "a", "a\rb\n")
    assert (found, tally.rows, tally.bad.total()) == ([], 1, 1)


def test_nothing_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path / "a", "")[0] == []
    assert read(tmp_path / "a", "\n\n")[1].rows == 0


FIELD = st.text(st.characters(blacklist_characters="\r\0", blacklist_categories=["Cs"]), min_size=1, max_size=12)


@given(table=st.lists(st.tuples(st.integers(0, 9).map(str), FIELD), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_what_the_csv_module_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]
) -> None:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    writer.writerow(["id", "text"])
    writer.writerows(table)
    found, tally = read(tmp_path_factory.getbasetemp() / "t.csv", text.getvalue().encode())
    assert [(values["id"], values["text"]) for _, values in found] == table
    assert not tally.bad
