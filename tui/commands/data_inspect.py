"""`data inspect`: what a file or a folder is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from core.config.data import RowFormat
from core.data.inspection import Inspection
from core.data.inspection import inspect as inspection_of
from core.errors import UsageError
from tui.commands.context import Context
from tui.commands.display import write
from tui.commands.output import clip, fitted, folded, shown, table
from tui.services.safe_text import size_words

_FILES = 30
_COLUMNS = 60
_NAME_CELLS = 40


def inspect(path: str, limit: int | None, context: Context, *, as_json: bool) -> int:
    """Print what is at a path; `limit` looks at so many rows of each file only.

    Raises: UsageError where nothing is there; DataError where it is no data set, or breaks off.
    """
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}", hint="At least 1.")
    if not path:
        raise UsageError("the path is empty", hint="Name a file or a folder.")
    found = inspection_of(Path(path).expanduser(), limit=limit)
    if as_json:
        write(context, f"{json.dumps({**found.as_json(), 'complete': found.is_complete})}\n")
    else:
        write(context, "".join(f"{line}\n" for line in _lines(found, shutil.get_terminal_size().columns)))
    formats = {file.format for file in found.files if file.documents}
    if len(formats) > 1 and formats & set(get_args(RowFormat)):
        context.say("A source is read as one format: name these files, or patterns of them, as sources of their own.")
    return 0


def _lines(found: Inspection, columns: int) -> Iterator[str]:
    for name, text in _facts(found):
        yield f"{name:<12}{shown(text)}"
    if found.columns:
        yield ""
        rows = [
            (_cut(column.name), " or ".join(sorted(column.kinds)), f"{column.rows:,}", column.example.strip())
            for column in found.columns[:_COLUMNS]
        ]
        yield from fitted(table(("column", "type", "rows", "for example"), rows, right=frozenset({2})), columns - 1)
        yield from _more(len(found.columns), _COLUMNS, "columns")
    if len(found.files) > 1:
        yield ""
        files = [
            (file.format, f"{file.rows:,}", f"{file.bad_rows:,}", _count(file.documents), size_words(file.bytes),
             _below(file.path, found.source))
            for file in found.files[:_FILES]
        ]  # fmt: skip
        head = ("format", "rows", "bad", "documents", "size", "file")
        yield from fitted(table(head, files, right=frozenset({1, 2, 3, 4})), columns - 1)
        yield from _more(len(found.files), _FILES, "files")
    if found.left_out:
        yield ""
        left_out = [(_below(one.what, found.source), one.reason) for one in found.left_out[:_FILES]]
        yield from fitted(table(("left out", "why"), left_out), columns - 1)
        yield from _more(len(found.left_out), _FILES, "more")
    if found.errors:
        yield ""
        for error in found.errors:
            first, *rest = folded(shown(error), columns - 3)
            yield f"! {first}"
            yield from (f"  {line}" for line in rest)
        bad = found.bad_rows + found.unusable_rows
        yield from _more(bad, len(found.errors), "rows with an error")


def _facts(found: Inspection) -> Iterator[tuple[str, str]]:
    yield "source", found.source
    yield "format", found.format if found.format == found.container else f"{found.format} ({found.container})"
    begin = "" if found.is_complete else " looked at, there are more"
    yield "rows", f"{found.rows:,}{begin}"
    yield "bad rows", f"{found.bad_rows:,}"
    if found.unusable_rows:
        yield "unusable", f"{found.unusable_rows:,} rows lack what their format needs"
    if found.empty:
        yield "empty", f"{found.empty:,}"
    yield "documents", _count(found.documents)
    if found.repaired:
        yield "repaired", ", ".join(f"{name.replace('_', ' ')}: {count:,}" for name, count in found.repaired.items())
    yield "size", f"{size_words(found.bytes)} in {len(found.files):,} file{'s' * (len(found.files) != 1)}"


def _count(value: int | None) -> str:
    return "?" if value is None else f"{value:,}"


def _cut(text: str) -> str:
    part = clip(shown(text), _NAME_CELLS)
    return part if part == shown(text) else f"{part}…"


def _below(path: str, root: str) -> str:
    return path.removeprefix(f"{root.rstrip('/')}/")


def _more(count: int, shown_count: int, what: str) -> Iterator[str]:
    if count > shown_count:
        yield f"... {count:,} {what} in all"
