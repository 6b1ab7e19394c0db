"""Which column of a row is its text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from core.data.tally import RowError, show
from core.errors import DataError

USUAL = "text"
ALSO_USUAL = (
    "content", "contents", "body", "article", "document", "page_content", "raw_content", "full_text", "markdown",
    "passage", "story", "code", "sentence", "maintext",
)  # fmt: skip


def text_of(values: dict[str, Any], stated: str | None) -> str:
    """Return the text of a row: of the column that is stated, or `text`, or the only one with another usual name.

    Raises: RowError where there is none, with the columns that were found.
    """
    name = stated or _found(values, [key for key, value in values.items() if isinstance(value, str)])
    if name is None or name not in values:
        raise RowError("no_text", f"expected the field {stated or USUAL!r}, found {_shown(values)}")
    text = values[name]
    if not isinstance(text, str):
        raise RowError("no_text", f"expected text in the field {name!r}, found {show(text)}")
    return text


def text_column(names: Sequence[str], stated: str | None, place: str) -> str:
    """Return the text column of a table with these columns.

    Raises: DataError where there is none.
    """
    name = stated or _found(names, names)
    if name is None or name not in names:
        raise DataError(
            f"{place}: expected a column {stated or USUAL!r}, found {', '.join(names) or 'no columns'}",
            hint="Set columns.text of this source to the column that holds the text.",
        )
    return name


def _found(names: Iterable[str], texts: Sequence[str]) -> str | None:
    """Return the column that is taken where none is stated; `texts` are those that may hold text."""
    if USUAL in names:
        return USUAL
    usual = [name for name in texts if name.lower() in ALSO_USUAL or name.lower() == USUAL]
    if len(usual) == 1:
        return usual[0]
    return texts[0] if len(list(names)) == 1 and texts else None


def _shown(values: dict[str, Any]) -> str:
    return ", ".join(map(repr, list(values)[:30])) or "no fields"
