from __future__ import annotations

import random
from typing import Any

import pytest

from core.config.filters import GopherRepetitionFilter
from core.data.filters.gopher_repetition import (
    duplicate_ngram_characters,
    duplicates,
    gopher_repetition_filter,
    top_ngram_characters,
)
from core.data.filters.verdict import Dropped, Verdict
from core.data.filters.words import words_of

OFF: dict[str, Any] = {
    "max_duplicate_lines": 1, "max_duplicate_paragraphs": 1, "max_duplicate_line_characters": 1,
    "max_duplicate_paragraph_characters": 1, "top_ngrams": [], "duplicate_ngrams": [],
}  # fmt: skip


def _verdict(text: str, **changes: Any) -> Verdict:
    return gopher_repetition_filter(GopherRepetitionFilter(kind="gopher_repetition", **changes))(text)


def _distinct(number: int, seed: int = 0) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices("abcdefghij", k=7)) for _ in range(number)]


LINES = _distinct(10)
SENTENCE = " ".join(_distinct(5, 1))  # 39 characters, 35 without spaces
REST = " ".join(_distinct(60, 2))

CASES = [
    # 4 of 10 and 3 of 10.
    ("duplicate_lines", "\n".join([*LINES[:6], *LINES[:1] * 4]), "\n".join([*LINES[:7], *LINES[:1] * 3]),
     {"max_duplicate_lines": 0.3}),
    ("duplicate_paragraphs", "\n\n".join([*LINES[:6], *LINES[:1] * 4]), "\n\n".join([*LINES[:7], *LINES[:1] * 3]),
     {"max_duplicate_paragraphs": 0.3}),
    # One of 30 lines, of 21 in 100 characters and of 20 in 100.
    ("duplicate_line_characters", f"{'x' * 21}\n{'y' * 56}\n{'x' * 21}", f"{'x' * 20}\n{'y' * 58}\n{'x' * 20}",
     {"max_duplicate_line_characters": 0.2}),
    ("duplicate_paragraph_characters",
     f"{'x' * 21}\n\n{'y' * 54}\n\n{'x' * 21}", f"{'x' * 20}\n\n{'y' * 56}\n\n{'x' * 20}",
     {"max_duplicate_paragraph_characters": 0.2}),
    # aa bb twice: 2 * 5 of 49 and of 50 characters.
    ("top_2_gram", f"aa bb {'z' * 37} aa bb", f"aa bb {'z' * 38} aa bb", {"top_ngrams": [0.2]}),
    ("top_3_gram", f"a b c {'z' * 37} a b c", f"a b c {'z' * 38} a b c", {"top_ngrams": [1.0, 0.2]}),
    # The second time 35 of 234 characters, or of 250.
    ("duplicate_5_grams", f"{SENTENCE} {'z' * 154} {SENTENCE}", f"{SENTENCE} {'z' * 170} {SENTENCE}",
     {"duplicate_ngrams": [0.14]}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "bad", "good", "changes"), CASES)
def test_each_rule_drops_and_spares_its_neighbour(rule: str, bad: str, good: str, changes: dict[str, object]) -> None:
    verdict = _verdict(bad, **{**OFF, **changes})
    assert isinstance(verdict, Dropped)
    assert verdict.rule == f"gopher_repetition.{rule}"
    assert _verdict(good, **{**OFF, **changes}) is None


def test_text_without_repetition_stays() -> None:
    assert _verdict(REST) is None
    assert _verdict("") is None


def test_the_value_is_the_share_and_the_threshold() -> None:
    text = "\n".join([*LINES[:6], *LINES[:1] * 4])
    assert _verdict(text, max_duplicate_lines=0.25) == Dropped("gopher_repetition.duplicate_lines", "0.4 > 0.25")


def test_counts_by_hand() -> None:
    assert duplicates(["a", "bb", "a", "a", "bb"]) == (3, 4)
    assert duplicates(["a", "bb"]) == (0, 0)
    assert top_ngram_characters(["a", "bb", "a", "bb", "c"], 2) == 2 * 4
    assert (
        top_ngram_characters(["aaa", "b", "c", "d", "c", "d", "aaa", "b"], 2) == 2 * 5
    )  # the first of two
    assert top_ngram_characters(["a"], 2) == 0
    # a b | b c | c a | a b stood before: 2 characters, and the next n-gram begins after it.
    assert duplicate_ngram_characters(["a", "b", "c", "a", "b", "c"], 2) == 2
    assert duplicate_ngram_characters(["a", "a", "a", "a", "a"], 2) == 4


def _naive(text: str, config: GopherRepetitionFilter) -> str:
    """Table A1 written down without any shortcut."""
    words = words_of(text).words
    for n, most in enumerate(config.top_ngrams, 2):
        ngrams = [" ".join(words[at : at + n]) for at in range(len(words) - n + 1)]
        if ngrams:
            top = max(dict.fromkeys(ngrams), key=ngrams.count)
            if len(top) * ngrams.count(top) / len(text) > most:
                return f"gopher_repetition.top_{n}_gram"
    for n, most in enumerate(config.duplicate_ngrams, 5):
        seen, at, characters = [], 0, 0
        while at <= len(words) - n:
            if words[at : at + n] in seen:
                characters += sum(map(len, words[at : at + n]))
                at += n
            else:
                seen.append(words[at : at + n])
                at += 1
        if characters / len(text) > most:
            return f"gopher_repetition.duplicate_{n}_grams"
    return ""


def test_the_bounds_change_no_verdict() -> None:
    generator = random.Random(3)
    found = set()
    for _ in range(200):
        vocabulary = _distinct(generator.randint(1, 60), generator.randint(0, 9))
        words = generator.choices(vocabulary, k=generator.randint(1, 120))
        for _ in range(generator.randint(0, 3)):
            start = generator.randint(0, len(words))
            words += words[start : start + generator.randint(1, 12)]
        text = " ".join(words)
        changes = {**OFF, "top_ngrams": [0.2, 0.18, 0.16], "duplicate_ngrams": [0.15, 0.14, 0.13, 0.12, 0.11, 0.10]}
        verdict = _verdict(text, **changes)
        rule = verdict.rule if isinstance(verdict, Dropped) else ""
        assert rule == _naive(text, GopherRepetitionFilter(kind="gopher_repetition"))
        found.add(rule)
    assert len(found) > 5
