"""The records of a large XML file, one element at a time, in constant memory.

Nothing outside the file is ever read: a document type declaration is passed over, entities of its own are refused, and
so is nesting that no real file has. After a record that is broken, reading goes on with the next one.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.entities import html5
from pathlib import Path
from typing import cast
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from core.data.readers.opening import opened
from core.data.tally import RowError, Tally
from core.errors import DataError

MAX_RECORD_BYTES = 64 * 2**20
MAX_DEPTH = 200
_CHUNK_BYTES = 2**18
_ELEMENT_BYTES = 100  # what an element costs besides its text, about


@dataclass(frozen=True)
class XMLRecord:
    """One element, without the namespace prefixes of names; the attributes of the file's root; where it begins."""

    element: Element
    root: dict[str, str]
    place: str


def xml_records(path: Path, names: frozenset[str], tally: Tally) -> Iterator[XMLRecord]:
    """Yield the elements that have one of `names`, outermost ones only.

    Rows are counted by who reads the elements, but for those that cannot be read: they are counted here, as rows and
    as bad ones, with the byte of the (decompressed) file at which they begin or break.
    """
    splitter = _Splitter(path, names)
    for chunk in _chunks(path):
        if isinstance(chunk, DataError):
            tally.rows += 1
            tally.refuse(splitter.place(), RowError("damaged", chunk.message))
            return
        yield from _fed(splitter, chunk, tally)
    yield from _fed(splitter, b"", tally)


def text_of(element: Element | None) -> str:
    """Return all text in an element, with runs of white space as one space; "" for None."""
    return "" if element is None else " ".join("".join(element.itertext()).split())


def paragraphs_of(element: Element | None) -> str:
    """Return all text in an element with its paragraphs, without the white space that layout put around lines."""
    if element is None:
        return ""
    lines = (re.sub(r"[ \t\xa0]+", " ", line).strip() for line in "".join(element.itertext()).splitlines())
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _chunks(path: Path) -> Iterator[bytes | DataError]:
    """Yield a file's bytes, and what is wrong with it where it breaks."""
    try:
        with opened(path) as stream:
            while chunk := cast(io.BufferedReader, stream).read1(_CHUNK_BYTES):
                yield chunk
    except DataError as error:
        yield error


def _fed(splitter: _Splitter, chunk: bytes, tally: Tally) -> Iterator[XMLRecord]:
    """Give bytes (none: the end) to a splitter, again after each broken record that it finds in them."""
    ends = not chunk
    while chunk or ends:
        try:
            splitter.feed(chunk, ends)
            chunk, ends = b"", False
        except _Broken as broken:
            yield from splitter.taken()
            if broken.error is not None:
                tally.rows += 1
                tally.refuse(splitter.place(broken.at), broken.error)
            chunk = broken.rest
            ends = ends and bool(chunk)
            splitter.begin_anew()
        yield from splitter.taken()


class _Broken(Exception):
    def __init__(self, at: int, error: RowError | None, rest: bytes) -> None:
        super().__init__()
        self.at = at
        self.error = error
        self.rest = rest


