"""Text to token ids and back, with what a preparation needs to know about a tokenizer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from core.data.tokens.token_text import token_text
from core.errors import DataError

_PIECE_CHARACTERS = 256 * 1024
_PIECES_AT_ONCE = 16
_BETWEEN_LINES = re.compile(r"(?<=\w\n)(?=\w)")
_BETWEEN_WORDS = re.compile(r"(?<=\w)(?= \w)")


_Encoded = tuple[list[int], list[tuple[int, int]]]
Spans = NDArray[np.int64]
"""From which to before which character of a text each token goes: (tokens, 2)."""


@dataclass(frozen=True)
class Spanned:
    """The ids of a text, and which of its characters each token covers; begin and end token cover none.

    Shapes: ids (tokens,), spans (tokens, 2).
    """

    ids: NDArray[np.int64]
    spans: Spans


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

    @cached_property
    def special_pattern(self) -> re.Pattern[str] | None:
        """What finds the strings of special tokens in a text; None where there are none."""
        names = "|".join(map(re.escape, self.special_tokens))
        return re.compile(names) if names else None

    @cached_property
    def is_space(self) -> NDArray[np.bool_]:
        """Whether the text of a token is nothing but space, by its id: (vocabulary_size,)."""
        text_of = token_text(self.backend)
        found = np.zeros(self.vocabulary_size, dtype=np.bool_)
        for token, number in self.backend.get_vocab(with_added_tokens=True).items():
            found[number] = text_of(token).isspace()
        return found

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
        return [ids for ids, _ in self._plain(texts, spanned=False)]

    def _plain(self, texts: Sequence[str], *, spanned: bool) -> list[_Encoded]:
        encode = self.backend.encode_batch if spanned else self.backend.encode_batch_fast
        found = encode(list(texts), add_special_tokens=False)
        return [(one.ids, one.offsets if spanned else []) for one in found]

    def encode(self, texts: Sequence[str], *, control: bool, continued: bool) -> list[list[int]]:
        """Return the ids of each text, without anything before or after it.

        `control`: whether the string of a special token in a text is that token (in a template) or ordinary text (in
        data). `continued`: whether the text goes on from other text, or begins one.
        """
        return [ids for ids, _ in self._encoded(texts, control=control, continued=continued, spanned=False)]

    def encode_spanned(self, texts: Sequence[str], *, control: bool, continued: bool) -> list[Spanned]:
        """Return the same ids as `encode`, with the characters that each token covers; it takes longer."""
        return [
            Spanned(np.array(ids, dtype=np.int64), np.array(spans, dtype=np.int64).reshape(-1, 2))
            for ids, spans in self._encoded(texts, control=control, continued=continued, spanned=True)
        ]

    def _encoded(self, texts: Sequence[str], *, control: bool, continued: bool, spanned: bool) -> list[_Encoded]:
        self.backend.encode_special_tokens = not control
        if not continued or not self._anchors:
            return self._plain(texts, spanned=spanned)
        return [self._continued(text, spanned=spanned) for text in texts]

    def _continued(self, text: str, *, spanned: bool) -> _Encoded:
        for anchor, ids in self._anchors:
            both, spans = self._plain([anchor + text], spanned=spanned)[0]
            if both[: len(ids)] == ids:
                before = len(anchor)
                return both[len(ids) :], [(max(a - before, 0), max(b - before, 0)) for a, b in spans[len(ids) :]]
        return self._plain([text], spanned=spanned)[0]


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


def encode_spanned_document(tokenizer: TextTokenizer, parts: Sequence[DocumentPart]) -> Spanned:
    """Return the ids of one document, as `encode_documents` or for several parts `encode_parts` has them, and spans.

    Tokens whose text is in no document cover no character.
    """
    nothing = np.zeros((1, 2), dtype=np.int64)
    ids = [np.array(tokenizer.prefix_ids, dtype=np.int64)]
    spans = [np.repeat(nothing, len(tokenizer.prefix_ids), axis=0)]
    continued = len(parts) > 1
    for part in parts:
        at = part.start
        for piece in [part.text] if at is None else pieces(part.text):
            (found,) = tokenizer.encode_spanned([piece], control=at is None, continued=continued)
            ids.append(found.ids)
            spans.append(found.spans + at if at is not None else np.repeat(nothing, len(found.ids), axis=0))
            at = None if at is None else at + len(piece)
            continued = True
    ids.append(np.array([tokenizer.end_token_id], dtype=np.int64))
    return Spanned(np.concatenate(ids), np.concatenate([*spans, nothing]))
