"""Rows of any format as what a kind of data is made of: conversations, pairs of answers, prompts.

Rules: with data.damage.rule none, pairs are rows that are pairs, or judged answers; with a rule, rows of one answer. A
prompt is what stands before the last answer of a row, which is kept with it; of a pair that is the better one, and a
bad answer is not kept. What a row gives several times (ranked answers, branches of a tree) is one prompt.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import assert_never

from core.config.data import InstructionData, RowFormat
from core.config.preferences import PreferenceData, PromptData, RowData
from core.config.sources import Columns
from core.data.damage import damaged_pairs
from core.data.formats import (
    Canonical,
    Conversation,
    Judged,
    Preference,
    Prompt,
    Turn,
    canonical,
    conversations,
    unsupervised,
)
from core.data.rows import Row
from core.data.tally import Tally
from core.errors import DataError

PAIRED: dict[RowFormat, str] = {
    "preference": "pairs of a chosen and a rejected answer",
    "transcript_pair": "pairs of a chosen and a rejected dialogue",
    "ranked": "ranked answers",
    "judged": "answers judged good or bad",
}
"""The formats that say of answers which is better."""


def items_of(
    data: RowData, stream: Iterable[Row], shape: RowFormat, columns: Columns, tally: Tally, *, seed: int
) -> Iterator[tuple[str, Canonical]]:
    """Yield what a stream of rows gives to some data, each with its place; bad rows are counted in `tally`.

    `seed` decides how answers are damaged.

    Raises: DataError where the format has not what the data is made of.
    """
    match data:
        case InstructionData():
            yield from conversations(stream, shape, columns, tally)
        case PreferenceData() if data.damage.rule == "none":
            yield from _pairs(stream, shape, columns, tally)
        case PreferenceData():
            yield from damaged_pairs(
                _answered(data, stream, shape, columns, tally),
                data.damage,
                tally,
                seed=seed,
                held_out_fraction=data.held_out_fraction,
            )
        case PromptData():
            yield from _prompts(stream, shape, columns, tally)
        case _:
            assert_never(data)


def _pairs(
    stream: Iterable[Row], shape: RowFormat, columns: Columns, tally: Tally
) -> Iterator[tuple[str, Preference | Judged]]:
    if shape not in PAIRED:
        found = "prompts without answers" if shape == "prompts" else "rows with one answer"
        raise DataError(
            f"{tally.source}: expected pairs of answers ({', '.join(PAIRED)}), found {found} ({shape})",
            hint="Set data.damage.rule to make the worse answer of each pair from the row's own, or name the columns "
            "of both sides in the source, such as columns: {chosen: better, rejected: worse}.",
        )
    for place, item in canonical(stream, shape, columns, tally):
        assert isinstance(item, Preference | Judged)
        yield place, item


def _answered(
    data: PreferenceData, stream: Iterable[Row], shape: RowFormat, columns: Columns, tally: Tally
) -> Iterator[tuple[str, Conversation]]:
    if shape in PAIRED or shape == "prompts":
        raise DataError(
            f"{tally.source}: expected rows with one answer, which data.damage.rule {data.damage.rule} makes worse, "
            f"found {PAIRED.get(shape, 'prompts without answers')} ({shape})",
            hint="Leave data.damage out: such rows are pairs already."
            if shape in PAIRED
            else "Take rows with an answer.",
        )
    yield from conversations(stream, shape, columns, tally)


def _prompts(
    stream: Iterable[Row], shape: RowFormat, columns: Columns, tally: Tally
) -> Iterator[tuple[str, Prompt]]:
    last: tuple[str, tuple[Turn, ...]] | None = None
    for place, item in canonical(stream, shape, columns, tally):
        prompt = prompt_of(item)
        if last == (place, prompt.turns):
            tally.repaired["repeated_prompts_left_out"] += 1
            continue
        last = place, prompt.turns
        yield place, prompt


def prompt_of(item: Canonical) -> Prompt:
    """Return what a row asks, with the answer that it gives: the last one, of a pair the better one."""
    match item:
        case Prompt():
            return item
        case Preference():
            *before, answer = item.prompt + item.chosen
        case Judged():
            *before, answer = item.conversation.turns
            if not item.label:
                return Prompt(unsupervised(before))
        case Conversation():
            *before, answer = item.turns
        case _:
            assert_never(item)
    return Prompt(unsupervised(before), answer.content if answer.content.strip() else None)