@dataclass
class _Splitter:
    path: Path
    names: frozenset[str]
    _root: dict[str, str] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)  # elements around the records
    _ready: list[XMLRecord] = field(default_factory=list)
    _builder: TreeBuilder | None = None
    _encoding: str | None = None
    _depth: int = 0  # inside the record
    _size: int = 0
    _start: int = 0
    _read: int = 0  # bytes of the file
    _base: int = 0  # where in the file the parser's byte 0 would be
    _searching: bool = False
    _tail: bytes = b""
    _raised_at: int = 0
    _around_is_guessed: bool = False

    def __post_init__(self) -> None:
        self._parser = self._new_parser()
        self._next_record = re.compile(rb"<(?:\w+:)?(?:" + "|".join(sorted(self.names)).encode() + rb")[\s>]")

    def place(self, at: int | None = None) -> str:
        """Return how messages name a byte; without one, the record at hand or else where the reading is."""
        if at is None:
            at = self._start if self._builder is not None else self._read
        return f"{self.path}:byte {at}"

    def taken(self) -> list[XMLRecord]:
        """Return the records that are complete since last asked."""
        ready, self._ready = self._ready, []
        return ready

    def begin_anew(self) -> None:
        """Leave the record at hand, and pass over what comes until another one begins."""
        self._builder, self._depth, self._searching, self._tail = None, 0, True, b""

    def feed(self, chunk: bytes, ends: bool) -> None:
        """Read on. Raises: _Broken, with what of `chunk` is not read yet."""
        chunk = self._found(chunk) if self._searching else chunk
        if self._searching:
            return
        before = self._read
        self._read += len(chunk)
        try:
            self._parser.Parse(chunk, ends)
            if self._read - self._base - self._parser.CurrentByteIndex > MAX_RECORD_BYTES:
                raise self._refusal("too_long", f"expected XML, found no end of one tag in {MAX_RECORD_BYTES} bytes")
        except (expat.ExpatError, RowError) as error:
            # After an exception in a handler the parser reads to the end of the chunk all the same.
            at = self._raised_at if isinstance(error, RowError) else self._base + self._parser.CurrentByteIndex
            rest = chunk[max(at + 1 - before, 0) :]
            self._read -= len(rest)
            raise _Broken(at, self._explained(error, ends), rest) from None

    def _explained(self, error: expat.ExpatError | RowError, ends: bool) -> RowError | None:
        if isinstance(error, RowError):
            return error
        if self._builder is None and self._around_is_guessed:
            return None  # the end of an element around the records whose beginning was lost, and counted then
        where = f" in the record that begins at byte {self._start}" if self._builder is not None else ""
        if ends:
            return RowError("truncated", f"expected the end of the XML{where}, found the end of the file")
        return RowError("xml", f"expected well-formed XML{where}, found: {expat.ErrorString(error.code)}")

    def _found(self, chunk: bytes) -> bytes:
        """Return what is to be parsed: from where a record begins on; nothing where none does."""
        data = self._tail + chunk
        found = self._next_record.search(data)
        self._read += len(chunk)
        if found is None:
            self._tail = data[-64:]
            return b""
        rest = data[found.start() :]
        self._read -= len(rest)
        self._searching, self._tail = False, b""
        around, self._open = self._open, []
        self._around_is_guessed = not around
        self._parser = self._new_parser()
        # The document type makes named entities something to pass over instead of an error.
        opening = "<!DOCTYPE a SYSTEM 'a'>" + "".join(f"<{name}>" for name in around or ["a"])
        root = self._root
        self._parser.Parse(opening.encode(self._encoding or "utf-8"), False)
        self._root = root
        self._base = self._read - len(opening)
        return rest

    def _new_parser(self) -> expat.XMLParserType:
        parser = expat.ParserCreate(self._encoding)
        parser.buffer_text = True
        parser.buffer_size = _CHUNK_BYTES
        parser.XmlDeclHandler = self._declared
        parser.StartElementHandler = self._started
        parser.EndElementHandler = self._ended
        parser.CharacterDataHandler = self._text
        parser.EntityDeclHandler = self._entity
        parser.SkippedEntityHandler = self._named
        return parser

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        self._encoding = encoding

    def _entity(self, name: str, *rest: object) -> None:
        raise self._refusal("xml", f"expected no entities of the file's own, found a declaration of {name[:40]!r}")

    def _named(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            self._text(html5.get(f"{name};", ""))

    def _started(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if self._builder is None:
            if not self._open and not self._root:
                self._root = attributes
            if name not in self.names:
                self._open.append(name)
                if len(self._open) > MAX_DEPTH:
                    self._open.clear()
                    raise self._too_deep()
                return
            self._builder, self._size = TreeBuilder(), 0
            self._start = self._base + self._parser.CurrentByteIndex
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self._too_deep()
        self._builder.start(name, attributes)
        self._grow(_ELEMENT_BYTES + sum(map(len, attributes.values())))

    def _ended(self, name: str) -> None:
        if self._builder is None:
            self._open.pop()
            return
        self._builder.end(name.rpartition(":")[2])
        self._depth -= 1
        if not self._depth:
            element, self._builder = self._builder.close(), None
            self._ready.append(XMLRecord(element, self._root, f"{self.path}:byte {self._start}"))

    def _text(self, text: str) -> None:
        if self._builder is not None:
            self._grow(len(text))
            self._builder.data(text)

    def _grow(self, size: int) -> None:
        self._size += size
        if self._size > MAX_RECORD_BYTES:
            raise self._refusal(
                "too_long", f"expected a record of at most {MAX_RECORD_BYTES} bytes, found a longer one"
            )

    def _too_deep(self) -> RowError:
        return self._refusal("too_deep", f"expected at most {MAX_DEPTH} elements inside one another, found more")

    def _refusal(self, code: str, message: str) -> RowError:
        self._raised_at = self._base + self._parser.CurrentByteIndex
        return RowError(code, message)
