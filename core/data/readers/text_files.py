"""Documents of text files: a file, a line, a paragraph; and HellaSwag's text form."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Literal, assert_never

from core.data.readers.lines import MAX_LINE_BYTES, WHOLE, Line, Span, lines_of, utf8
from core.data.rows import Row
from core.data.tally import RowError, Tally, show

TextUnit = Literal["file", "line", "paragraph"]

CUT_BYTES = 16 * 2**20
_TASK_LINES = 6


def read_text(path: Path, tally: Tally, document: TextUnit = "file", span: Span = WHOLE) -> Iterator[Row]:
    """Yield the documents of a text file as `text`; each line is a row of the tally.

    Text is UTF-8, with or without a byte order mark, and holds no NUL character. A line keeps its own text without
    its end; a paragraph is what stands between blank lines; line ends inside a document stay as they are. A file with
    more than 16 MiB is cut at its blank lines (or, where it has none, at line ends) into documents of about that
    size, counted as repaired. Where a line of a document is no text, all lines of the document are bad rows.

    Raises: DataError where the file cannot be read or decompressed.
    """
    match document:
        case "file":
            yield from _pieces(path, tally)
        case "line":
            for place, line in _lines(path, span, tally):
                yield Row({"text": line.rstrip("\r\n")}, place)
        case "paragraph":
            yield from _paragraphs(path, tally)
        case _:
            assert_never(document)


def read_file(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield a text file as one document, which is one row of the tally; a long one is cut, see `read_text`.

    Raises: DataError where the file cannot be read or decompressed.
    """
    yield from _pieces(path, tally, whole=True)


def read_hellaswag_text(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield the tasks of HellaSwag's text form, of six lines each: label: context, index of the right ending, endings.

    Columns as in its JSON form: activity_label, ctx, label, endings.

    Raises: DataError where the file cannot be read or decompressed.
    """
    with lines_of(path) as lines:
        while task := list(islice(lines, _TASK_LINES)):
            if len(task) < _TASK_LINES and not any(line.data and line.data.strip() for line in task):
                return
            tally.rows += 1
            try:
                yield Row(_task([line.text().rstrip("\r\n") for line in task]), task[0].place)
            except RowError as error:
                tally.refuse(task[0].place, error)


def _task(lines: list[str]) -> dict[str, object]:
    if len(lines) < _TASK_LINES:
        raise RowError("hellaswag", f"expected {_TASK_LINES} lines a task, found {len(lines)} at the end of the file")
    label, colon, context = lines[0].partition(": ")
    if not colon:
        raise RowError("hellaswag", f"expected `label: context`, found {show(lines[0])}")
    if lines[1].strip() not in ("0", "1", "2", "3"):
        raise RowError("hellaswag", f"expected the index of the right ending from 0 to 3, found {show(lines[1])}")
    return {"activity_label": label, "ctx": context, "label": int(lines[1]), "endings": lines[2:]}


def _pieces(path: Path, tally: Tally, *, whole: bool = False) -> Iterator[Row]:
    """Yield a file in documents of a bounded size; `whole`: each of them is one row, rather than each of its lines."""
    held = _Piece(str(path), 0)
    count = 0
    with lines_of(path) as lines:
        for line in lines:
            if held.size >= 2 * CUT_BYTES or (held.size >= CUT_BYTES and line.data is not None and line.data.isspace()):
                yield from held.row(tally, whole)
                count += 1
                held = _Piece(line.place, line.offset)
            held.add(line)
    if held.lines or whole:
        yield from held.row(tally, whole)
    tally.repaired["cut"] += count


class _Piece:
    """Lines that make one document."""

    def __init__(self, place: str, offset: int) -> None:
        self.size = 0
        self.lines = 0
        self._place = place
        self._offset = offset
        self._data: list[bytes] = []
        self._error: RowError | None = None

    def add(self, line: Line) -> None:
        self.lines += 1
        if line.data is None:
            self._error = self._error or _too_long(line)
            return
        self.size += len(line.data)
        self._data.append(line.data)

    def row(self, tally: Tally, whole: bool) -> Iterator[Row]:
        count = 1 if whole else self.lines
        tally.rows += count
        try:
            if self._error is not None:
                raise self._error
            row = Row({"text": _text(b"".join(self._data), self._offset)}, self._place)
        except RowError as error:
            tally.refuse(self._place, error, rows=count)
            return
        self._data.clear()
        yield row


def _lines(path: Path, span: Span, tally: Tally) -> Iterator[tuple[str, str]]:
    with lines_of(path, span) as lines:
        for line in lines:
            tally.rows += 1
            try:
                if line.data is None:
                    raise _too_long(line)
                text = _text(line.data, line.offset)
            except RowError as error:
                tally.refuse(line.place, error)
                continue
            yield line.place, text


def _paragraphs(path: Path, tally: Tally) -> Iterator[Row]:
    held: list[str] = []
    start = ""
    for place, line in _lines(path, WHOLE, tally):
        if line.strip():
            start = start if held else place
            held.append(line)
        elif held:
            yield Row({"text": "".join(held).rstrip("\r\n")}, start)
            held = []
    if held:
        yield Row({"text": "".join(held).rstrip("\r\n")}, start)


def _text(data: bytes, offset: int) -> str:
    text = utf8(data, offset)
    if "\0" in text:
        raise RowError("encoding", f"expected text, found a NUL character at {text.index(chr(0))}")
    return text


def _too_long(line: Line) -> RowError:
    return RowError(
        "too_long", f"expected a line of at most {MAX_LINE_BYTES} bytes, found {line.length} at {line.place}"
    )
