"""A filter of the configuration as what it does to a text or a row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal, assert_never

import numpy as np
from numpy.typing import NDArray

from core.config.filters import (
    DeidentifyFilter,
    ExactDuplicatesFilter,
    Filter,
    InstructionFilter,
    NearDuplicatesFilter,
    NgramPerplexityFilter,
    PerplexityFilter,
    PersonalDataFilter,
)
from core.data.duplicates import EXACT_WIDTH, exact_key, near_keys
from core.data.filters.build import text_filter
from core.data.filters.verdict import Changed, Dropped, TextFilter
from core.data.formats import (
    Canonical,
    Conversation,
    Judged,
    Preference,
    Prompt,
    Turn,
    turns_of_all,
    unsupervised,
    with_each_turn,
)

Value = str | Canonical
StepResult = Dropped | tuple[Value, dict[str, int]] | None
"""Dropped, the value that goes on with how often each rule changed it, or None: it goes on as it is."""
Step = Callable[[Value], StepResult]
Part = Literal["whole", "prompt", "response"]


def step_of(config: Filter) -> Step:
    """Return what a filter that looks at one document does to it.

    A filter that only drops sees a row as its turns, one below the other; one that masks sees each turn.
    Raises: UsageError, DataError where something that the filter needs is not there.
    """
    match config:
        case InstructionFilter():
            from core.data.filters.build import instruction_filter

            check = instruction_filter(config)
            return lambda value: check(_as_conversation(value))
        case PersonalDataFilter() | DeidentifyFilter():
            mask = text_filter(config)
            return lambda value: _text(mask, value) if isinstance(value, str) else _each_turn(mask, value)
        case ExactDuplicatesFilter() | NearDuplicatesFilter() | PerplexityFilter() | NgramPerplexityFilter():
            raise ValueError(f"{config.kind} looks at the whole corpus")
        case _:
            keep = text_filter(config)
            return lambda value: _text(keep, value) if isinstance(value, str) else _whole(keep, value)


def keys_of(config: Filter) -> tuple[Callable[[Value], NDArray[np.uint64]] | None, int]:
    """Return what gathers the keys of a document for a filter over the whole corpus, and how many words they have.

    A perplexity needs none: it is scored from the texts.
    """
    match config:
        case ExactDuplicatesFilter():
            return lambda value: exact_key(_part(value, config.on), normalise=config.normalise), EXACT_WIDTH
        case NearDuplicatesFilter():
            return lambda value: near_keys(text_of(value), config), config.bands
        case _:
            return None, 0


def text_of(value: Value) -> str:
    """Return a text, or the turns of a row one below the other."""
    return value if isinstance(value, str) else _part(value, "whole")


def payload_of(value: Value) -> str:
    """Return what stands in an item."""
    return value if isinstance(value, str) else value.dumped()


def _part(value: Value, part: Part) -> str:
    """Return the texts of a part of a row, one below the other; of a pair the response is both answers."""
    if isinstance(value, str):
        return value
    return "\n".join(text for turn in _turns(value, part) for text in (turn.content, turn.input) if text)


def _turns(value: Canonical, part: Part) -> Sequence[Turn]:
    if part == "whole":
        return turns_of_all(value)
    match value:
        case Conversation():
            return [turn for turn in value.turns if (turn.role == "assistant") == (part == "response")]
        case Preference():
            return value.prompt if part == "prompt" else (*value.chosen, *value.rejected)
        case Judged():
            turns = value.conversation.turns
            return turns[:-1] if part == "prompt" else turns[-1:]
        case Prompt():
            return value.turns if part == "prompt" else turns_of_all(value)[len(value.turns) :]
        case _:
            assert_never(value)


def _as_conversation(value: Value) -> Conversation:
    """Return what an instruction filter judges: of a pair the better side, and no bad answer, which may be that bad."""
    match value:
        case Conversation():
            return value
        case Preference():
            return Conversation(unsupervised(value.prompt) + value.chosen)
        case Judged():
            *prompt, answer = value.conversation.turns
            return Conversation(unsupervised(prompt) + ((answer,) if value.label else unsupervised([answer])))
        case _:
            raise ValueError("the configuration allows this filter with rows that have answers only")


def _text(apply: TextFilter, text: str) -> StepResult:
    verdict = apply(text)
    return (verdict.text, verdict.counts) if isinstance(verdict, Changed) else verdict


def _whole(apply: TextFilter, row: Canonical) -> Dropped | None:
    verdict = apply(text_of(row))
    return verdict if isinstance(verdict, Dropped) else None


def _each_turn(apply: TextFilter, row: Canonical) -> StepResult:
    counts: Counter[str] = Counter()

    def masked(text: str) -> str:
        verdict = apply(text) if text else None
        if not isinstance(verdict, Changed):
            return text
        counts.update(verdict.counts)
        return verdict.text

    changed = with_each_turn(row, lambda turn: replace(turn, content=masked(turn.content), input=masked(turn.input)))
    return (changed, dict(counts)) if counts else None
