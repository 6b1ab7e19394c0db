"""Conversations as token ids with a mark on each token that the loss counts, cut to a length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from core.data.formats import Conversation, Turn
from core.data.tally import RowError
from core.data.templates import ChatTemplate, Piece, TemplateName, alpaca_pieces, encode_pieces, with_begin
from core.data.tokenize import TextTokenizer
from core.errors import DataError


@dataclass(frozen=True)
class Example:
    """Shapes: ids is (tokens,) int64, supervised (tokens,) bool, True on answers and their end-of-turn tokens."""

    ids: NDArray[np.int64]
    supervised: NDArray[np.bool_]


class ExampleEncoder:
    """Turns conversations into examples of at most `max_tokens` tokens."""

    def __init__(self, tokenizer: TextTokenizer, template: TemplateName, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._pieces: Callable[[Conversation], list[Piece]]
        if template == "chat":
            self._pieces = ChatTemplate(tokenizer).pieces
        else:
            self._pieces = lambda conversation: alpaca_pieces(conversation, tokenizer)

    def encode(self, conversations: Sequence[Conversation]) -> list[Example | RowError]:
        """Return the example of each conversation, or why there is none."""
        rendered: list[list[Piece] | RowError] = []
        for conversation in conversations:
            try:
                rendered.append(self._pieces(conversation))
            except RowError as error:
                rendered.append(error)
        usable = [pieces for pieces in rendered if not isinstance(pieces, RowError)]
        encoded = iter(zip(usable, encode_pieces(self._tokenizer, usable), strict=True))
        return [pieces if isinstance(pieces, RowError) else self._example(*next(encoded)) for pieces in rendered]

    def _example(self, pieces: list[Piece], encoded: list[list[int]]) -> Example | RowError:
        ids = [token for piece in encoded for token in piece]
        flags = [piece.supervised for piece, tokens in zip(pieces, encoded, strict=True) for _ in tokens]
        begun = with_begin(self._tokenizer, ids)
        flags = [False] * (len(begun) - len(ids)) + flags
        _check_end(self._tokenizer, begun)
        # Where the tokenizer adds none, a first token that is its begin token is the mark of a turn (SmolLM2).
        begins = self._tokenizer.adds_begin_token
        try:
            return shortened(begun, flags, max_tokens=self._max_tokens, keep_first=begins)
        except RowError as error:
            return error


def shortened(ids: list[int], supervised: list[bool], *, max_tokens: int, keep_first: bool) -> Example:
    """Return an example of at most `max_tokens` tokens: a longer one loses its start, never its last answer.

    `keep_first` keeps the begin token besides. An answer that lost its own start is no longer supervised: nobody would
    begin there.

    Raises: RowError where the last answer and one token before it do not fit.
    """
    if len(ids) <= max_tokens:
        return Example(np.array(ids, dtype=np.int64), np.array(supervised, dtype=np.bool_))
    flags = np.array(supervised, dtype=np.bool_)
    answer = int(flags[::-1].argmin())  # tokens of the last answer, which ends the example
    if answer + 1 > max_tokens:
        raise RowError(
            "over_long", f"expected an answer of fewer than {max_tokens} tokens (data.max_tokens), found {answer}"
        )
    head = 1 if keep_first and answer + 2 <= max_tokens else 0
    start = len(ids) - (max_tokens - head)
    kept = flags[start:].copy()
    if flags[start - 1] and kept[0]:
        kept[: int(kept.argmin())] = False
    tokens = np.array([*ids[:head], *ids[start:]], dtype=np.int64)
    return Example(tokens, np.concatenate([np.zeros(head, dtype=np.bool_), kept]))


def _check_end(tokenizer: TextTokenizer, ids: list[int]) -> None:
    """Raise DataError where an example does not end with a special token: the model would never learn to stop."""
    if not ids or tokenizer.backend.id_to_token(ids[-1]) not in (*tokenizer.special_tokens, tokenizer.end_token):
        raise DataError(
            f"expected every answer to end with a special token, found the token ids {ids[-5:]}",
            hint="The tokenizer's end token and its chat template do not fit together.",
        )


def stop_token_ids(tokenizer: TextTokenizer, template: TemplateName | None) -> list[int]:
    """Return what ends a continuation: the end token, and the end-of-turn token where the chat template has one.

    Raises: DataError where the chat template cannot be used for training.
    """
    ids = {tokenizer.end_token_id}
    if template == "chat":
        probe = Conversation((Turn("user", "Hello"), Turn("assistant", "Hello")))
        example = ExampleEncoder(tokenizer, template, 2**30).encode([probe])[0]
        if isinstance(example, RowError):
            raise DataError(f"data.template: {example}")
        ids.add(int(example.ids[-1]))
    return sorted(ids)
