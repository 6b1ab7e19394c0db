"""The rules of C4 (Raffel et al. 2020, section 2.2), as datatrove 0.10.1 has them and in its order.

Unlike the other quality rules these leave lines out of a document. Not there either: the list of bad words. Sentences
are counted as spaCy's sentencizer counts them: one ends at a word that is an end mark, before the next that is no
punctuation.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

from core.config.filters import C4QualityFilter
from core.data.filters.punctuation import TERMINAL
from core.data.filters.verdict import Changed, Dropped, TextFilter, Verdict
from core.data.filters.words import split

_CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
_LINE_ENDS = (".", "?", "!", '"', "'")
_POLICIES = re.compile("terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies")
# spaCy 3.8, pipeline/sentencizer.pyx: nearly Unicode's Sentence_Terminal.
_SENTENCE_ENDS = TERMINAL | {"\u0964", "\u0965"}


def c4_quality_filter(config: C4QualityFilter) -> TextFilter:
    """Return the filter; `counts` of a changed text count the lines that each rule left out."""

    def verdict(text: str) -> Verdict:
        counts: Counter[str] = Counter()
        kept: list[str] = []
        for line in map(str.strip, text.splitlines()):
            number = len(line.split())
            cited = _CITATION.sub("", line) if config.no_citations else line
            rule = _long_word(line, config) or _line_rule(cited, number, config)
            if rule in _WHOLE_PAGE:
                return Dropped(f"c4_quality.{rule}", cited[:80])
            if rule is None:
                counts["citations"] += cited != line
                kept.append(cited)
            elif line:
                counts[rule] += 1
        return _rest(text, kept, +counts, config)

    return verdict


_WHOLE_PAGE = ("lorem_ipsum", "curly_bracket")


def _rest(text: str, kept: list[str], counts: Counter[str], config: C4QualityFilter) -> Verdict:
    if config.min_sentences and (number := sum(map(sentences, kept))) < config.min_sentences:
        return Dropped("c4_quality.too_few_sentences", f"{number} < {config.min_sentences}")
    left = "\n".join(kept).strip()
    if left == text:
        return None
    if not left:
        return Dropped("c4_quality.nothing_left", f"{counts.total()} lines left out")
    return Changed(left, dict(counts) or {"white_space": 1})


def _long_word(line: str, config: C4QualityFilter) -> str | None:
    most = config.max_word_characters
    return "long_word" if 0 < most < len(line) and any(len(word) > most for word in line.split()) else None


def _line_rule(line: str, words: int, config: C4QualityFilter) -> str | None:
    if config.end_punctuation and (not line.endswith(_LINE_ENDS) or line.endswith("...")):
        return "end_punctuation"
    if words < config.min_line_words:
        return "few_words"
    lower = line.lower()
    if config.no_lorem_ipsum and "lorem ipsum" in lower:
        return "lorem_ipsum"
    if config.no_javascript and "javascript" in lower:
        return "javascript"
    if config.no_curly_brackets and "{" in line:
        return "curly_bracket"
    return "policy" if config.no_policies and _POLICIES.search(lower) else None


def sentences(line: str) -> int:
    """Return how many sentences a line has."""
    number, ended = 0, True
    for word in split(line):
        if word in _SENTENCE_ENDS:
            number, ended = max(number, 1), True
        elif ended and not all(unicodedata.category(character).startswith("P") for character in word):
            number, ended = number + 1, False
    return number
