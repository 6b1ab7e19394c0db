"""A filter of the configuration as what it does to a text or a conversation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

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
from core.data.formats import Conversation

Value = str | Conversation
StepResult = Dropped | tuple[Value, dict[str, int]] | None
"""Dropped, the value that goes on with how often each rule changed it, or None: it goes on as it is."""
Step = Callable[[Value], StepResult]


def step_of(config: Filter) -> Step:
    """Return what a filter that looks at one document does to it.

    A filter that only drops sees a conversation as its turns, one below the other; one that masks sees each turn.
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
    """Return a text, or the turns of a conversation one below the other."""
    return value if isinstance(value, str) else _part(value, "whole")


def payload_of(value: Value) -> str:
    """Return what stands in an item."""
    return value if isinstance(value, str) else value.dumped()


def question_of(value: Value) -> str:
    """Return what decides about the split: a text, or a conversation's first question.

    The conversations of one tree, and several answers to one question, then stay on one side: what is held out was
    not trained in another row.
    """
    if isinstance(value, str):
        return value
    first = next(turn for turn in value.turns if turn.role == "user")
    return f"{first.content}\n{first.input}" if first.input else first.content


def _part(value: Value, part: str) -> str:
    if isinstance(value, str):
        return value
    wanted = {"whole": ("system", "user", "assistant"), "prompt": ("system", "user"), "response": ("assistant",)}[part]
    texts = [text for turn in value.turns if turn.role in wanted for text in (turn.content, turn.input) if text]
    return "\n".join(texts)


def _as_conversation(value: Value) -> Conversation:
    assert not isinstance(value, str), "the configuration allows this filter with instructions only"
    return value


def _text(apply: TextFilter, text: str) -> StepResult:
    verdict = apply(text)
    return (verdict.text, verdict.counts) if isinstance(verdict, Changed) else verdict


def _whole(apply: TextFilter, conversation: Conversation) -> Dropped | None:
    verdict = apply(text_of(conversation))
    return verdict if isinstance(verdict, Dropped) else None


def _each_turn(apply: TextFilter, conversation: Conversation) -> StepResult:
    counts: Counter[str] = Counter()

    def masked(text: str) -> str:
        verdict = apply(text) if text else None
        if not isinstance(verdict, Changed):
            return text
        counts.update(verdict.counts)
        return verdict.text

    turns = tuple(replace(turn, content=masked(turn.content), input=masked(turn.input)) for turn in conversation.turns)
    return (replace(conversation, turns=turns), dict(counts)) if counts else None
