"""Values out of JSON that somebody else wrote: what is missing or of another kind counts as unknown. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def text_of(values: object, name: str) -> str:
    """Return a text of a mapping, or "" where there is none."""
    found = values.get(name) if isinstance(values, Mapping) else None
    return found if isinstance(found, str) else ""


def whole_of(values: object, name: str) -> int | None:
    """Return a whole number of a mapping, or None."""
    found = values.get(name) if isinstance(values, Mapping) else None
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def number_of(values: object, name: str) -> float | None:
    """Return a number of a mapping, or None."""
    found = values.get(name) if isinstance(values, Mapping) else None
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def list_of(values: object, name: str) -> list[Any]:
    """Return a list of a mapping, or []."""
    found = values.get(name) if isinstance(values, Mapping) else None
    return found if isinstance(found, list) else []


def maps(values: list[Any]) -> list[Json]:
    """Return the mappings among the values."""
    return [value for value in values if isinstance(value, Mapping)]


def counts_of(values: object, name: str) -> tuple[tuple[str, int], ...]:
    """Return the counts of a mapping in a mapping, as pairs of name and count."""
    found = values.get(name) if isinstance(values, Mapping) else None
    pairs = found.items() if isinstance(found, Mapping) else ()
    return tuple((str(rule), count) for rule, count in pairs if isinstance(count, int))


def error_words(value: object) -> str:
    """Return what is wrong in words: an error that is a text, or an object with a message and perhaps a place."""
    if not isinstance(value, Mapping):
        return str(value)
    place = text_of(value, "place")
    return f"{place}: {text_of(value, 'message')}" if place else text_of(value, "message")


def shown(value: object) -> str:
    """Return a text as it is, and anything else as Python writes it."""
    return value if isinstance(value, str) else repr(value)
