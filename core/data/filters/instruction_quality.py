"""Rows of instructions that teach nothing good: no answer, too much text, an answer that declines or breaks off."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.config.filters import InstructionFilter
from core.data.filters.refusals import refusal
from core.data.filters.truncation import break_off
from core.data.filters.verdict import Dropped
from core.data.formats import Conversation


def instruction_quality_filter(config: InstructionFilter) -> Callable[[Conversation], Dropped | None]:
    """Return the filter: every answer that the loss counts is looked at; the first rule that is broken names it."""

    def verdict(conversation: Conversation) -> Dropped | None:
        for rule, value in _broken(conversation, config):
            return Dropped(f"instruction_quality.{rule}", value)
        return None

    return verdict


def _broken(conversation: Conversation, config: InstructionFilter) -> Iterator[tuple[str, str]]:
    asked = sum(len(turn.content) + len(turn.input) for turn in conversation.turns if turn.role != "assistant")
    if asked > config.max_prompt_characters:
        yield "prompt_too_long", f"{asked} > {config.max_prompt_characters}"
    answers = [turn.content.strip() for turn in conversation.turns if turn.role == "assistant" and turn.supervised]
    for answer in answers:
        if len(answer) < config.min_response_characters:
            yield "response_too_short", f"{len(answer)} < {config.min_response_characters}"
        if len(answer) > config.max_response_characters:
            yield "response_too_long", f"{len(answer)} > {config.max_response_characters}"
    for answer in answers:
        if config.refusals and (found := refusal(answer)):
            yield "refusal", found
        if config.truncated and (found := break_off(answer)):
            yield "truncated", found
