"""Rules over the fields of one source; see core/config/rules.py.

text_template  can be read; makes documents, not rows; stands for columns.text
record         goes with format xml, and format xml needs it
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from core.config.partial import ROWS, Partial
from core.config.text_template import TemplateError, parsed
from core.config.yaml_text import Value, shown
from core.errors import Problem


def source_problems(draft: Partial) -> Iterator[Problem]:
    """Yield what is wrong between the fields of each source."""
    for index, source in enumerate(draft.list_at("data.sources")):
        if isinstance(source, dict):
            place = f"data.sources.{index}"
            yield from _template(place, source, kind=draft.at("data.kind"))
            yield from _record(place, source)


def _template(place: str, source: Mapping[str, Value], *, kind: Value) -> Iterator[Problem]:
    template = source.get("text_template")
    if not isinstance(template, str) or not template:
        return
    if kind in ROWS:
        message = f"makes the text of documents; name the columns of {kind} in the source's columns"
        yield Problem(f"{place}.text_template", message, found=shown(template))
        return
    columns = source.get("columns")
    if isinstance(columns, dict) and columns.get("text") is not None:
        message = "stands beside text_template, which makes the text; leave one of them out"
        yield Problem(f"{place}.columns.text", message, found=shown(columns["text"]))
    try:
        parsed(template)
    except TemplateError as error:
        yield Problem(f"{place}.text_template", str(error), found=shown(template))


def _record(place: str, source: Mapping[str, Value]) -> Iterator[Problem]:
    if source.get("kind") != "path":
        return
    record, is_xml = source.get("record"), source.get("format", "auto") == "xml"
    if is_xml and record is None:
        yield Problem(f"{place}.record", "is missing: format xml needs the name of the element that is one row")
    if record is not None and not is_xml:
        yield Problem(f"{place}.record", "counts only with format: xml; set that or leave it out", found=shown(record))
