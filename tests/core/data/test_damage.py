"""Worse answers by stated rules: worked by hand, the same each time, never the answer itself."""

from __future__ import annotations

import random
from typing import Any

import pytest

from core.config.preferences import Damage
from core.data import damage as module
from core.data.damage import damaged, damaged_pairs
from core.data.formats import Conversation, Preference, Turn
from core.data.splits import is_held_out
from core.data.tally import Tally

LINES = "def f(x):\n    y = x + 1\n\n    z = y * 2\n    return z\n"


def rule(name: str, strength: float = 0.5) -> Damage:
    return Damage.model_validate({"rule": name, "strength": strength})


def row(answer: str, question: str = "Say it.") -> Conversation:
    return Conversation((Turn("user", question), Turn("assistant", answer)))


def made(
    answers: list[str], config: Damage, *, seed: int = 1, fraction: float = 0.0, tally: Tally | None = None
) -> list[Preference]:
    stream = [(f"rows:{number}", row(answer, f"question {number}")) for number, answer in enumerate(answers)]
    found = damaged_pairs(stream, config, tally or Tally("rows", 1.0), seed=seed, held_out_fraction=fraction)
    return [pair for _, pair in found]


def worse(answer: str, config: Damage, seed: int = 1) -> str:
    (pair,) = made([answer], config, seed=seed)
    assert pair.chosen == (Turn("assistant", answer),)
    return pair.rejected[0].content


@pytest.mark.parametrize("name", ["shuffle_lines", "shuffle_words", "repeat", "cut"])
@pytest.mark.parametrize("answer", [LINES, "one two three four five six", "word", "日本語を話します", "a\n\nb"])
def test_a_worse_answer_hangs_on_seed_and_row_alone(name: str, answer: str) -> None:
    first = worse(answer, rule(name))
    assert first == worse(answer, rule(name))
    assert first.strip()
    assert first.strip() != answer.strip()
    beside = made(["other", answer, "more"], rule(name))
    alone = list(damaged_pairs([("x", row(answer, "question 1"))], rule(name), Tally("r", 1.0), seed=1,
                               held_out_fraction=0.0))  # fmt: skip
    assert beside[1] == alone[0][1]


def test_another_seed_damages_otherwise() -> None:
    answer = " ".join(map(str, range(30)))
    assert len({worse(answer, rule("shuffle_words"), seed) for seed in range(5)}) == 5


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("strength", "moved"), [(0.01, 2), (0.5, 2), (1.0, 4)])
def test_shuffled_lines_are_the_same_lines_elsewhere(seed: int, strength: float, moved: int) -> None:
    lines = [line for line in LINES.split("\n") if line]
    found = worse(LINES, rule("shuffle_lines", strength), seed)
    after = [line for line in found.split("\n") if line]
    assert sorted(after) == sorted(lines)
    assert sum(one != other for one, other in zip(lines, after, strict=True)) == moved
    # The blank line stays where it was, and so does the end.
    assert [not line for line in found.split("\n")] == [not line for line in LINES.split("\n")]


def test_shuffled_words_keep_the_space_between_them() -> None:
    found = worse("one  two\nthree", rule("shuffle_words", 1.0))
    assert sorted(found.split()) == ["one", "three", "two"]
    assert [part for part in found if part.isspace()] == [" ", " ", "\n"]
    assert found.split() != ["one", "two", "three"]


def test_one_line_is_parted_into_words_and_one_word_into_characters() -> None:
    assert sorted(worse("b a c d", rule("shuffle_lines")).split()) == ["a", "b", "c", "d"]
    assert sorted(worse("bacd", rule("shuffle_lines"))) == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("answer", "strength", "kept"),
    [("a b c d", 0.5, "a b"), ("a b c d", 0.01, "a b c"), ("a b c d", 1.0, "a"), ("a\nb\nc\nd\n", 0.25, "a\nb\nc"),
     ("a b\n\nc d", 0.5, "a b"), ("abcd", 0.5, "ab")],
)  # fmt: skip
def test_cut_by_hand(answer: str, strength: float, kept: str) -> None:
    assert worse(answer, rule("cut", strength)) == kept


