"""A stream of rows of a known format in its canonical form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, assert_never

from core.config.data import RowFormat
from core.config.sources import Columns
from core.data.formats.columns import lookup, names, optional_text, required, shown_keys
from core.data.formats.conversation import Canonical, Conversation
from core.data.formats.messages import conversation_of
from core.data.formats.multiple_choice import first_number, from_options
from core.data.formats.openassistant import from_flat, from_tree
from core.data.formats.pairs import SYSTEM, from_pair
from core.data.formats.preferences import (
    from_judged,
    from_pair_of_answers,
    from_prompt,
    from_ranked,
    from_transcripts,
)
from core.data.rows import Row
from core.data.tally import RowError, Tally, show
from core.errors import DataError

JudgementFormat = Literal["preference", "transcript_pair", "ranked", "judged", "prompts"]

_WORDS: dict[RowFormat, str] = {
    "preference": "pairs of a chosen and a rejected answer",
    "transcript_pair": "pairs of a chosen and a rejected dialogue",
    "ranked": "ranked answers",
    "judged": "answers judged good or bad",
    "prompts": "prompts without answers",
}


_PAIRS = "Such rows train a reward model (phase: reward) or a policy (phase: dpo), with data.kind: preferences."
_USE: dict[RowFormat, str] = {
    **dict.fromkeys(("preference", "transcript_pair", "ranked", "judged"), _PAIRS),
    "prompts": "Such rows are what a policy answers in phase ppo or grpo, with data.kind: prompts.",
}


def conversations(
    stream: Iterable[Row], shape: RowFormat, columns: Columns, tally: Tally
) -> Iterator[tuple[str, Conversation]]:
    """Yield what a stream of rows says as conversations, each with its place; bad rows are counted in `tally`.

    One row may give several, and several rows one.

    Raises: DataError where the format is no conversation: which of two answers is better is not to be imitated.
    """
    if shape in _WORDS:
        raise DataError(
            f"{tally.source}: expected instructions with their responses, found {_WORDS[shape]} ({shape})",
            hint=f"{_USE[shape]} For fine-tuning on a part of them name it in the source, such as columns: "
            "{prompt: prompt, response: chosen}, with format: auto.",
        )
    for place, item in canonical(stream, shape, columns, tally):
        assert isinstance(item, Conversation)
        yield place, item


def canonical(
    stream: Iterable[Row], shape: RowFormat, columns: Columns, tally: Tally
) -> Iterator[tuple[str, Canonical]]:
    """Yield what a stream of rows says in its canonical form, each with its place; bad rows are counted in `tally`."""
    if shape == "openassistant_messages":
        yield from from_flat(stream, tally)
        return
    first = 0
    if shape == "multiple_choice":
        stream, first = first_number(stream)
    for row in stream:
        repairs: set[str] = set()
        try:
            if shape == "multiple_choice":
                found: Sequence[Canonical] = from_options(row.values, columns, first, repairs)
            else:
                found = _of_row(row, shape, columns, repairs)
        except RowError as error:
            tally.refuse(row.place, error)
            continue
        tally.repaired.update(repairs)
        for item in found:
            yield row.place, item


def needs_whole_files(shape: RowFormat) -> bool:
    """Return whether what a row says hangs on others of its file, so that a file must not be cut into parts."""
    return shape in ("openassistant_messages", "multiple_choice")


def _of_row(row: Row, shape: RowFormat, columns: Columns, repairs: set[str]) -> Sequence[Canonical]:
    match shape:
        case "alpaca" | "dolly" | "prompt_completion" | "question_answer":
            return from_pair(row.values, shape, columns, repairs)
        case "messages":
            return [_listed(row, names(columns.messages, "messages"), columns, repairs)]
        case "sharegpt":
            return [_listed(row, names(columns.messages, "conversations", "conversation"), columns, repairs)]
        case "openassistant_tree":
            return from_tree(row.values, repairs)
        case "openassistant_messages" | "multiple_choice":
            raise AssertionError("what one row says hangs on others")
        case _:
            return _judgement(row.values, shape, columns, repairs)


def _judgement(
    values: dict[str, Any], shape: JudgementFormat, columns: Columns, repairs: set[str]
) -> Sequence[Canonical]:
    match shape:
        case "preference":
            return [from_pair_of_answers(values, columns, repairs)]
        case "transcript_pair":
            return [from_transcripts(values, columns)]
        case "ranked":
            return from_ranked(values, columns, repairs)
        case "judged":
            return [from_judged(values, columns, repairs)]
        case "prompts":
            return [from_prompt(values, columns, repairs)]
        case _:
            assert_never(shape)


def _listed(row: Row, keys: tuple[str, ...], columns: Columns, repairs: set[str]) -> Conversation:
    messages = required(row.values, keys)
    if not isinstance(messages, list):
        found = show(messages) if lookup(row.values, keys) is not None else shown_keys(row.values)
        raise RowError("format", f"expected a list in {keys[0]!r}, found {found}")
    system = optional_text(row.values, names(columns.system, *SYSTEM))
    return conversation_of(messages, keys[0], repairs, system=system, tools=row.values.get("tools"))
