"""Which format the rows of a source have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from core.config.data import RowFormat
from core.config.sources import Columns
from core.data.formats.columns import has, lookup, names
from core.data.formats.multiple_choice import is_multiple_choice
from core.data.formats.openassistant import PARENTS
from core.data.formats.pairs import PROMPT, RESPONSE, PairFormat
from core.data.formats.preferences import CHOSEN, REJECTED
from core.data.formats.transcripts import is_transcript
from core.data.rows import Row
from core.data.tally import show
from core.errors import DataError

Values = dict[str, Any]


def detect(rows: Sequence[Row], columns: Columns, source: str) -> RowFormat:
    """Return the format that most of the first rows of a source have.

    Raises: DataError where it is none of those that are known, with the keys that were found.
    """
    if shape := recognised(rows, columns):
        return shape
    keys = sorted({key for row in rows for key in row.values})
    shown = ", ".join(map(show, keys[:30])) + (f" and {len(keys) - 30} more" if len(keys) > 30 else "")
    raise DataError(
        f"{source}: expected rows of a known format, such as instruction and output, messages, conversations, prompt "
        f"and completion, question and answer, question and options, or chosen and rejected; found in the first "
        f"{'row' if len(rows) == 1 else f'{len(rows)} rows'}: {shown or 'no keys'}",
        hint="Name the columns in the source's `columns` (prompt and response at least), or set data.format to see "
        "row by row what is missing.",
    )


def recognised(rows: Sequence[Row], columns: Columns) -> RowFormat | None:
    """Return the format that more than half of the rows have, None where there is none."""
    for shape, fits in _FITS:
        if 2 * sum(fits(row.values, columns) for row in rows) > len(rows):
            return shape
    return None


def _is_judged(values: Values, columns: Columns) -> bool:
    label = lookup(values, names(columns.label, "label"))
    if not isinstance(label, bool) and not (columns.label and label in (0, 1)):
        return False
    return (
        _is_messages(values, columns) or _is_sharegpt(values, columns) or _is_pair("prompt_completion")(values, columns)
    )


def _is_transcript_pair(values: Values, columns: Columns) -> bool:
    chosen, rejected = _sides(values, columns)
    return is_transcript(chosen) and is_transcript(rejected) and not has(values, names(columns.prompt, "prompt"))


def _is_preference(values: Values, columns: Columns) -> bool:
    return all(isinstance(side, str | list | dict) for side in _sides(values, columns))


def _sides(values: Values, columns: Columns) -> tuple[Any, Any]:
    return lookup(values, names(columns.chosen, *CHOSEN)), lookup(values, names(columns.rejected, *REJECTED))


def _is_tree(values: Values, _: Columns) -> bool:
    root = values["prompt"] if isinstance(values.get("prompt"), dict) else values
    return isinstance(root.get("replies"), list) and isinstance(root.get("text"), str) and "role" in root


def _is_flat(values: Values, _: Columns) -> bool:
    return any(key in values for key in PARENTS) and isinstance(values.get("text"), str) and "role" in values


def _is_messages(values: Values, columns: Columns) -> bool:
    return isinstance(lookup(values, names(columns.messages, "messages")), list)


def _is_sharegpt(values: Values, _: Columns) -> bool:
    return any(isinstance(values.get(key), list) for key in ("conversations", "conversation"))


def _is_ranked(values: Values, columns: Columns) -> bool:
    answers = lookup(values, names(columns.response, "output", "responses"))
    asked = names(columns.prompt, "instruction", "prompt", "question")
    return isinstance(answers, list) and all(isinstance(one, str) for one in answers) and has(values, asked)


def _is_mapped(values: Values, columns: Columns) -> bool:
    """Whether the configuration names both sides: then nothing else of the row is looked at."""
    if not columns.prompt or not columns.response or columns.messages or columns.chosen or columns.label:
        return False
    answer = lookup(values, (columns.response,))
    several = isinstance(answer, list) and all(isinstance(one, str) for one in answer)
    return has(values, (columns.prompt,)) and answer is not None and not several


def _is_pair(shape: PairFormat) -> Callable[[Values, Columns], bool]:
    def fits(values: Values, columns: Columns) -> bool:
        asked, answers = names(columns.prompt, *PROMPT[shape]), names(columns.response, *RESPONSE[shape])
        if shape == "alpaca" and "context" in values and not any(key in values for key in ("output", "instances")):
            return False  # Dolly's rows, whose input has another name
        if shape == "alpaca" and isinstance(values.get("instances"), list):
            return has(values, asked)
        if shape == "question_answer" and lookup(values, asked) is values.get("text") and not columns.prompt:
            return "test_list" in values and "code" in values  # MBPP; any document has a text
        return has(values, asked) and any(key in values or lookup(values, (key,)) is not None for key in answers)

    return fits


def _is_prompts(values: Values, columns: Columns) -> bool:
    turns = values.get("turns")
    several = isinstance(turns, list) and bool(turns) and all(isinstance(turn, str) for turn in turns)
    return not columns.response and (several or has(values, names(columns.prompt, "prompt", "instruction")))


_FITS: tuple[tuple[RowFormat, Callable[[Values, Columns], bool]], ...] = (
    ("prompt_completion", _is_mapped),
    ("judged", _is_judged),
    ("transcript_pair", _is_transcript_pair),
    ("preference", _is_preference),
    ("openassistant_tree", _is_tree),
    ("openassistant_messages", _is_flat),
    ("messages", _is_messages),
    ("sharegpt", _is_sharegpt),
    ("ranked", _is_ranked),
    ("multiple_choice", is_multiple_choice),
    ("alpaca", _is_pair("alpaca")),
    ("dolly", _is_pair("dolly")),
    ("prompt_completion", _is_pair("prompt_completion")),
    ("question_answer", _is_pair("question_answer")),
    ("prompts", _is_prompts),
)
"""In this order: the narrower before the wider."""