class _Drawn(random.Random):
    """Draws what a test says."""

    def __init__(self, number: int) -> None:
        self._number = number

    def randint(self, low: int, high: int) -> int:
        assert low <= self._number <= high
        return self._number


@pytest.mark.parametrize(
    ("answer", "strength", "loop", "expected"),
    [
        ("a b c d", 0.5, 1, "a b b b"),
        ("a b c d", 0.5, 2, "a b a b"),
        ("a b c d e f", 0.5, 2, "a b c b c b"),
        ("a\nb\n\nc\n", 0.34, 2, "a\nb\n\na\n"),
        ("a b", 1.0, 1, "a a"),
    ],
)
def test_repeat_by_hand(answer: str, strength: float, loop: int, expected: str) -> None:
    """The end is replaced by what stood before it: nobody can tell the worse answer by its length."""
    assert damaged(answer, rule("repeat", strength), _Drawn(loop)) == expected


def test_one_character_is_said_again_and_can_be_damaged_by_nothing_else() -> None:
    assert worse("x", rule("repeat")) == "xx"
    for name in ("shuffle_lines", "shuffle_words", "cut"):
        tally = Tally("rows", 1.0)
        assert made(["x", "1 1", "y\ny"] if name != "cut" else ["x"], rule(name), tally=tally) == []
        assert tally.bad == {"equal_pair": 3 if name != "cut" else 1}
        assert "rows:0: expected an answer that" in tally.errors[0]


def test_a_shuffle_that_changes_nothing_is_drawn_again() -> None:
    for seed in range(20):
        assert sorted(worse("x x y", rule("shuffle_words", 0.01), seed).split()) == ["x", "x", "y"]


@pytest.mark.parametrize("name", ["shuffle_lines", "shuffle_words", "repeat", "cut"])
def test_of_an_empty_answer_nothing_can_be_damaged(name: str) -> None:
    tally = Tally("rows", 1.0)
    assert made([" \n", ""], rule(name), tally=tally) == []
    assert tally.bad == {"equal_pair": 2}


def test_an_empty_answer_is_no_worse_one() -> None:
    tally = Tally("rows", 1.0)
    assert [pair.chosen[0].content for pair in made(["yes", " "], rule("other_answer"), tally=tally)] == [" "]
    assert tally.bad == {"equal_pair": 1}


def test_another_answer_is_that_of_another_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK", 4)
    answers = [f"answer {number}" for number in range(9)]
    pairs = made(answers, rule("other_answer"))
    assert len(pairs) == 9
    for number, pair in enumerate(pairs):
        other = answers.index(pair.rejected[0].content)
        assert other != number
        # The last block has one row: it takes from the one before.
        assert other // 4 in (number // 4, number // 4 - 1)
    assert pairs == made(answers, rule("other_answer"))


def test_equal_answers_are_no_other_ones() -> None:
    tally = Tally("rows", 1.0)
    assert made(["yes", " yes", "yes"], rule("other_answer"), tally=tally) == []
    assert tally.bad == {"equal_pair": 3}
    for seed in range(4):
        first, second, third = made(["yes", "yes ", "no"], rule("other_answer"), seed=seed)
        assert first.rejected[0].content == second.rejected[0].content == "no"
        assert third.rejected[0].content.strip() == "yes"


def test_no_held_out_answer_is_trained_on() -> None:
    answers = [f"answer {number}" for number in range(60)]
    sides = [is_held_out(f"question {number}", seed=1, fraction=0.4) for number in range(60)]
    assert {True, False} == set(sides)
    for number, pair in enumerate(made(answers, rule("other_answer"), fraction=0.4)):
        assert sides[answers.index(pair.rejected[0].content)] == sides[number]


def test_what_stands_before_the_last_answer_is_the_prompt_and_is_not_counted() -> None:
    turns = (Turn("system", "s"), Turn("user", "a", "in"), Turn("assistant", "b"), Turn("user", "c"))
    stream: list[Any] = [("x", Conversation((*turns, Turn("assistant", "one two three"))))]
    ((place, pair),) = damaged_pairs(stream, rule("cut"), Tally("r", 1.0), seed=1, held_out_fraction=0.0)
    assert place == "x"
    assert pair.prompt == (*turns[:2], Turn("assistant", "b", supervised=False), turns[3])
