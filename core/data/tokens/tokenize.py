"""Text to token ids and back, with what a preparation needs to know about a tokenizer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from core.errors import DataError

_PIECE_CHARACTERS = 256 * 1024
_PIECES_AT_ONCE = 16
_BETWEEN_LINES = re.compile(r"(?<=\w\n)(?=\w)")
_BETWEEN_WORDS = re.compile(r"(?<=\w)(?= \w)")


@dataclass(frozen=True)
class TextTokenizer:
    """A tokenizer with what a preparation needs to know about it."""

    backend: Tokenizer
    end_token: str
    """Ends a document, and an answer where the template brings no end of its own."""
    begin_token: str
    """"" where there is none."""
    adds_begin_token: bool
    """Whether the tokenizer puts the begin token before every text."""
    pad_token: str
    unknown_token: str
    chat_template: str | None

    @cached_property
    def end_token_id(self) -> int:
        """The id of the end token."""
        return self._id(self.end_token)

    @cached_property
    def begin_token_id(self) -> int | None:
        """The id of the begin token, None where there is none."""
        return self._id(self.begin_token) if self.begin_token else None

    @cached_property
    def prefix_ids(self) -> tuple[int, ...]:
        """What stands before every text: the begin token where the tokenizer adds it, else nothing."""
        return (self.begin_token_id,) if self.adds_begin_token and self.begin_token_id is not None else ()

    @cached_property
    def vocabulary_size(self) -> int:
        """One more than the highest token id."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def special_tokens(self) -> tuple[str, ...]:
        """The strings of the special tokens, longest first."""
        added = self.backend.get_added_tokens_decoder().values()
        return tuple(sorted((token.content for token in added if token.special), key=lambda text: (-len(text), text)))

    def _id(self, token: str) -> int:
        found = self.backend.token_to_id(token)
        if found is None:
            raise DataError(f"the tokenizer names {token!r} in tokenizer_config.json, but has no such token")
        return found

    @cached_property
    def _anchors(self) -> tuple[tuple[str, list[int]], ...]:
        """Texts after which a piece is encoded as the middle of a text; empty where no text gets a space before it.

        SentencePiece tokenizers put a space before whatever they are given; encoding the piece behind a newline and
        taking the newline's tokens away leaves what the piece is in running text.
        """
        newline = self._plain_ids(["\n"])[0]
        if self._plain_ids(["\na"])[0] == newline + self._plain_ids(["a"])[0]:
            return ()
        return tuple((anchor, self._plain_ids([anchor])[0]) for anchor in ("\n", ":\n", "."))

    def _plain_ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self.backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def encode(self, texts: Sequence[str], *, control: bool, continued: bool) -> list[list[int]]:
        """Return the ids of each text, without anything before or after it.

        `control`: whether the string of a special token in a text is that token (in a template) or ordinary text (in
        data). `continued`: whether the text goes on from other text, or begins one.
        """
        self.backend.encode_special_tokens = not control
        if not continued or not self._anchors:
            return self._plain_ids(texts)
        return [self._continued(text) for text in texts]

    def _continued(self, text: str) -> list[int]:
        for anchor, ids in self._anchors:
            both = self._plain_ids([anchor + text])[0]
            if both[: len(ids)] == ids:
                return both[len(ids) :]
        return self._plain_ids([text])[0]


@dataclass(frozen=True)
class DocumentPart:
    """A stretch of a document's tokens that is encoded on its own.

    `start` is where in the document its text begins; None for a control token, whose text is in no document.
    """

    text: str
    start: int | None


def pieces(text: str, characters: int = _PIECE_CHARACTERS) -> Iterator[str]:
    """Yield a text in pieces of about so many characters, so that long ones are encoded in parallel and small memory.

    Cuts only between a newline and a letter on both sides of it, where a tokenizer cuts too; where there is no such
    place, at the next space; else anywhere.
    """
    start = 0
    while len(text) - start > characters:
        window = text[start : start + 2 * characters]
        match = _BETWEEN_LINES.search(window, characters) or _BETWEEN_WORDS.search(window, characters)
        stop = start + (match.start() if match else min(len(window), characters))
        yield text[start:stop]
        start = stop
    yield text[start:]


def encode_documents(tokenizer: TextTokenizer, texts: Sequence[str]) -> Iterator[NDArray[np.int64]]:
    """Yield the ids of whole documents: begin token where the tokenizer adds one, text, end token.

    Special tokens that stand in the text as strings stay text. Shapes: (tokens,) each.
    """
    split = [list(pieces(text)) for text in texts]
    heads = tokenizer.encode([first for first, *_ in split], control=False, continued=False)
    for head, (_, *rest) in zip(heads, split, strict=True):
        parts = [np.array([*tokenizer.prefix_ids, *head], dtype=np.int64)]
        for start in range(0, len(rest), _PIECES_AT_ONCE):
            encoded = tokenizer.encode(rest[start : start + _PIECES_AT_ONCE], control=False, continued=True)
            parts += [np.array(ids, dtype=np.int64) for ids in encoded]
        parts.append(np.array([tokenizer.end_token_id], dtype=np.int64))
        yield np.concatenate(parts)


def encode_parts(tokenizer: TextTokenizer, documents: Sequence[Sequence[DocumentPart]]) -> list[NDArray[np.int64]]:
    """Return the ids of documents that are made of parts: begin token where there is one, parts, end token.

    No part gets the space that some tokenizers put before a text. Shapes: (tokens,) each.
    """
    texts = [piece for parts in documents for part in parts if part.start is not None for piece in pieces(part.text)]
    encoded = iter(tokenizer.encode(texts, control=False, continued=True))
    result: list[NDArray[np.int64]] = []
    for parts in documents:
        ids = list(tokenizer.prefix_ids)
        for part in parts:
            if part.start is None:
                ids += tokenizer.encode([part.text], control=True, continued=True)[0]
            else:
                for _ in pieces(part.text):
                    ids += next(encoded)
        result.append(np.array([*ids, tokenizer.end_token_id], dtype=np.int64))
    return result
