"""The repetition rules of Gopher (Rae et al. 2021, table A1), as datatrove 0.10.1 has them and in its order.

All shares are of the characters of the whole text, as there. What makes them cheap: n-grams are tuples of words, which
the interpreter's own loops count; and an n-gram that stood before consists of 5-grams that stood before, so the words
under repeated 5-grams are an upper bound for every longer n, which clears nearly every document at once. One thing
differs: there, n-grams of n > 4 are the same where their words put together without spaces are (`a bc` and `ab c`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from core.config.filters import GopherRepetitionFilter
from core.data.filters.verdict import Dropped, TextFilter, Verdict
from core.data.filters.words import words_of

_PARAGRAPH_END = re.compile(r"\n{2,}")
_LINE_END = re.compile(r"\n+")
_FIRST_TOP = 2
_FIRST_DUPLICATE = 5


def gopher_repetition_filter(config: GopherRepetitionFilter) -> TextFilter:
    """Return the filter; the first rule that is broken names the verdict."""

    def verdict(text: str) -> Verdict:
        for rule, value, most in _broken(text, config):
            return Dropped(f"gopher_repetition.{rule}", f"{value:.3g} > {most:g}")
        return None

    return verdict


def _broken(text: str, config: GopherRepetitionFilter) -> Iterator[tuple[str, float, float]]:
    size = max(len(text), 1)
    paragraphs = _PARAGRAPH_END.split(text.strip())
    number, characters = duplicates(paragraphs)
    yield from _above("duplicate_paragraphs", number / len(paragraphs), config.max_duplicate_paragraphs)
    yield from _above("duplicate_paragraph_characters", characters / size, config.max_duplicate_paragraph_characters)
    lines = _LINE_END.split(text)
    number, characters = duplicates(lines)
    yield from _above("duplicate_lines", number / len(lines), config.max_duplicate_lines)
    yield from _above("duplicate_line_characters", characters / size, config.max_duplicate_line_characters)
    words = words_of(text).words
    for n, most in enumerate(config.top_ngrams, _FIRST_TOP):
        yield from _above(f"top_{n}_gram", top_ngram_characters(words, n) / size, most)
    if not config.duplicate_ngrams or _bound(words, _FIRST_DUPLICATE) / size <= min(config.duplicate_ngrams):
        return
    for n, most in enumerate(config.duplicate_ngrams, _FIRST_DUPLICATE):
        yield from _above(f"duplicate_{n}_grams", duplicate_ngram_characters(words, n) / size, most)


def _above(rule: str, value: float, most: float) -> Iterator[tuple[str, float, float]]:
    if value > most:
        yield rule, value, most


def duplicates(parts: Sequence[str]) -> tuple[int, int]:
    """Return how many parts stood before, and their characters."""
    different = set(parts)
    if len(different) == len(parts):
        return 0, 0
    return len(parts) - len(different), sum(map(len, parts)) - sum(map(len, different))


def top_ngram_characters(words: Sequence[str], n: int) -> int:
    """Return the characters of the most frequent n-gram, spaces between its words included, times its count.

    Of n-grams that are as frequent, the first one counts.
    """
    counts = Counter(_ngrams(words, n))
    if not counts:
        return 0
    top = max(counts, key=counts.__getitem__)
    return (sum(map(len, top)) + n - 1) * counts[top]


def duplicate_ngram_characters(words: Sequence[str], n: int) -> int:
    """Return the characters of the words in n-grams that stood before, read from the left, none counted twice."""
    seen: set[tuple[str, ...]] = set()
    characters = passed = 0
    for at, ngram in enumerate(_ngrams(words, n)):
        if at < passed:
            continue
        if ngram in seen:
            characters += sum(map(len, ngram))
            passed = at + n
        else:
            seen.add(ngram)
    return characters


def _bound(words: Sequence[str], n: int) -> int:
    ngrams = list(_ngrams(words, n))
    seen = set(ngrams)
    if len(seen) == len(ngrams):
        return 0
    seen.clear()
    characters = covered = 0
    for at, ngram in enumerate(ngrams):
        if ngram in seen:
            characters += sum(map(len, words[max(at, covered) : at + n]))
            covered = at + n
        else:
            seen.add(ngram)
    return characters


def _ngrams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[start:] for start in range(n)), strict=False)
