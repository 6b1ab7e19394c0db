"""Tables in XML: what becomes of elements, attributes, repeated and nested ones, of damage and hostile files."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from core.data.readers.xml_rows import read_xml_rows
from core.data.tally import Tally
from core.errors import UsageError

DRUGS = """<?xml version="1.0" encoding="UTF-8"?>
<db:drugbank xmlns:db="http://drugs.example" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" version="5.1">
<db:drug type="small molecule" xmlns="http://drugs.example" xsi:type="kind">
  <drugbank-id primary="true">MD001</drugbank-id>
  <drugbank-id>MD9</drugbank-id>
  <name>Aspirin</name>
  <description>Used for pain &amp; fever.

      It <i>thins</i> blood.</description>
  <groups><group>approved</group><group>vet_approved</group></groups>
  <half-life/>
  <targets><target position="1"><name>COX-1</name><actions><action>inhibitor</action></actions></target>
    <target position="2"><name>COX-2</name></target></targets>
  <pathways><pathway><drugs><drug><name>Inner</name></drug></drugs></pathway></pathways>
</db:drug>
<db:drug><name>Ibuprofen</name></db:drug>
<db:drug>Plain</db:drug>
</db:drugbank>
"""


def _rows(path: Path, record: str = "drug") -> tuple[list[dict[str, Any]], Tally]:
    tally = Tally("drugs", 1.0)
    return [row.values for row in read_xml_rows(path, record, tally)], tally


@pytest.mark.parametrize("record", ["drug", "db:drug"])
def test_children_and_attributes_are_columns(record: str, tmp_path: Path) -> None:
    path = tmp_path / "drugs.xml.gz"
    path.write_bytes(gzip.compress(DRUGS.encode()))
    (first, *others), tally = _rows(path, record)
    assert first == {
        "type": "small molecule",
        "drugbank-id": [{"primary": "true", "text": "MD001"}, "MD9"],
        "name": "Aspirin",
        "description": "Used for pain & fever.\n\nIt thins blood.",
        "groups": {"group": ["approved", "vet_approved"]},
        "half-life": "",
        "targets": {
            "target": [
                {"position": "1", "name": "COX-1", "actions": {"action": "inhibitor"}},
                {"position": "2", "name": "COX-2"},
            ]
        },
        "pathways": {"pathway": {"drugs": {"drug": {"name": "Inner"}}}},
    }  # fmt: skip
    assert others == [{"name": "Ibuprofen"}, {"text": "Plain"}]
    assert (tally.rows, tally.bad) == (3, {})


def test_a_broken_record_is_counted_and_the_next_ones_are_read(tmp_path: Path) -> None:
    path = tmp_path / "drugs.xml"
    path.write_text("<a><drug><name>A</name></drug><drug><name>B</nam></drug><drug><name>C</name></drug></a>")
    rows, tally = _rows(path)
    assert rows == [{"name": "A"}, {"name": "C"}]
    assert (tally.rows, tally.bad) == (3, {"xml": 1})


def test_entities_of_the_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.xml"
    entities = "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9))
    path.write_text(f'<!DOCTYPE a [<!ENTITY e0 "ha">{entities}]><a><drug><name>&e9;</name></drug></a>')
    rows, tally = _rows(path)
    assert tally.bad["xml"] >= 1
    assert all(len(str(row)) < 100 for row in rows)


def test_a_file_without_such_an_element_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "drugs.xml"
    path.write_text("<a><medicine/></a>")
    rows, tally = _rows(path)
    assert (rows, tally.rows, tally.bad) == ([], 1, {"no_record": 1})
    assert tally.errors == [f"{path}: expected elements <drug>, found none"]


def test_without_a_name_nothing_is_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected the name of the element"):
        list(read_xml_rows(tmp_path / "drugs.xml", None, Tally("drugs", 1.0)))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "drugs.xml"
    record = f"<drug><name>A</name><text>{'x' * 3000}</text></drug>\n"
    path.write_text(f"<a>{record * 3_000}</a>")
    tracemalloc.start()
    count = sum(1 for _ in read_xml_rows(path, "drug", Tally("drugs", 1.0)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 3_000
    assert peak < 3_000_000 < 9_000_000 < path.stat().st_size
