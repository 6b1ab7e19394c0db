"""A table in XML, such as a database of drugs, as rows: one element is one row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from core.data.readers.xml_stream import paragraphs_of, xml_records
from core.data.rows import Row
from core.data.tally import RowError, Tally
from core.errors import UsageError

TEXT = "text"


def read_xml_rows(path: Path, record: str | None, tally: Tally) -> Iterator[Row]:
    """Yield one row an element of the name `record`, outermost ones only, in constant memory.

    Attributes and children are columns, by their names without a prefix. An element with nothing but text is that
    text; one with children or attributes is an object, its own text under `text`; where several have one name, their
    column is a list. Text with elements inside of it, such as a line with words in italics, is taken as text.

    A record that cannot be read is a bad row, and so is a file in which there is none.

    Raises: UsageError where nobody says which element is a row.
    """
    if record is None:
        raise UsageError(
            f"{path}: expected the name of the element that is one row, found none",
            hint="In a preset, set `record` beside format: xml.",
        )
    rows = tally.rows
    for found in xml_records(path, frozenset({record.rpartition(":")[2]}), tally):
        tally.rows += 1
        values = _value(found.element)
        yield Row(values if isinstance(values, dict) else {TEXT: values}, found.place)
    if tally.rows == rows:
        tally.rows += 1
        tally.refuse(str(path), RowError("no_record", f"expected elements <{record}>, found none"))


def _value(element: Element) -> dict[str, Any] | str:
    columns = [(name.rpartition(":")[2], value.strip()) for name, value in element.attrib.items() if _is_data(name)]
    children = list(element)
    is_mixed = bool(children) and any(text.strip() for text in _between(element, children))
    if not children or is_mixed:
        text = paragraphs_of(element)
        return {**_gathered(columns), TEXT: text} if columns else text
    return _gathered([*columns, *((child.tag, _value(child)) for child in children)])


def _is_data(attribute: str) -> bool:
    """Whether an attribute says something about the record, and nothing about how it is written down."""
    return attribute != "xmlns" and not attribute.startswith(("xmlns:", "xsi:", "xml:"))


def _between(element: Element, children: list[Element]) -> Iterator[str]:
    yield element.text or ""
    yield from (child.tail or "" for child in children)


def _gathered(columns: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, list[Any]] = {}
    for name, value in columns:
        values.setdefault(name, []).append(value)
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}
