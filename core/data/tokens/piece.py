"""Stretches of an example's text, and their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from core.data.tokens.tokenize import Spanned, TextTokenizer

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Piece:
    """A stretch of an example's text that is encoded on its own.

    `control`: the strings of special tokens in it are those tokens (what a template wrote), else ordinary text (what
    the data holds). `supervised`: the loss counts it.
    """

    text: str
    control: bool
    supervised: bool


def encode_pieces(tokenizer: TextTokenizer, examples: Sequence[Sequence[Piece]]) -> list[list[list[int]]]:
    """Return the ids of every piece of every example; the first piece begins a text, the others go on from it."""
    return _encoded(examples, tokenizer.encode)


def encode_pieces_spanned(tokenizer: TextTokenizer, examples: Sequence[Sequence[Piece]]) -> list[list[Spanned]]:
    """Return the same ids, with the characters of its piece that each token covers."""
    return _encoded(examples, tokenizer.encode_spanned)


class _Encode(Protocol[T_co]):
    def __call__(self, texts: Sequence[str], *, control: bool, continued: bool) -> Sequence[T_co]:
        """Return the tokens of each text."""


def _encoded(examples: Sequence[Sequence[Piece]], encode: _Encode[T_co]) -> list[list[T_co]]:
    keys = [
        (number, index, piece, index > 0)
        for number, pieces in enumerate(examples)
        for index, piece in enumerate(pieces)
    ]
    found: dict[tuple[int, int], T_co] = {}
    for control in (False, True):
        for continued in (False, True):
            chosen = [key for key in keys if key[2].control == control and key[3] == continued]
            texts = [piece.text for _, _, piece, _ in chosen]
            encoded = encode(texts, control=control, continued=continued)
            for (number, index, _, _), tokens in zip(chosen, encoded, strict=True):
                found[number, index] = tokens
    return [[found[number, index] for index in range(len(pieces))] for number, pieces in enumerate(examples)]


def with_begin(tokenizer: TextTokenizer, ids: list[int]) -> list[int]:
    """Return ids with a begin token where the tokenizer adds one, unless the template wrote one."""
    begin = tokenizer.begin_token_id
    if begin is None:
        return ids
    return ids if ids[:1] == [begin] else [*tokenizer.prefix_ids, *ids]
