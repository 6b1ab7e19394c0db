from __future__ import annotations

from typing import Any

import pytest

from core.config.filters import C4QualityFilter
from core.data.filters.c4 import c4_quality_filter, sentences
from core.data.filters.verdict import Changed, Dropped, Verdict

GOOD = "The river is wide here. It was cold. We crossed it! Did they? Yes they did."


def _verdict(text: str, **changes: Any) -> Verdict:
    return c4_quality_filter(C4QualityFilter(kind="c4_quality", **changes))(text)


def test_a_good_page_stays_as_it_is() -> None:
    assert _verdict(GOOD) is None


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("Home | About | Contact", "end_punctuation"),
        ("To be continued in the next part...", "end_punctuation"),
        ("Read more.", "few_words"),
        ("Please enable JavaScript in your browser.", "javascript"),
        ("We value your privacy: see our Privacy Policy now.", "policy"),
        ("This site uses cookies to count visits.", "policy"),
        (f"A word of {'x' * 1001} is too long.", "long_word"),
    ],
)
def test_lines_that_are_left_out(line: str, rule: str) -> None:
    assert _verdict(f"{GOOD}\n{line}\n{GOOD}") == Changed(f"{GOOD}\n{GOOD}", {rule: 1})


@pytest.mark.parametrize(
    "line",
    [
        'He said: "We were there."',
        "Read more here.",
        "Java and a script are two words.",
        "The policy was private from then on.",
        f"A word of {'x' * 1000} is long.",
    ],
)
def test_their_neighbours_stay(line: str) -> None:
    assert _verdict(f"{GOOD}\n{line}") is None


def test_citations_are_taken_out() -> None:
    text = f"{GOOD}\nIt was built in 1901[12] and burned[edit] later[citation needed].\nSee [a] and [ 1 ] too."
    expected = f"{GOOD}\nIt was built in 1901 and burned later.\nSee [a] and [ 1 ] too."
    assert _verdict(text) == Changed(expected, {"citations": 1})
    assert _verdict(text, no_citations=False) is None


def test_a_mark_behind_which_a_citation_stands_counts() -> None:
    assert _verdict(f"{GOOD}\nIt was built in 1901.[3]") == Changed(
        f"{GOOD}\nIt was built in 1901.", {"citations": 1}
    )


def test_pages_that_go_as_a_whole() -> None:
    lorem = _verdict(f"{GOOD}\nLorem ipsum dolor sit amet.")
    assert lorem == Dropped("c4_quality.lorem_ipsum", "Lorem ipsum dolor sit amet.")
    bracket = _verdict(f"{GOOD}\nThe body { '{' } of the function.")
    assert isinstance(bracket, Dropped)
    assert bracket.rule == "c4_quality.curly_bracket"
    # A line that is left out before says nothing about the page.
    assert _verdict(f"{GOOD}\nvar x = {'{'}") == Changed(GOOD, {"end_punctuation": 1})


def test_too_few_sentences() -> None:
    assert _verdict("The river is wide. It was cold. We crossed it! Did they.") == Dropped(
        "c4_quality.too_few_sentences", "4 < 5"
    )
    assert _verdict("Menu\nShop", min_sentences=0) == Dropped("c4_quality.nothing_left", "2 lines left out")


def test_only_space_is_changed() -> None:
    assert _verdict(f"  {GOOD}\n\n {GOOD}") == Changed(f"{GOOD}\n{GOOD}", {"white_space": 1})


def test_rules_can_be_off() -> None:
    text = f"{GOOD}\nmenu\nEnable javascript.\nlorem ipsum\n{'{'}\nterms of use"
    off = {
        "end_punctuation": False, "min_line_words": 0, "no_javascript": False, "no_policies": False,
        "no_lorem_ipsum": False, "no_curly_brackets": False, "max_word_characters": 0,
    }  # fmt: skip
    assert _verdict(text, **off) is None


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("", 0),
        ("no end", 1),
        ("One. Two! Three?", 3),
        ("He said: “Go!” Then he left.", 2),
        ("Really?! Yes.", 2),
        ("Mr. Smith has 3.5 e.g. here.", 1),
        ("Wait... what?", 1),
        ("...", 0),
        ("!", 1),
        ("这是一个句子。 这是另一个。", 2),
    ],
)
def test_sentences(line: str, number: int) -> None:
    assert sentences(line) == number
