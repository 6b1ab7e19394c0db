"""The parts of a row, under the names that a format gives them or that the configuration names instead."""

from __future__ import annotations

import json
from typing import Any

from core.data.sources.reading import check_text
from core.data.tally import RowError, show

Names = tuple[str, ...]


def names(named: str | None, *usual: str) -> Names:
    """Return where a part is looked for: the name from the configuration alone, else the usual ones in this order."""
    return (named,) if named else usual


def lookup(values: dict[str, Any], keys: Names) -> Any:
    """Return the value of the first of these keys that the row has, None where it has none.

    A name with dots also leads into objects: `answer.text`.
    """
    for key in keys:
        if key in values:
            return values[key]
        head, *rest = key.split(".")
        inner = values.get(head)
        for part in rest:
            inner = inner.get(part) if isinstance(inner, dict) else None
        if rest and inner is not None:
            return inner
    return None


def has(values: dict[str, Any], keys: Names) -> bool:
    """Return whether the row has something under one of these keys."""
    return lookup(values, keys) is not None


def shown_keys(values: dict[str, Any]) -> str:
    """Return the keys of a row as they may stand in a message."""
    return ", ".join(map(show, list(values)[:20])) or "no keys"


def required_text(values: dict[str, Any], keys: Names) -> str:
    """Return the text of a part that every row must have.

    Raises: RowError where it is not there, is no text, or is blank.
    """
    value = required(values, keys)
    where = _where(values, keys)
    if not isinstance(value, str):
        raise RowError("format", f"expected text in {where!r}, found {show(value)}")
    if not value.strip():
        raise RowError("empty_turn", f"expected text in {where!r}, found nothing")
    check_text(value)
    return value


def required(values: dict[str, Any], keys: Names) -> Any:
    """Return a part that every row must have, whatever it is.

    Raises: RowError where it is not there.
    """
    value = lookup(values, keys)
    if value is None and not any(key in values for key in keys):
        wanted = " or ".join(map(repr, keys))
        raise RowError("format", f"expected the key {wanted}, found {shown_keys(values)}")
    return value


def optional_text(values: dict[str, Any], keys: Names) -> str:
    """Return the text of a part that a row may lack; blank text is none: "".

    Raises: RowError where it is no text.
    """
    value = lookup(values, keys)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise RowError("format", f"expected text in {_where(values, keys)!r}, found {show(value)}")
    if not value.strip():
        return ""
    check_text(value)
    return value


def as_text(value: object) -> str:
    """Return text as it is, anything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _where(values: dict[str, Any], keys: Names) -> str:
    return next((key for key in keys if lookup(values, (key,)) is not None or key in values), keys[0])
