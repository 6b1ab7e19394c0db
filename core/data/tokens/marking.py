"""Documents and answers as tokens with the class of source code that each has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

import numpy as np

from core.config.lexers import lexer_name
from core.config.sources import CodeSource, FilesSource, PathSource, Source, StandardLibrarySource
from core.data.sources.containers import code_language
from core.data.tokens.piece import Piece
from core.data.tokens.syntax import Classes, code_classes, fenced_classes, outside, token_classes
from core.data.tokens.tokenize import DocumentPart, Spanned, TextTokenizer, encode_spanned_document

_BEHIND_NAME = re.compile(r":(\d+|byte \d+)$")


def document_language(syntax: str, source: Source, place: str) -> str | None:
    """Return the Pygments name of the language in which a document is read, by data.syntax; None for no language.

    With auto the name of the file tells it, where the document is the text of a file as it stands there.
    """
    if syntax != "auto":
        return lexer_name(syntax)
    path = Path(_BEHIND_NAME.sub("", place))
    match source:
        case StandardLibrarySource() | FilesSource(document="file") | CodeSource():
            language = code_language(path, "code")
        case PathSource():
            language = code_language(path, source.format)
        case _:
            language = None
    return None if language is None else lexer_name(language)


def marked_document(
    tokenizer: TextTokenizer, text: str, parts: Sequence[DocumentPart], language: str | None
) -> tuple[Spanned, Classes]:
    """Return the tokens of a document, which may be cut into parts, and the class of each: (tokens,).

    Raises: RowError where the lexer fails.
    """
    characters = outside(text) if language is None else code_classes(text, language)
    found = encode_spanned_document(tokenizer, parts)
    return found, token_classes(characters, found.spans, tokenizer.is_space[found.ids])


def answer_classes(
    tokenizer: TextTokenizer, pieces: Sequence[Piece], encoded: Sequence[Spanned], syntax: str, *, is_code: bool
) -> Classes:
    """Return the class of each token of an example: (tokens,). Only what the loss counts is marked.

    By data.syntax an answer is read whole as one language, or with auto between its fences, or where it `is_code`
    (template code) whole as Python. What a template wrote into it as special tokens is left out for the lexer.

    Raises: RowError where a lexer fails.
    """
    result: list[Classes] = []
    for supervised, run in groupby(zip(pieces, encoded, strict=True), key=lambda pair: pair[0].supervised):
        pairs = list(run)
        if not supervised:
            result += [np.zeros(len(found.ids), dtype=np.uint8) for _, found in pairs]
            continue
        contents = [_content(tokenizer, piece) for piece, _ in pairs]
        text = "".join(piece.text[start:stop] for (piece, _), parts in zip(pairs, contents, strict=True)
                       for start, stop in parts)  # fmt: skip
        characters = _answer_characters(text, syntax, is_code=is_code)
        at = 0
        for (piece, found), parts in zip(pairs, contents, strict=True):
            own = outside(piece.text)
            for start, stop in parts:
                own[start:stop] = characters[at : at + stop - start]
                at += stop - start
            result.append(token_classes(own, found.spans, tokenizer.is_space[found.ids]))
    return np.concatenate(result) if result else np.zeros(0, dtype=np.uint8)


def _answer_characters(text: str, syntax: str, *, is_code: bool) -> Classes:
    language = "Python" if syntax == "auto" and is_code else lexer_name(syntax)
    return fenced_classes(text) if language is None else code_classes(text, language)


def _content(tokenizer: TextTokenizer, piece: Piece) -> list[tuple[int, int]]:
    """Return where in a piece its text is; what is left out are special tokens of the template."""
    pattern = tokenizer.special_pattern
    found = list(pattern.finditer(piece.text)) if piece.control and pattern is not None else []
    edges = [0, *(edge for match in found for edge in match.span()), len(piece.text)]
    return list(zip(edges[::2], edges[1::2], strict=True))
