r"""Classes of source code: of the characters of a text by a Pygments lexer, of tokens by the characters they cover.

A token has the class of most of its characters that are no space; where two classes have as many, that of the one
which stands first. A token of nothing but space is whitespace. What is no source code is `other`.

The lexer reads the very text that is tokenised, but for its line ends: the grammars of Pygments know \n only, so that
in their sight \r\n and \r are \n, and the classes are laid back onto the characters of the text. `get_tokens`, which
strips and adds line ends, is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from core.config.lexers import lexer_name
from core.data.tally import RowError

CLASSES = ("other", "keyword", "name", "operator", "literal", "string", "comment", "whitespace")
"""The classes of tokens by their number in a shard, and the fields of loss.syntax_weights."""

_OTHER, _KEYWORD, _NAME, _OPERATOR, _LITERAL, _STRING, _COMMENT, _WHITESPACE = range(len(CLASSES))
_OUTSIDE = len(CLASSES)
"""The class of characters that no lexer has seen: a space among them is no space of source code."""
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})[ \t]*([^`\r\n]*?)[ \t]*(?:\r\n?|\n|$)")
_LANGUAGE = re.compile(r"\{?\.?([^\s{},:=]+)")
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|$)")

Classes = NDArray[np.uint8]


def outside(text: str) -> Classes:
    """Return the classes of characters of which none is source code: (characters,)."""
    return np.full(len(text), _OUTSIDE, dtype=np.uint8)


def code_classes(text: str, language: str) -> Classes:
    """Return the class of each character of source code: (characters,).

    Raises: RowError where the lexer fails.
    """
    lexed = text.replace("\r\n", "\n").replace("\r", "\n")
    found = np.zeros(len(lexed), dtype=np.uint8)
    try:
        for start, kind, value in _lexer(language).get_tokens_unprocessed(lexed):
            number = _class_of(kind)
            if number and lexed.startswith(value, start):
                found[start : start + len(value)] = number
    except Exception as error:  # a lexer is several hundred grammars, of which any may stumble
        message = f"expected text that the lexer of {language} can read, found: {type(error).__name__}: {error}"
        raise RowError("syntax", message) from None
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    if len(lexed) != len(text):
        found = _with_carriage_returns(found, codes)
    found[_is_space(codes)] = _WHITESPACE
    return found


def fenced_classes(text: str) -> Classes:
    """Return the class of each character of text in which source code stands between fences: (characters,).

    Fences are those of CommonMark 0.31, section 4.5, with any indentation; they are no source code themselves.

    Raises: RowError where a lexer fails.
    """
    classes = outside(text)
    for start, stop, language in _blocks(text):
        if language is not None:
            classes[start:stop] = code_classes(text[start:stop], language)
    return classes


def token_classes(characters: Classes, spans: NDArray[np.int64], is_space: NDArray[np.bool_]) -> Classes:
    """Return the class of each token: (tokens,).

    Shapes: characters (characters,), spans (tokens, 2) from which to before which character each token goes, is_space
    (tokens,) whether the token itself is nothing but space. The last one matters where a tokenizer puts a space of its
    own before a word: such a token covers the word's first character.
    """
    result = np.zeros(len(spans), dtype=np.uint8)
    if not len(spans) or not len(characters) or (characters == _OUTSIDE).all():
        return result
    begin, end = spans[:, 0], spans[:, 1]
    kinds = np.array([kind for kind in np.flatnonzero(np.bincount(characters)) if kind != _WHITESPACE], dtype=np.uint8)
    counts = np.zeros((len(kinds), len(spans)), dtype=np.int64)
    for row, kind in enumerate(kinds):
        before = np.concatenate(([0], np.cumsum(characters == kind)))
        counts[row] = before[end] - before[begin]
    if len(kinds):
        most = counts.max(axis=0)
        result = np.where(most > 0, kinds[counts.argmax(axis=0)], np.uint8(_WHITESPACE))
        for token in np.flatnonzero((most > 0) & ((counts == most).sum(axis=0) > 1)):
            tied = kinds[counts[:, token] == most[token]]
            covered = characters[begin[token] : end[token]]
            result[token] = covered[np.isin(covered, tied).argmax()]
    else:
        result[:] = _WHITESPACE
    result[begin == end] = _OTHER
    first = characters[np.minimum(begin, len(characters) - 1)]
    result[is_space & (first != _OUTSIDE)] = _WHITESPACE
    result[result == _OUTSIDE] = _OTHER
    return result


def _blocks(text: str) -> Iterator[tuple[int, int, str | None]]:
    """Yield where the source code of each block between fences begins and ends, and its language."""
    fence, start, language = "", 0, None
    at = 0
    while at < len(text):
        line = _LINE.match(text, at)
        assert line is not None
        mark = _FENCE.match(text, at)
        if mark is not None and not fence:
            fence, start, language = mark[1], line.end(), _language(mark[2])
        elif mark is not None and mark[1].startswith(fence) and not mark[2]:
            yield start, at, language
            fence = ""
        at = line.end()
    if fence:
        yield start, len(text), language


def _language(words: str) -> str | None:
    found = _LANGUAGE.match(words)
    return None if found is None else lexer_name(found[1])


def _with_carriage_returns(classes: Classes, codes: NDArray[np.uint32]) -> Classes:
    """Return classes for text with its carriage returns; those before a newline have none in `classes`."""
    is_dropped = np.zeros(len(codes), dtype=np.bool_)
    is_dropped[:-1] = (codes[:-1] == ord("\r")) & (codes[1:] == ord("\n"))
    whole = np.zeros(len(codes), dtype=np.uint8)
    whole[~is_dropped] = classes
    return whole


@cache
def _spaces() -> NDArray[np.bool_]:
    return np.array([chr(code).isspace() for code in range(0x3001)], dtype=np.bool_)


def _is_space(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    spaces = _spaces()
    found: NDArray[np.bool_] = spaces[np.minimum(codes, len(spaces) - 1)] & (codes < len(spaces))
    return found


@cache
def _lexer(language: str) -> Any:
    from pygments.lexers import find_lexer_class  # type: ignore[import-untyped]

    return find_lexer_class(language)(stripnl=False, ensurenl=False)


@cache
def _class_of(kind: Any) -> int:
    """Return the class of a type of Pygments' tokens.

    Its words that are operators (`and`, `in`) and what stands for a preprocessor are keywords here.
    """
    from pygments.token import Comment, Keyword, Literal, Name, Operator, Punctuation, String  # type: ignore

    for parent, number in (
        (Comment.PreprocFile, _STRING), (Comment.Preproc, _KEYWORD), (Comment, _COMMENT),
        (Operator.Word, _KEYWORD), (Operator, _OPERATOR), (Punctuation, _OPERATOR),
        (Keyword, _KEYWORD), (Name, _NAME), (String, _STRING), (Literal, _LITERAL),
    ):  # fmt: skip
        if kind in parent:
            return number
    return _OTHER
