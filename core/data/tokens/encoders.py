"""What lays the rows of each kind of data as tokens, and what is accepted of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from core.config.data import Accepted, InstructionData, TextData
from core.config.preferences import PreferenceData, Preparable, PromptData
from core.data.tokens.answered import AnsweredEncoder
from core.data.tokens.examples import ExampleEncoder
from core.data.tokens.templates import resolve_template
from core.data.tokens.tokenize import TextTokenizer

Encoder = ExampleEncoder | AnsweredEncoder | None
"""What lays rows; None for documents."""


def encoder_for(data: Preparable, tokenizer: TextTokenizer) -> Encoder:
    """Return what lays the rows of some data; None for documents.

    Raises: DataError where the template cannot be used with the tokenizer.
    """
    if isinstance(data, TextData):
        return None
    template = resolve_template(data.template, tokenizer, data.code_tokens)
    match data:
        case InstructionData():
            return ExampleEncoder(tokenizer, template, data.max_tokens, code_tokens=data.code_tokens,
                                  accept=data.accept, syntax=data.syntax)  # fmt: skip
        case PreferenceData() | PromptData():
            laid = ExampleEncoder(tokenizer, template, data.max_tokens, code_tokens=data.code_tokens)
            return AnsweredEncoder(tokenizer, laid, data.max_tokens)
        case _:
            assert_never(data)


def syntax_of(data: Preparable) -> str | None:
    """Return data.syntax; None where some data cannot have it."""
    return data.syntax if isinstance(data, TextData | InstructionData) else None


def accepted_by(data: Preparable) -> Sequence[Accepted]:
    """Return the faults of the tokens that some data accepts.

    Prompts accept those of a template: they stopped the fine-tuning of the policy, or were accepted there, and what is
    asked then must have them too.
    """
    match data:
        case TextData():
            return ()
        case InstructionData() | PreferenceData():
            return data.accept
        case PromptData():
            return ("double_begin", "no_end_of_turn")
        case _:
            assert_never(data)
