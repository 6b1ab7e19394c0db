"""One JSON value that is larger than memory, walked through a window."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from core.data.readers.lines import MAX_LINE_BYTES
from core.data.tally import RowError
from core.errors import DataError

_CHUNK = 2**20
_SPACE = re.compile(r"[ \t\r\n]*")
_NAMES = {"]": "array", "}": "object"}


class Decoder:
    """Decodes JSON and tells a repeated key, of which the standard decoder silently keeps the last."""

    def __init__(self) -> None:
        self._repeated: list[str] = []
        self._inner = json.JSONDecoder(object_pairs_hook=self._object)

    def decode(self, text: str) -> Any:
        """Return the one value that a text is.

        Raises: RowError for anything else, and for a key that stands twice in an object.
        """
        try:
            value = self._inner.decode(text)
        except RecursionError:
            self._repeated.clear()
            raise RowError("json", "expected a JSON object, found one nested too deeply to read") from None
        except json.JSONDecodeError as error:
            self._repeated.clear()
            what = error.msg.removesuffix(" at")  # some of its messages end so
            raise RowError("json", f"expected a JSON object, found: {what} at character {error.pos}") from None
        except ValueError as error:  # a number of more than 4300 digits
            self._repeated.clear()
            raise RowError("json", f"expected a JSON object, found: {error}") from None
        self.check()
        return value

    def begin(self, text: str, start: int) -> tuple[Any, int]:
        """Return the value that begins at a character of a text, and where it ends. Follow it with `check`.

        Raises: ValueError, RecursionError.
        """
        return self._inner.raw_decode(text, start)

    def check(self) -> None:
        """Raise RowError where the value decoded last has a key twice."""
        if self._repeated:
            key = self._repeated[0]
            self._repeated.clear()
            raise RowError("json", f"expected a JSON object, found: key {key!r} stands twice")

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            keys = [key for key, _ in pairs]
            self._repeated.append(next(key for key in keys if keys.count(key) > 1))
        return value


class Window:
    """A window on the text of one JSON value."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._text = codecs.getincrementaldecoder("utf-8-sig")("strict")
        self._decoder = Decoder()
        self._path = path
        self._window = ""
        self._at = 0
        self._ended = False
        self._what = "object"
        self.line = 1

    @property
    def place(self) -> str:
        """Where the window stands, as `file:line`."""
        return f"{self._path}:{self.line}"

    def peek(self) -> str:
        """Skip space and return the character that comes next; "" at the end."""
        while True:
            space = _SPACE.match(self._window, self._at)
            assert space is not None
            if space.end() > self._at:
                self.line += self._window.count("\n", self._at, space.end())
                self._at = space.end()
            if self._at < len(self._window):
                return self._window[self._at]
            if self._ended:
                return ""
            self._window, self._at = "", 0
            self._read(_CHUNK)

    def skip(self, character: str) -> None:
        """Step over one character that must come next."""
        found = self.peek()
        if found != character:
            raise self.broken(f"expected {character!r}, found {found!r}" if found else f"the {self._what} does not end")
        self._at += 1

    def end(self) -> None:
        """Make sure that nothing follows the array or object that was walked."""
        if rest := self.peek():
            raise self.broken(f"expected nothing after the {self._what}, found {rest!r}")

    def elements(self) -> Iterator[str]:
        """Yield the place of each element of the array that begins here; the caller steps over the element."""
        self._what = "array"
        self.skip("[")
        if self.peek() != "]":
            yield from self._separated("]")
        self.skip("]")

    def members(self) -> Iterator[tuple[str, str]]:
        """Yield key and place of each member of the object that begins here; the caller steps over the value."""
        self.skip("{")
        if self.peek() != "}":
            for place in self._separated("}"):
                if self.peek() != '"':
                    raise self.broken(f"expected a key in quotes, found {self.peek()!r}")
                key = self.next_value()
                self.skip(":")
                yield str(key), place
        self.skip("}")
        self._what = "object"

    def next_value(self) -> Any:
        """Return the value that begins here, reading as much as it needs.

        Raises: RowError where a key stands twice; DataError where it is no JSON, as nothing then tells where the next
        value begins.
        """
        self.peek()
        while True:
            try:
                value, stop = self._decoder.begin(self._window, self._at)
            except RecursionError:
                raise self.broken("found a value nested too deeply to read") from None
            except ValueError as error:
                if self._ended or len(self._window) - self._at > MAX_LINE_BYTES:
                    raise DataError(f"{self.place}: expected a JSON value, found: {error}") from None
            else:
                # A number that ends where the window ends may go on in the file.
                if stop < len(self._window) or self._ended:
                    self.line += self._window.count("\n", self._at, stop)
                    self._at = stop
                    self._decoder.check()
                    return value
            self._window, self._at = self._window[self._at :], 0
            self._read(max(_CHUNK, len(self._window)))

    def broken(self, what: str) -> DataError:
        """Return the error for text that is not the value it began as."""
        return DataError(f"{self.place}: {what}", hint="A file that begins with [ or { is read as one JSON value.")

    def _separated(self, closing: str) -> Iterator[str]:
        self.peek()
        yield self.place
        while self.peek() != closing:
            self.skip(",")
            if self.peek() == closing:
                raise self.broken(f"expected a value after the comma, found the end of the {_NAMES[closing]}")
            yield self.place

    def _read(self, size: int) -> None:
        data = self._file.read(size)
        self._ended = not data
        try:
            self._window += self._text.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise self.broken(f"expected UTF-8, found {error.reason}") from None
