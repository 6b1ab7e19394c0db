"""Objects of JSON Lines files and of JSON arrays, plain or gzipped, in constant memory."""

from __future__ import annotations

import codecs
import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

from core.data.tally import RowError, Tally
from core.errors import DataError

MAX_ROW_BYTES = 64 * 2**20
_CHUNK = 2**20
_SPACE = " \t\r\n"
_UTF8_MARK = codecs.BOM_UTF8
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_objects(path: Path, tally: Tally) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, object) for every row of a JSON Lines file or of one JSON array; bad rows go to the tally.

    A line above 64 MiB, invalid UTF-8 or JSON, a repeated key, and a row that is no object are bad rows. Inside an
    array nothing tells where the next row begins after a syntax error, so there it is an error.

    Raises: DataError for a broken array, a broken gzip file, UTF-16.
    """
    try:
        with _opened(path) as file:
            yield from _array(file, path, tally) if _opens_array(file, path) else _lines(file, path, tally)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a whole gzip file, found: {error}", hint="Get the file anew.") from error


def parse_object(text: str) -> dict[str, Any]:
    """Return the JSON object that `text` is.

    Raises: RowError for anything else.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except RecursionError:
        raise RowError("json", "expected a JSON object, found one nested too deeply to read") from None
    except ValueError as error:
        raise RowError("json", f"expected a JSON object, found: {error}") from None
    return _object(value)


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.name.endswith(".gz") else path.open("rb")


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RowError("json", f"expected a JSON object, found {type(value).__name__}")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} stands twice")
    return value


def _opens_array(file: BinaryIO, path: Path) -> bool:
    """Skip a byte order mark; say whether the first character is a bracket. Leaves the file at its text's start."""
    start = file.read(len(_UTF8_MARK))
    if start.startswith(_UTF16_MARKS):
        raise DataError(f"{path}: expected UTF-8, found UTF-16", hint="Convert the file to UTF-8.")
    offset = len(_UTF8_MARK) if start == _UTF8_MARK else 0
    file.seek(offset)
    while (character := file.read(1)) and character in b" \t\r\n":
        pass
    file.seek(offset)
    return character == b"["


def _lines(file: BinaryIO, path: Path, tally: Tally) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 0
    while line := file.readline(MAX_ROW_BYTES + 1):
        number += 1
        place = f"{path}:{number}"
        if len(line) > MAX_ROW_BYTES and not line.endswith(b"\n"):
            length = len(line)
            while (rest := file.readline(_CHUNK)) and not rest.endswith(b"\n"):
                length += len(rest)
            tally.rows += 1
            tally.refuse(place, RowError("too_long", f"expected a line of at most {MAX_ROW_BYTES} bytes, "
                                                     f"found {length + len(rest)}"))  # fmt: skip
            continue
        if not line.strip():
            continue
        tally.rows += 1
        try:
            yield place, parse_object(_decoded(line))
        except RowError as error:
            tally.refuse(place, error)


def _decoded(line: bytes) -> str:
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RowError("encoding", f"expected UTF-8, found {error.reason} at byte {error.start}") from None


def _array(file: BinaryIO, path: Path, tally: Tally) -> Iterator[tuple[str, dict[str, Any]]]:
    decoder = json.JSONDecoder(object_pairs_hook=_unique)
    text = _Text(file, path)
    text.skip("[")
    while not text.closes():
        place = f"{path}:{text.line}"
        value = text.next_value(decoder, place)
        tally.rows += 1
        try:
            yield place, _object(value)
        except RowError as error:
            tally.refuse(place, error)
        if not text.closes():
            text.skip(",")
            if text.closes():
                raise text.broken("expected a value after the comma, found the end of the array")
    text.end()


class _Text:
    """A window on the text of one JSON array."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self._path = path
        self._window = ""
        self._at = 0
        self._ended = False
        self.line = 1

    def closes(self) -> bool:
        """Skip space; say whether the array's closing bracket is next."""
        return self._peek() == "]"

    def skip(self, character: str) -> None:
        """Step over one character that must come next."""
        found = self._peek()
        if found != character:
            raise self.broken(f"expected {character!r}, found {found!r}" if found else "the array does not end")
        self._at += 1

    def end(self) -> None:
        """Step over the closing bracket, after which nothing may stand."""
        self.skip("]")
        if rest := self._peek():
            raise self.broken(f"expected nothing after the array, found {rest!r}")

    def next_value(self, decoder: json.JSONDecoder, place: str) -> object:
        """Return the value that begins here, reading as much as it needs."""
        self._peek()
        self._window, self._at = self._window[self._at :], 0
        while True:
            try:
                value, stop = decoder.raw_decode(self._window)
                # A number that ends where the window ends may go on in the file.
                if stop < len(self._window) or self._ended:
                    self.line += self._window.count("\n", 0, stop)
                    self._at = stop
                    return value
            except RecursionError:
                raise self.broken("found a value nested too deeply to read") from None
            except ValueError as error:
                if self._ended or len(self._window) > MAX_ROW_BYTES:
                    raise DataError(f"{place}: expected a JSON value in the array, found: {error}") from None
            self._read(max(_CHUNK, len(self._window)))

    def broken(self, what: str) -> DataError:
        """Return the error for text that is not the array it began as."""
        return DataError(f"{self._path}:{self.line}: {what}", hint="A file that begins with [ is read as one array.")

    def _peek(self) -> str:
        while True:
            while self._at < len(self._window):
                character = self._window[self._at]
                if character not in _SPACE:
                    return character
                self.line += character == "\n"
                self._at += 1
            if self._ended:
                return ""
            self._window, self._at = "", 0
            self._read(_CHUNK)

    def _read(self, size: int) -> None:
        data = self._file.read(size)
        self._ended = not data
        try:
            self._window += self._decoder.decode(data, final=self._ended)
        except UnicodeDecodeError as error:
            raise self.broken(f"expected UTF-8, found {error.reason}") from None
