"""Units: whatever a source is cut into, the parts in their order are the source."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from pydantic import TypeAdapter

from core.config.sources import Source
from core.data.sources.reading import Unit, documents, rows, units_of
from core.data.tally import Tally


def source(kind: str, path: Path, **fields: object) -> Source:
    return TypeAdapter(Source).validate_python({"kind": kind, "path": str(path), **fields})


def counts(tally: Tally) -> tuple[int, int, int, dict[str, int]]:
    return tally.rows, tally.documents, tally.empty, dict(tally.bad)


LINE = st.sampled_from(
    ['{"text": "a"}', '{"text": "é b c"}', "", "  ", "{", '{"text": " "}', '"words"', '{"body": "c"}']
)


@given(
    lines=st.lists(LINE, max_size=25),
    end=st.booleans(),
    size=st.integers(1, 60),
    kind=st.sampled_from(["json", "path"]),
)
@settings(max_examples=200, deadline=None)
def test_parts_of_json_lines_give_what_the_whole_gives(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: bool, size: int, kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.jsonl"
    path.write_text("\n".join(lines) + "\n" * end)
    cut = source(kind, path)
    whole, parts = Tally("s", 1.0), Tally("s", 1.0)
    units = units_of(cut, 0, split_bytes=size)
    expected = [document.text for document in documents(cut, whole)]
    assert [document.text for unit in units for document in documents(cut, parts, unit)] == expected
    assert counts(parts) == counts(whole)
    assert len(units) == max(-(-path.stat().st_size // size), 1)
    assert [row.values for unit in units for row in rows(cut, Tally("s", 1.0), unit)] == [
        row.values for row in rows(cut, Tally("s", 1.0))
    ]


@pytest.mark.parametrize("size", range(1, 40))
@pytest.mark.parametrize("kind", ["files", "path"])
def test_parts_of_a_text_of_lines_give_what_the_whole_gives(tmp_path: Path, kind: str, size: int) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffone\r\n\ntwo\nthree é\nfour".encode())
    (tmp_path / "b.txt").write_text("five\nsix\n")
    cut = source(kind, tmp_path, document="line")
    tally = Tally("s", 1.0)
    found = [document.text for unit in units_of(cut, 0, split_bytes=size) for document in documents(cut, tally, unit)]
    assert found == ["one", "two", "three é", "four", "five", "six"]
    assert (tally.rows, tally.empty) == (7, 1)


def test_places_in_a_part_are_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "a"}\n{"text": "b"}\n{\n')
    cut = source("json", path)
    _, second, third = units_of(cut, 3, split_bytes=14)
    assert second == Unit(3, str(path), 14, 28)
    assert third.stop is None
    assert [document.place for document in documents(cut, Tally("s", 1.0), second)] == [f"{path}:byte 14"]
    tally = Tally("s", 1.0)
    assert list(documents(cut, tally, third)) == []
    assert tally.errors[0].startswith(f"{path}:byte 28: expected a JSON object, found: ")
    (whole,) = units_of(cut, 0, split_bytes=10**6)
    assert [document.place for document in documents(cut, Tally("s", 1.0), whole)] == [f"{path}:1", f"{path}:2"]


@pytest.mark.parametrize("kind", ["parquet", "path"])
def test_parquet_is_cut_by_row_groups(tmp_path: Path, kind: str) -> None:
    texts = [f"text {number}" for number in range(10)]
    parquet.write_table(pyarrow.table({"text": texts, "n": range(10)}), tmp_path / "a.parquet", row_group_size=3)
    cut = source(kind, tmp_path)
    units = units_of(cut, 0, split_bytes=1)
    assert [(unit.start, unit.stop) for unit in units] == [(0, 1), (1, 2), (2, 3), (3, None)]
    found = [document for unit in units for document in documents(cut, Tally("s", 1.0), unit)]
    assert [document.text for document in found] == texts
    assert found == list(documents(cut, Tally("s", 1.0)))


def test_what_cannot_be_cut_is_one_unit_a_file(tmp_path: Path) -> None:
    lines = '{"text": "a"}\n' * 20
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    (tmp_path / "b.json").write_text(json.dumps([{"text": "b"}] * 20))
    (tmp_path / "c.txt").write_text("c\n" * 200)
    (tmp_path / "d.csv").write_text("text,n\n" + 'd,"1\n2"\n' * 20)
    cut = source("path", tmp_path)
    units = units_of(cut, 0, split_bytes=10)
    assert [(Path(unit.file).name, unit.start, unit.stop) for unit in units] == [
        ("a.jsonl.gz", 0, None), ("b.json", 0, None), ("c.txt", 0, None), ("d.csv", 0, None),
    ]  # fmt: skip
    tally = Tally("s", 1.0)
    assert len([0 for unit in units for _ in documents(cut, tally, unit)]) == 61
    assert tally.rows == 20 + 20 + 200 + 20


def test_code_is_cut_by_files_and_a_dataset_not_at_all(tmp_path: Path) -> None:
    for number in range(6):
        (tmp_path / f"{number}.py").write_text(f"print({number})\n")
    cut = source("code", tmp_path)
    units = units_of(cut, 0, split_bytes=20)
    assert [(unit.file, unit.start, unit.stop) for unit in units] == [
        (str(tmp_path), 0, 2), (str(tmp_path), 2, 4), (str(tmp_path), 4, None),
    ]  # fmt: skip
    found = [document.text for unit in units for document in documents(cut, Tally("s", 1.0), unit)]
    assert found == [f"print({number})\n" for number in range(6)]
    hub = TypeAdapter(Source).validate_python({"kind": "hub", "name": str(tmp_path)})
    assert units_of(hub, 2, split_bytes=1) == [Unit(2, "")]
