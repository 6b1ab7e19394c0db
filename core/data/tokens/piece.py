"""Stretches of an example's text, and their tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.data.tokens.tokenize import TextTokenizer


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
    keys = [
        (number, index, piece, index > 0)
        for number, pieces in enumerate(examples)
        for index, piece in enumerate(pieces)
    ]
    result: list[list[list[int]]] = [[[] for _ in pieces] for pieces in examples]
    for control in (False, True):
        for continued in (False, True):
            chosen = [key for key in keys if key[2].control == control and key[3] == continued]
            texts = [piece.text for _, _, piece, _ in chosen]
            encoded = tokenizer.encode(texts, control=control, continued=continued)
            for (number, index, _, _), ids in zip(chosen, encoded, strict=True):
                result[number][index] = ids
    return result


def with_begin(tokenizer: TextTokenizer, ids: list[int]) -> list[int]:
    """Return ids with a begin token where the tokenizer adds one, unless the template wrote one."""
    begin = tokenizer.begin_token_id
    if begin is None:
        return ids
    return ids if ids[:1] == [begin] else [*tokenizer.prefix_ids, *ids]
