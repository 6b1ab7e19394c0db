"""The repetition rules of Gopher (Rae et al. 2021, table A1), as datatrove 0.10.1 has them and in its order.

All shares are of the characters of the whole text, as there. What makes them cheap: n-grams are tuples of words, which
the interpreter's own loops count, and bounds that clear nearly every document before they are counted:

- an n-gram of count c has c * (n lengths + n - 1 spaces) characters, and c is at most the count of each of its words,
  so n times the largest (count * length) of a word, and n - 1 times the largest count, are never exceeded;
- a 5-gram or longer that stood before consists of 4-grams that stood before, so those bound it.

One thing differs: there, n-grams of n > 4 are the same where their words put together without spaces are (`a bc` and
`ab c`); here their words must be.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice

from core.config.filters import GopherRepetitionFilter
from core.data.filters.verdict import Dropped, TextFilter, Verdict
from core.data.filters.words import Words, words_of

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
    yield from _broken_ngrams(words_of(text), size, config)


def _broken_ngrams(words: Words, size: int, config: GopherRepetitionFilter) -> Iterator[tuple[str, float, float]]:
    counts = Counter(words.words)
    heaviest = max((len(word) * count for word, count in counts.items()), default=0)
    commonest = max(counts.values(), default=0)
    for n, most in enumerate(config.top_ngrams, _FIRST_TOP):
        if n * heaviest + (n - 1) * commonest > most * size:
            yield from _above(f"top_{n}_gram", top_ngram_characters(words.words, n) / size, most)
    if not config.duplicate_ngrams or _may_repeat(words.words) <= min(config.duplicate_ngrams) * size:
        return
    for n, most in enumerate(config.duplicate_ngrams, _FIRST_DUPLICATE):
        yield from _above(f"duplicate_{n}_grams", duplicate_ngram_characters(words.words, n) / size, most)


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


def _may_repeat(words: Sequence[str]) -> int:
    """Return a bound of the characters in n-grams that stood before, for every n above that of these n-grams."""
    n = _FIRST_DUPLICATE - 1
    # Hashes need a third of the memory; where two are the same by chance, what follows is exact.
    if len(set(map(hash, _ngrams(words, n)))) == len(words) - n + 1:
        return 0
    seen: set[tuple[str, ...]] = set()
    characters = covered = 0
    for at, ngram in enumerate(_ngrams(words, n)):
        if ngram in seen:
            characters += sum(map(len, words[max(at, covered) : at + n]))
            covered = at + n
        else:
            seen.add(ngram)
    return characters


def _ngrams(words: Sequence[str], n: int) -> Iterator[tuple[str, ...]]:
    return zip(*(islice(words, start, None) for start in range(n)), strict=False)
