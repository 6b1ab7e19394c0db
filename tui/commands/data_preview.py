"""`data preview`: rows as they come out of a preset's sources or of a path."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.data.preview import COLUMNS, Preview
from core.data.preview import preview as preview_of
from core.data.subject import columns_from, find_subject
from core.errors import UsageError
from tui.commands.context import Context
from tui.commands.display import write
from tui.commands.output import folded, shown
from tui.services.safe_text import safe_lines

CHARACTERS = 1_200
"""Of each text, on a terminal and in lines; --json has them whole."""
LINES = 12
MOST_ROWS = 10_000
_ERRORS = 5
_ROLES = {"system": "system", "user": "user", "assistant": "answer"}
_INDENT = "  "


@dataclass(frozen=True)
class Window:
    """Which rows to show, and what a path's rows look like."""

    start: int = 0
    rows: int = 5
    shape: str = "auto"
    columns: tuple[str, ...] = ()

    def check(self) -> None:
        """Raise UsageError for numbers that cannot be meant."""
        if self.start < 0:
            raise UsageError(f"--start {self.start}", hint="Rows are counted from 0.")
        if not 1 <= self.rows <= MOST_ROWS:
            raise UsageError(f"--rows {self.rows}", hint=f"From 1 to {MOST_ROWS:,}.")


def preview(text: str, window: Window, context: Context, *, as_json: bool) -> int:
    """Print rows, one object a line with --json, and say on the other stream what was read and what was bad.

    Raises: UsageError where there is neither preset nor path; DataError where the data cannot be used.
    """
    window.check()
    subject = find_subject(text, context.home, Path.cwd(), shape=window.shape, columns=columns_from(window.columns))
    seed = {} if subject.seed is None else {"seed": subject.seed}
    found = preview_of(subject.data, start=window.start, count=window.rows, **seed)
    for row in found.rows:
        values = row.as_json()
        if as_json:
            write(context, f"{json.dumps({**values, 'format': found.formats[row.source]})}\n")
        else:
            write(context, "".join(f"{line}\n" for line in _row_lines(values, found, context)))
    _tell(found, context)
    return 0


def _row_lines(values: dict[str, Any], found: Preview, context: Context) -> Iterator[str]:
    head = f"row {values['number']:,}  {found.formats[values['source']]}  {values['place']}"
    yield _bold(shown(head), context)
    if values["kind"] == "document":
        yield from _text_lines(values, _INDENT)
    for turn in values.get("turns", ()):
        yield from _turn_lines(_ROLES[turn["role"]], turn, context)
    for side in ("chosen", "rejected"):
        for turn in values.get(side, ()):
            yield from _turn_lines(f"{side}: {_ROLES[turn['role']]}", turn, context)
    for name, text in values.get("values", {}).items():
        yield f"{_INDENT}{_bold(shown(name), context)}"
        yield from _text_lines({"text": text, "characters": len(text)}, _INDENT * 2)
    if "answer" in values:
        yield f"{_INDENT}{_bold('the answer that comes with it', context)}"
        yield from _text_lines(values["answer"], _INDENT * 2)
    if "label" in values:
        yield f"{_INDENT}{_bold('judged good' if values['label'] else 'judged bad', context)}"
    yield ""


def _turn_lines(name: str, turn: dict[str, Any], context: Context) -> Iterator[str]:
    is_left_out = name == "answer" and not turn["supervised"]
    yield f"{_INDENT}{_bold(name, context)}{' (the loss does not count it)' if is_left_out else ''}"
    yield from _text_lines(turn, _INDENT * 2)
    if "input" in turn:
        yield f"{_INDENT}{_bold('input', context)}"
        yield from _text_lines(turn["input"], _INDENT * 2)


def _text_lines(values: dict[str, Any], indent: str) -> Iterator[str]:
    text, width = values["text"][:CHARACTERS], max(20, shutil.get_terminal_size().columns - len(indent) - 1)
    lines = [line for part in safe_lines(text) for line in folded(part.text, width)]
    for line in lines[:LINES]:
        yield f"{indent}{line}".rstrip()
    if len(lines) > LINES or len(text) < values["characters"]:
        yield f"{indent}... {values['characters']:,} characters in all"


def _tell(found: Preview, context: Context) -> None:
    if not found.rows:
        context.say(f"There are {found.total or 0:,} rows.")
    errors = [error for tally in found.tallies for error in tally.errors]
    for error in errors[:_ERRORS]:
        context.say(f"! {shown(error)}")
    if COLUMNS in found.formats:
        context.say("Nobody knows what these columns say: name them, such as --column text=NAME, or "
                    "--column prompt=NAME --column response=NAME.")  # fmt: skip
    if bad := found.bad_rows:
        context.say(f"{bad:,} bad row(s) so far.")
    for name, count in found.as_json(0)["repaired"].items():
        context.say(f"{count:,} row(s) repaired so far: {shown(name.replace('_', ' '))}")


def _bold(text: str, context: Context) -> str:
    return f"\x1b[1m{text}\x1b[m" if context.colours else text
