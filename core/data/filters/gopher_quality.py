"""The quality rules of Gopher (Rae et al. 2021, table A1), as datatrove 0.10.1 has them and in its order."""

from __future__ import annotations

from collections.abc import Iterator

from core.config.filters import GopherQualityFilter
from core.data.filters.verdict import Dropped, TextFilter, Verdict
from core.data.filters.words import Words, words_of

_BULLETS = ("•", "-")
_ELLIPSES = ("...", "…")


def gopher_quality_filter(config: GopherQualityFilter) -> TextFilter:
    """Return the filter; the first rule that is broken names the verdict."""
    stop_words = frozenset(config.stop_words)

    def verdict(text: str) -> Verdict:
        words = words_of(text)
        for rule, value in _broken(words, text, config, stop_words):
            return Dropped(f"gopher_quality.{rule}", value)
        return None

    return verdict


def _broken(
    words: Words, text: str, config: GopherQualityFilter, stop_words: frozenset[str]
) -> Iterator[tuple[str, str]]:
    if words.plain < config.min_words:
        yield "too_few_words", f"{words.plain} < {config.min_words}"
    if words.plain > config.max_words:
        yield "too_many_words", f"{words.plain} > {config.max_words}"
    if words.plain:
        yield from _word_length(words.plain_characters / words.plain, config)
    number = max(len(words.words), 1)
    yield from _above("hashes", text.count("#") / number, config.max_symbol_ratio)
    yield from _above("ellipses", sum(map(text.count, _ELLIPSES)) / number, config.max_symbol_ratio)
    yield from _lines(text.splitlines(), config)
    alphabetic = words.alphabetic / number
    if alphabetic < config.min_alphabetic_words:
        yield "alphabetic_words", f"{alphabetic:.3g} < {config.min_alphabetic_words:g}"
    found = len(stop_words.intersection(words.words))
    if found < config.min_stop_words:
        yield "stop_words", f"{found} < {config.min_stop_words}"


def _word_length(mean: float, config: GopherQualityFilter) -> Iterator[tuple[str, str]]:
    if mean < config.min_word_length:
        yield "short_words", f"{mean:.3g} < {config.min_word_length:g}"
    yield from _above("long_words", mean, config.max_word_length)


def _lines(lines: list[str], config: GopherQualityFilter) -> Iterator[tuple[str, str]]:
    number = max(len(lines), 1)
    bullets = sum(line.lstrip().startswith(_BULLETS) for line in lines)
    yield from _above("bullet_lines", bullets / number, config.max_bullet_lines)
    ellipses = sum(line.rstrip().endswith(_ELLIPSES) for line in lines)
    yield from _above("ellipsis_lines", ellipses / number, config.max_ellipsis_lines)


def _above(rule: str, value: float, most: float) -> Iterator[tuple[str, str]]:
    if value > most:
        yield rule, f"{value:.3g} > {most:g}"
