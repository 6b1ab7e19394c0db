from __future__ import annotations

from typing import Any

import pytest

from core.config.filters import GopherQualityFilter
from core.data.filters.gopher_quality import gopher_quality_filter
from core.data.filters.verdict import Dropped, Verdict

GOOD = "the river and forest"  # mean length 4.25


def _verdict(text: str, **changes: Any) -> Verdict:
    return gopher_quality_filter(GopherQualityFilter(kind="gopher_quality", **changes))(text)


def _words(number: int) -> str:
    return " ".join((GOOD.split() * number)[:number])


def _lines(ends: list[tuple[str, str]]) -> str:
    return "\n".join(f"{start}{_words(8)}{end}" for start, end in ends)


CASES = [
    ("too_few_words", _words(49), _words(50), {}),
    # Punctuation is no word.
    ("too_few_words", _words(49) + " . , !", _words(50) + " . , !", {}),
    ("too_many_words", _words(61), _words(60), {"max_words": 60}),
    ("short_words", "the and " * 30 + "an", "the and " * 30, {}),
    ("long_words", "tenletters " * 50 + "elevenlette", "tenletters " * 51, {"min_stop_words": 0}),
    # 6 of 56 words are 0.107, 5 of 55 are 0.091.
    ("hashes", "# " * 6 + _words(50), "# " * 5 + _words(50), {}),
    ("ellipses", "... " * 6 + _words(50), "... " * 5 + _words(50), {}),
    ("ellipses", "… " * 6 + _words(50), "… " * 5 + _words(50), {}),
    ("bullet_lines", _lines([("- ", "")] * 10), _lines([("- ", "")] * 9 + [("", "")]), {}),
    ("bullet_lines", _lines([("  • ", "")] * 10), _lines([("  • ", "")] * 9 + [("", "")]), {}),
    ("ellipsis_lines", _lines([("", "... ")] * 4 + [("", "")] * 6), _lines([("", "… ")] * 3 + [("", "")] * 7), {}),
    ("alphabetic_words", _words(39) + " 1234" * 11, _words(40) + " 1234" * 10, {}),
    ("stop_words", "the river runs " * 20, "the river of time " * 20, {}),
    ("stop_words", "The river Of time " * 20, "the river of time " * 20, {}),  # they are told by case
]


@pytest.mark.parametrize(("rule", "bad", "good", "changes"), CASES)
def test_each_rule_drops_and_spares_its_neighbour(rule: str, bad: str, good: str, changes: dict[str, object]) -> None:
    verdict = _verdict(bad, **changes)
    assert isinstance(verdict, Dropped)
    assert verdict.rule == f"gopher_quality.{rule}"
    assert _verdict(good, **changes) is None


def test_the_value_says_what_was_found() -> None:
    assert _verdict(_words(7)) == Dropped("gopher_quality.too_few_words", "7 < 50")
    assert _verdict("# " * 6 + _words(50)) == Dropped("gopher_quality.hashes", "0.107 > 0.1")


def test_the_first_rule_in_order_names_the_verdict() -> None:
    assert _verdict("# # #") == Dropped("gopher_quality.too_few_words", "0 < 50")


@pytest.mark.parametrize("text", ["", " ", "\n", "..."])
def test_nothing_to_count_is_no_error(text: str) -> None:
    verdict = _verdict(text, min_words=0, min_stop_words=0)
    assert verdict is None or isinstance(verdict, Dropped)
