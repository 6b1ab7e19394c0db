"""What text a row of a source has: a column of it, or what the source's template makes of its columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from core.config.sources import HubSource, JSONSource, ParquetSource, PathSource, Source
from core.config.text_template import Column, Part, TextTemplate, parsed
from core.data.sources.text_columns import text_column, text_of
from core.data.tally import RowError, Tally, show
from core.errors import DataError

_MOST_SHOWN = 30


@dataclass(frozen=True)
class RowText:
    """How rows become texts: by `template`, else the column `stated`, else a usual one."""

    stated: str | None = None
    template: TextTemplate | None = None

    def of(self, values: dict[str, Any], tally: Tally | None = None) -> str:
        """Return the text of a row; `tally` hears which columns of a template the row has.

        Raises: RowError where it has none, with what was expected.
        """
        if self.template is None:
            return text_of(values, self.stated)
        if tally is not None:
            for name in self.template.names():
                tally.columns_seen[name] += _found(values, name) is not None
        return filled(self.template, values)

    def columns(self, names: Sequence[str], place: str) -> list[str]:
        """Return which columns of a table have to be read.

        Raises: DataError where one that is needed is not there.
        """
        if self.template is None:
            return [text_column(names, self.stated, place)]
        wanted = {name: name if name in names else name.partition(".")[0] for name in self.template.names()}
        lacking = [name for name, column in wanted.items() if column not in names]
        if lacking:
            raise DataError(
                f"{place}: expected the columns {', '.join(map(repr, lacking))} of text_template, found "
                f"{', '.join(names) or 'no columns'}",
                hint="Name columns that are there.",
            )
        return list(dict.fromkeys(wanted.values()))


def row_text(source: Source) -> RowText:
    """Return how the rows of a source become texts."""
    match source:
        case JSONSource() | ParquetSource() | HubSource() | PathSource():
            template = None if source.text_template is None else parsed(source.text_template)
            return RowText(source.columns.text, template)
        case _:
            return RowText("text")


def filled(template: TextTemplate, values: dict[str, Any]) -> str:
    """Return the text that a template makes of a row.

    Raises: RowError where a column outside of [[ ]] is missing or empty.
    """
    texts: list[str] = []
    for piece in template.pieces:
        match piece:
            case str():
                texts.append(piece)
            case Column():
                texts.append(_required(values, piece.name))
            case Part():
                inner = [one if isinstance(one, str) else value_text(_found(values, one.name)) for one in piece.pieces]
                # A piece of text is never empty, so what is empty is a column.
                texts += inner if all(inner) else []
    return "".join(texts)


def value_text(value: object) -> str:
    """Return a value as it stands in a text: a list's values after commas, an object as JSON; "" for nothing."""
    match value:
        case None:
            return ""
        case str():
            return value.strip()
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case list() | tuple():
            return ", ".join(text for text in map(value_text, value) if text)
        case dict():
            return json.dumps(value, ensure_ascii=False, default=str) if value else ""
        case _:
            return str(value)


def _required(values: dict[str, Any], name: str) -> str:
    found = _found(values, name)
    text = value_text(found)
    if not text:
        there = ", ".join(map(show, list(values)[:_MOST_SHOWN])) or "no columns"
        words = "an empty one" if found is not None else f"the columns {there}"
        raise RowError("template", f"expected a value in {name!r} for text_template, found {words}")
    return text


def _found(values: dict[str, Any], name: str) -> Any:
    """Return the value that a name leads to; through a list to the values in each of its objects; None for none."""
    if name in values:
        return values[name]
    return _within(values, name.split("."))


def _within(value: Any, steps: Sequence[str]) -> Any:
    if not steps:
        return value
    match value:
        case dict():
            return _within(value.get(steps[0]), steps[1:])
        case list():
            found = [one for one in (_within(item, steps) for item in value) if one is not None]
            return found or None
        # An XML element that has nothing but text is that text; where others of its name have more, theirs is `text`.
        case str() if list(steps) == ["text"]:
            return value
        case _:
            return None
