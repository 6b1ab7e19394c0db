"""Answers that stay below the longest line: long texts and long lists are cut, and how much there was is told."""

from __future__ import annotations

import json
from typing import Any

from core.queries.question import LONGEST_LINE

TEXT_CHARACTERS = 20_000
ITEMS = 20_000
_ROOM = 4096
"""Bytes for what the process adds to an answer."""
_LEAST = (16, 2)


def bounded(answer: dict[str, Any], *, most: int = LONGEST_LINE - _ROOM) -> dict[str, Any]:
    """Return `answer` so that its JSON takes at most about `most` bytes.

    A text or a list in the field x of an object that was cut has x_characters or x_in_all beside it, how long it was.
    A text that was cut in a list ends with how long it was.
    """
    characters, items = TEXT_CHARACTERS, ITEMS
    while (characters, items) != _LEAST:
        try:
            return _Copy(characters, items, most).object(answer)
        except _TooLargeError:
            # Many short texts are cut by number, few long ones by length: both shrink until it fits.
            characters, items = max(_LEAST[0], characters * 3 // 4), max(_LEAST[1], items * 3 // 4)
    return _Copy(*_LEAST, most=1 << 60).object(answer)


class _TooLargeError(Exception):
    pass


class _Copy:
    """Copies JSON values, and gives up as soon as the copy is too large, so that the work is bounded too."""

    def __init__(self, characters: int, items: int, most: int) -> None:
        self._characters = characters
        self._items = items
        self._left = most

    def object(self, values: dict[str, Any]) -> dict[str, Any]:
        self._spend(4)
        result: dict[str, Any] = {}
        for number, (name, value) in enumerate(values.items()):
            if number >= self._items:
                result["fields_in_all"] = self._scalar(len(values))
                break
            key = self._scalar(name[: self._characters])
            match value:
                case str() if len(value) > self._characters:
                    result[key] = self._scalar(value[: self._characters])
                    result[self._scalar(f"{key}_characters")] = self._scalar(len(value))
                case list() if len(value) > self._items:
                    result[key] = self._value(value)
                    result[self._scalar(f"{key}_in_all")] = self._scalar(len(value))
                case _:
                    result[key] = self._value(value)
        return result

    def _value(self, value: Any) -> Any:
        match value:
            case dict():
                return self.object(value)
            case list():
                self._spend(4)
                return [self._value(one) for one in value[: self._items]]
            case str() if len(value) > self._characters:
                return self._scalar(f"{value[: self._characters]} … {len(value):,} characters in all")
            case _:
                return self._scalar(value)

    def _scalar(self, value: Any) -> Any:
        self._spend(len(json.dumps(value)) + 4)
        return value

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise _TooLargeError
