"""Which of the ways to write records as JSON a file has: a value a line, an array, an object of records, SQuAD."""

from __future__ import annotations

import codecs
import json
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import Literal

from core.data.readers.json_window import Window
from core.data.readers.lines import MAX_LINE_BYTES
from core.data.readers.opening import chunks_of, head_of, logical_name
from core.data.sources import signs
from core.data.tally import RowError, show
from core.errors import DataError

Shape = Literal["json_lines", "json_array", "json_object", "squad"]

_HEAD_BYTES = 64 * 2**10
_CHUNK = 2**20
_MOST_MEMBERS = 50
# Keys under which people keep the list of their records.
_LISTS = frozenset({
    "data", "rows", "records", "examples", "items", "instances", "samples", "questions", "train", "test", "validation",
    "valid", "dev", "dataset",
})  # fmt: skip


def json_shape(path: Path, head: bytes) -> Shape:
    """Return how a JSON file that begins with `head` has its records.

    Raises: DataError where it has none, or is a registry of data sets.
    """
    text = head.decode("utf-8", "replace").removeprefix("\ufeff").lstrip()
    name = logical_name(path).lower()
    first, _, _ = text.partition("\n")
    if text.startswith("["):
        return "json_lines" if name.endswith("l") and _is_whole(first) and _second_line(path) else "json_array"
    if not text.startswith("{"):
        return "json_lines"
    follows = "" if first.strip() == "{" else _second_line(path)
    if follows == "{" or (name.endswith("l") and first.strip() != "{") or (follows and is_object(first)):
        return "json_lines"
    if signs.is_registry(text) or name == "dataset_info.json":
        raise _no_records(path, "a registry, which names data sets", "Point at a file that it names.")
    return _of_object(path, head, text, alone=not follows and first.strip() != "{")


def shape_of(path: Path) -> Shape:
    """Return how a file that is known to be JSON has its records.

    Raises: DataError as `json_shape`, where it is UTF-16, and where it cannot be read or decompressed.
    """
    head = head_of(path, _HEAD_BYTES)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DataError(f"{path}: expected UTF-8, found UTF-16", hint="Convert the file to UTF-8.")
    return json_shape(path, head)


def _of_object(path: Path, head: bytes, text: str, *, alone: bool) -> Shape:
    """Return the shape of a file that is one object; `alone`: all of it stands on one line."""
    if signs.is_squad(text):
        return "squad"
    kinds = _members(path, head)
    is_list = any(kind == "[" and key.lower() in _LISTS for key, kind in kinds.items())
    if is_list or (kinds and set(kinds.values()) == {"{"}):
        return "json_object"
    if alone or (not kinds and logical_name(path).lower().endswith("l")):
        return "json_lines"
    shown = ", ".join(map(show, list(kinds)[:10])) or "none that can be read"
    raise _no_records(path, f"one JSON object with the keys: {shown}", "Write one record a line, or a list of records.")


def _members(path: Path, head: bytes) -> dict[str, str]:
    """Return the first keys of the object that a file begins with, each with the first character of its value."""
    window = Window(BytesIO(head), path)
    kinds: dict[str, str] = {}
    try:
        for key, _ in window.members():
            kinds[key] = window.peek()
            if len(kinds) == _MOST_MEMBERS:
                break
            window.next_value()
    except (DataError, RowError):  # the object goes on beyond the head, or is broken: its reader will say so
        pass
    return kinds


def is_object(line: str) -> bool:
    """Whether a line is one JSON object."""
    return line.lstrip().startswith("{") and _is_whole(line)


def _is_whole(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _second_line(path: Path) -> str:
    """Return the first character that stands after the first line, "" where there is none."""
    looked_at = 0
    after_line = False
    with suppress(DataError):  # it breaks off here: its reader will say so
        for chunk in chunks_of(path, _CHUNK):
            rest = chunk.removeprefix(codecs.BOM_UTF8).lstrip() if not looked_at else chunk
            looked_at += len(chunk)
            if not after_line:
                _, newline, rest = rest.partition(b"\n")
                after_line = bool(newline)
            if after_line and (rest := rest.lstrip()):
                return rest[:1].decode("latin-1")
            if looked_at > MAX_LINE_BYTES:
                break
    return ""


def _no_records(path: Path, found: str, hint: str) -> DataError:
    return DataError(f"{path}: expected a data set, found {found}", hint=hint)
