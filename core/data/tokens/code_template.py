"""Template code: the Alpaca templates with special tokens around the code of input and response.

    ### Instruction:
    Return the sum of a list.

    ### Input:
    <|code|>def total(numbers):<|/code|>

    ### Response:
    <|code|>def total(numbers):
        <|comment|># built in<|/comment|>
        return sum(numbers)<|/code|><|endoftext|>

The loss counts the response with its code tokens and the end token. Comment tokens stand around comments with
`mark_comments`; docstrings are strings and no comments.
"""

from __future__ import annotations

import re

from core.config.code import CodeTokens
from core.data.formats import Conversation
from core.data.tokens.alpaca_template import one_question
from core.data.tokens.piece import Piece
from core.data.tokens.tokenize import TextTokenizer

_INPUT = re.compile(r"\n+### Input:[ \t]*\n")


def code_fields(tokens: CodeTokens) -> dict[str, str]:
    """Return the tokens that the template sets, by the field that names each."""
    names = ["code_begin", "code_end"] + (["comment_begin", "comment_end"] if tokens.mark_comments else [])
    return {f"data.code_tokens.{name}": getattr(tokens, name) for name in names}


def code_pieces(conversation: Conversation, tokenizer: TextTokenizer, tokens: CodeTokens) -> list[Piece]:
    """Return one instruction and its response, which ends with the tokenizer's end token.

    Raises: RowError for a conversation that is more than one question and its answer.
    """
    question, answer = one_question(conversation, "code")
    return [
        *code_prompt(question.content, question.input, tokens),
        *_code(answer.content, tokens, supervised=answer.supervised),
        Piece(tokenizer.end_token, control=True, supervised=answer.supervised),
    ]


def code_prompt(instruction: str, given: str, tokens: CodeTokens) -> list[Piece]:
    """Return the template up to the response; a blank input takes the one without input."""
    if not given.strip():
        return [Piece(f"### Instruction:\n{instruction}\n\n### Response:\n", control=False, supervised=False)]
    return [
        Piece(f"### Instruction:\n{instruction}\n\n### Input:\n", control=False, supervised=False),
        *_code(given, tokens, supervised=False),
        Piece("\n\n### Response:\n", control=False, supervised=False),
    ]


def instruction_and_input(prompt: str) -> tuple[str, str]:
    """Return the instruction of a prompt, and its input: what stands behind a line `### Input:`, "" without one."""
    found = _INPUT.search(prompt)
    return (prompt[: found.start()], prompt[found.end() :]) if found else (prompt, "")


def comments(code: str) -> list[tuple[int, int]]:
    """Return where the comments of Python source begin and end, without the ends of their lines."""
    from pygments.lexers.python import PythonLexer  # type: ignore[import-untyped]
    from pygments.token import Comment  # type: ignore[import-untyped]

    spans: list[tuple[int, int]] = []
    # Not get_tokens, which strips the text and so moves every place in it. The grammar knows no other end of a line.
    for start, kind, value in PythonLexer().get_tokens_unprocessed(code.replace("\r", "\n")):
        if kind in Comment and (text := value.rstrip()):
            spans.append((start, start + len(text)))
    return spans


def _code(code: str, tokens: CodeTokens, *, supervised: bool) -> list[Piece]:
    result = [Piece(tokens.code_begin, control=True, supervised=supervised)]
    done = 0
    for start, stop in comments(code) if tokens.mark_comments else ():
        result += [
            Piece(code[done:start], control=False, supervised=supervised),
            Piece(tokens.comment_begin, control=True, supervised=supervised),
            Piece(code[start:stop], control=False, supervised=supervised),
            Piece(tokens.comment_end, control=True, supervised=supervised),
        ]
        done = stop
    result += [
        Piece(code[done:], control=False, supervised=supervised),
        Piece(tokens.code_end, control=True, supervised=supervised),
    ]
    return [piece for piece in result if piece.text]
