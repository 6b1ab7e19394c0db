"""Documents and rows of every kind of source, with a place for messages and the bad ones counted.

`documents` yields text, `rows` yields objects, of a source or a unit of it; nothing is held but the row at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from core.config.sources import (
    CodeSource,
    Container,
    FilesSource,
    FunctionsSource,
    HubSource,
    JSONSource,
    ParquetSource,
    PathSource,
    Source,
    StandardLibrarySource,
)
from core.data.readers.hub import read_hub
from core.data.readers.lines import WHOLE, Span
from core.data.readers.opening import compression_of
from core.data.readers.parquet import row_group_spans
from core.data.readers.text_files import read_file, read_text
from core.data.readers.xml_rows import read_xml_rows
from core.data.rows import Row
from core.data.sources.code_files import code_paths, code_spans, read_code
from core.data.sources.containers import TEXT_CONTAINERS, read_container
from core.data.sources.folders import existing, files_below, files_of, library_files
from core.data.sources.functions import function_files, read_functions
from core.data.sources.json_shapes import shape_of
from core.data.sources.path_files import container_of, list_files
from core.data.sources.row_text import row_text
from core.data.tally import RowError, Tally
from core.errors import DataError, UsageError

_JSON_NAMES = [f"*.{kind}{end}" for kind in ("jsonl", "json") for end in ("", ".gz", ".bz2", ".zst")]
Choose = Callable[[Sequence[str]], list[str]]


@dataclass(frozen=True)
class Document:
    """One text and the place it came from: a file, `file:line`, `file:row n`."""

    text: str
    place: str


@dataclass(frozen=True)
class Unit:
    """A part of a source that is read on its own, so that several processes can share a source.

    `file` is "" for a dataset on the hub. From `start` up to `stop` (None: the end): bytes of a file of lines, of which
    those lines belong to the unit that begin there; row groups of a Parquet file; files of a folder of code.
    """

    source: int
    file: str
    start: int = 0
    stop: int | None = None
    bytes: int = field(default=0, compare=False)
    """About how many there are to read, 0 where nobody knows."""

    @property
    def span(self) -> Span:
        """The part of the file."""
        return Span(self.start, self.stop)


def units_of(source: Source, number: int, *, split_bytes: int | None = None) -> list[Unit]:
    """Return the units of the `number`th source, in the order of its records.

    With `split_bytes`, files in which a record can be found from the middle are cut into parts of about so many bytes:
    plain files of JSON lines or of one document a line, Parquet files, folders of code.

    Raises: UsageError where the source is not there; DataError where it is of another shape.
    """
    match source:
        case HubSource():
            return [Unit(number, "")]
        case CodeSource():
            spans = [(WHOLE, 0)] if split_bytes is None else code_spans(source, split_bytes)
            return [Unit(number, source.path, span.start, span.stop, size) for span, size in spans]
        case FunctionsSource(max_rows=int()):  # a limit that counts over all files
            return [Unit(number, source.path or "", bytes=sum(path.stat().st_size for path in source_files(source)))]
        case _:
            return [
                Unit(number, str(path), span.start, span.stop, size)
                for path in source_files(source)
                for span, size in _sized(path, _spans(source, path, split_bytes))
            ]


def documents(source: Source, tally: Tally, unit: Unit | None = None) -> Iterator[Document]:
    """Yield the documents of a source, or of one unit of it, that hold more than space; count the rest in `tally`.

    Raises: UsageError where the source is not there; DataError where it is of another shape.
    """
    texts = row_text(source)
    for row in records(source, tally, unit, choose=lambda names: texts.columns(names, tally.source)):
        tally.on_row()
        try:
            text = texts.of(row.values, tally)
            if not text.strip():
                tally.empty += 1
                continue
            size = check_text(text)
        except RowError as error:
            tally.refuse(row.place, error)
            continue
        tally.documents += 1
        tally.text_bytes += size
        yield Document(text, row.place)


def rows(source: Source, tally: Tally, unit: Unit | None = None) -> Iterator[Row]:
    """Yield the rows of a source, or of one unit of it; count what is no object in `tally`.

    Raises: UsageError where the source is not there or has no rows; DataError where it is of another shape.
    """
    match source:
        case StandardLibrarySource() | FilesSource() | CodeSource():
            raise _no_rows(tally.source, "a source of plain text")
        case PathSource():
            for path in _files(source, unit):
                if (container := container_of(source, path)) in TEXT_CONTAINERS:
                    raise _no_rows(f"{tally.source}: {path}", f"plain text ({container})")
                yield from _of_file(source, path, tally, _span(unit), list)
        case JSONSource() | ParquetSource() | HubSource() | FunctionsSource():
            yield from records(source, tally, unit)
        case _:
            assert_never(source)


def records(source: Source, tally: Tally, unit: Unit | None = None, *, choose: Choose = list) -> Iterator[Row]:
    """Yield the records of a source, or of one unit of it, of whatever kind; `choose` says which columns of a table.

    Raises: UsageError where the source is not there; DataError where it is of another shape.
    """
    match source:
        case HubSource():
            yield from read_hub(source, tally)
        case CodeSource():
            yield from read_code(source, tally, _span(unit))
        case FunctionsSource(max_rows=most):
            paths = source_files(source) if most is not None else _files(source, unit)
            yield from read_functions(paths, tally, most)
        case _:
            for path in _files(source, unit):
                yield from _of_file(source, path, tally, _span(unit), choose)


def source_files(source: Source) -> list[Path]:
    """Return the files that a source reads, in order; [] for one on the hub. Of a git repository: what names HEAD.

    Raises: UsageError where the path does not exist; DataError where no file of a folder matches.
    """
    match source:
        case StandardLibrarySource():
            return library_files(source)
        case FilesSource():
            return _some(files_of(source), source.path, source.include)
        case JSONSource():
            return _matching(source.path, _JSON_NAMES)
        case ParquetSource():
            return _matching(source.path, ["*.parquet"])
        case PathSource():
            return [file.path for file in list_files(source).known]
        case CodeSource():
            return code_paths(source)
        case FunctionsSource():
            return function_files(source)
        case HubSource():
            local = Path(source.name).expanduser()
            return files_below(local, ["*"], []) if local.is_dir() else []
        case _:
            assert_never(source)


def describe(source: Source, number: int) -> str:
    """Return how messages name the `number`th source, from 0."""
    match source:
        case StandardLibrarySource() | FunctionsSource(path=None):
            what = ""
        case HubSource():
            what = f", {source.name}"
        case FilesSource() | JSONSource() | ParquetSource() | PathSource() | CodeSource() | FunctionsSource():
            what = f", {source.path}"
        case _:
            assert_never(source)
    return f"data.sources[{number}] ({source.kind}{what})"


def check_text(text: str) -> int:
    """Return the length of text in UTF-8 bytes.

    Raises: RowError where it holds what no tokenizer can take: a NUL character or half a surrogate pair.
    """
    if "\0" in text:
        raise RowError("encoding", f"expected text, found a NUL character at {text.index(chr(0))}")
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise RowError("encoding", f"expected text, found half a surrogate pair at {error.start}") from None


def _of_file(
    source: PathSource | StandardLibrarySource | FilesSource | JSONSource | ParquetSource,
    path: Path,
    tally: Tally,
    span: Span,
    choose: Choose,
) -> Iterator[Row]:
    match source:
        case StandardLibrarySource() | FilesSource(document="file"):
            return read_file(path, tally)
        case FilesSource():
            return read_text(path, tally, source.document, span)
        case JSONSource() | ParquetSource() | PathSource():
            document, record = (source.document, source.record) if isinstance(source, PathSource) else ("file", None)
            if (container := _container(source, path)) == "xml":
                return read_xml_rows(path, record, tally)
            return read_container(path, container, tally, document=document, span=span, choose=choose)
        case _:
            assert_never(source)


def _container(source: PathSource | JSONSource | ParquetSource, path: Path) -> Container:
    match source:
        case PathSource():
            return container_of(source, path)
        case JSONSource():
            return shape_of(path)
        case ParquetSource():
            return "parquet"
        case _:
            assert_never(source)


def _spans(
    source: PathSource | FunctionsSource | StandardLibrarySource | FilesSource | JSONSource | ParquetSource,
    path: Path,
    size: int | None,
) -> list[Span]:
    if size is None or path.stat().st_size <= size:
        return [WHOLE]
    match source:
        case StandardLibrarySource() | FunctionsSource():
            return [WHOLE]
        case FilesSource():
            is_lines = source.document == "line"
        case _:
            container = _container(source, path)
            if container == "parquet":
                return row_group_spans(path, size)
            is_text = isinstance(source, PathSource) and source.document == "line"
            is_lines = container == "json_lines" or (is_text and container in ("text", "markdown"))
    if not is_lines or compression_of(path) is not None:
        return [WHOLE]
    starts = range(0, path.stat().st_size, size)
    return [Span(start, start + size if start != starts[-1] else None) for start in starts]


def _sized(path: Path, spans: list[Span]) -> list[tuple[Span, int]]:
    size = path.stat().st_size // len(spans)
    return [(span, size) for span in spans]


def _files(source: Source, unit: Unit | None) -> list[Path]:
    return source_files(source) if unit is None else [Path(unit.file)]


def _span(unit: Unit | None) -> Span:
    return WHOLE if unit is None else unit.span


def _no_rows(where: str, found: str) -> UsageError:
    return UsageError(
        f"{where}: expected rows with instructions or messages, found {found}",
        hint="Take a source of kind json, parquet, hub or functions, or a path with such rows, for instructions.",
    )


def _matching(path: str, patterns: list[str]) -> list[Path]:
    place = existing(path)
    return _some(files_below(place, patterns, []), path, patterns) if place.is_dir() else [place]


def _some(files: list[Path], path: str, patterns: list[str]) -> list[Path]:
    if not files:
        raise DataError(
            f"{path}: expected files that match {', '.join(patterns)}, found none",
            hint="Check the folder and the patterns of this source.",
        )
    return files
