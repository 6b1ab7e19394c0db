"""The rules that FineWeb added (Penedo et al. 2024, section 3.5), as datatrove 0.10.1 has them and in its order."""

from __future__ import annotations

from collections.abc import Iterator

from core.config.filters import FineWebQualityFilter
from core.data.filters.gopher_repetition import duplicates
from core.data.filters.punctuation import TERMINAL
from core.data.filters.verdict import Dropped, TextFilter, Verdict
from core.data.filters.words import words_of


def fineweb_quality_filter(config: FineWebQualityFilter) -> TextFilter:
    """Return the filter; the first rule that is broken names the verdict."""

    def verdict(text: str) -> Verdict:
        for rule, value in _broken(text, config):
            return Dropped(f"fineweb_quality.{rule}", value)
        return None

    return verdict


def _broken(text: str, config: FineWebQualityFilter) -> Iterator[tuple[str, str]]:
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines:
        yield "empty", "no lines"
        return
    punctuated = sum(line[-1] in TERMINAL for line in lines) / len(lines)
    if punctuated < config.min_punctuated_lines:
        yield "punctuated_lines", f"{punctuated:.3g} < {config.min_punctuated_lines:g}"
    short = sum(len(line) <= config.short_line_characters for line in lines) / len(lines)
    yield from _above("short_lines", short, config.max_short_lines)
    line_ends = text.count("\n")
    repeated = duplicates(lines)[1] / (len(text) - line_ends)
    yield from _above("duplicate_characters", repeated, config.max_duplicate_characters)
    yield from _above("line_ends", line_ends / max(len(words_of(text).words), 1), config.max_line_ends)


def _above(rule: str, value: float, most: float) -> Iterator[tuple[str, str]]:
    if value > most:
        yield rule, f"{value:.3g} > {most:g}"
