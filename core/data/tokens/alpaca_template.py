"""The two Alpaca templates: an instruction with and without input (Taori et al. 2023, without its preamble)."""

from __future__ import annotations

from core.data.formats import Conversation, Turn
from core.data.tally import RowError
from core.data.tokens.piece import Piece
from core.data.tokens.tokenize import TextTokenizer


def alpaca_prompt(instruction: str, given: str = "") -> str:
    """Return the Alpaca template up to the response; a blank input takes the one without input."""
    if given.strip():
        return f"### Instruction:\n{instruction}\n\n### Input:\n{given}\n\n### Response:\n"
    return f"### Instruction:\n{instruction}\n\n### Response:\n"


def alpaca_pieces(conversation: Conversation, tokenizer: TextTokenizer) -> list[Piece]:
    """Return one instruction and its response, which ends with the tokenizer's end token.

    Raises: RowError for a conversation that is more than one question and its answer.
    """
    question, answer = one_question(conversation, "alpaca")
    return [
        Piece(alpaca_prompt(question.content, question.input), control=False, supervised=False),
        Piece(answer.content, control=False, supervised=answer.supervised),
        Piece(tokenizer.end_token, control=True, supervised=answer.supervised),
    ]


def one_question(conversation: Conversation, template: str) -> tuple[Turn, Turn]:
    """Return the question and the answer of which a conversation is made.

    Raises: RowError where it is more.
    """
    if [turn.role for turn in conversation.turns] != ["user", "assistant"]:
        roles = ", ".join(turn.role for turn in conversation.turns)
        raise RowError("template", f"expected one user turn and its answer for template {template}, found {roles}")
    question, answer = conversation.turns
    return question, answer
