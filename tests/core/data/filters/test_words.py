from __future__ import annotations

import pytest

from core.data.filters.words import LONGEST_CHUNK, split, words_of


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        ("word", ["word"]),
        ("word,", ["word", ","]),
        ("(word).", ["(", "word", ")", "."]),
        ("don't", ["do", "n't"]),
        ("don’t", ["do", "n’t"]),
        ("She'll've", ["She", "'ll", "'ve"]),
        ("cannot,", ["can", "not", ","]),
        ("well", ["well"]),  # not we + ll
        ("dog's", ["dog", "'s"]),
        ("Mr.", ["Mr."]),
        ("U.S.", ["U.S."]),
        ("end.", ["end", "."]),
        ("USA.", ["USA", "."]),
        ("A.", ["A."]),
        ("9a.m.", ["9", "a.m."]),
        ("wait...", ["wait", "..."]),
        ("one...two", ["one", "...", "two"]),
        ("well-known", ["well", "-", "known"]),
        ("and/or", ["and/or"]),
        ("either/or", ["either", "/", "or"]),
        ("first.Second", ["first", ".", "Second"]),
        ("www.example.com/a,b", ["www.example.com/a,b"]),
        ("$12.50,", ["$", "12.50", ","]),
        ("10km", ["10", "km"]),
        ("50%", ["50", "%"]),
        ("2+2", ["2", "+", "2"]),
        ("#tag", ["#", "tag"]),
        ("good:)", ["good", ":)"]),
        ("“quoted”", ["“", "quoted", "”"]),
        ("fine☺", ["fine", "☺"]),
        ("fine😀", ["fine", "😀"]),
        ("आहे.", ["आहे", "."]),
        ("привет,мир", ["привет", ",", "мир"]),
    ],
)
def test_words_of_a_chunk(chunk: str, words: list[str]) -> None:
    assert split(chunk) == words
    assert split(f"x {chunk} y") == ["x", *words, "y"]


def test_sums() -> None:
    words = words_of("It's 12 o'clock, (nearly) ...")
    assert words.words == ["It", "'s", "12", "o'clock", ",", "(", "nearly", ")", "..."]
    assert words.plain == 5  # without , ( ) ...
    assert words.plain_characters == 2 + 2 + 2 + 7 + 6
    assert words.alphabetic == 4  # 12 has no letter


def test_sums_count_every_time_that_a_chunk_stands() -> None:
    words = words_of("tea, tea, 7 tea, 7")
    assert (words.plain, words.plain_characters, words.alphabetic) == (5, 3 * 3 + 2, 3)


def test_sums_do_not_depend_on_what_was_split_before() -> None:
    first = words_of("Tom's 5☎ shop, tom☎ open.")
    words_of("something else")
    assert words_of("Tom's 5☎ shop, tom☎ open.") == first
    assert (first.plain, first.alphabetic) == (8, 5)  # a telephone sign is no punctuation


def test_space_of_every_kind_is_no_word() -> None:
    assert split(" a\tb\n\nc\u00a0d\u3000e ") == ["a", "b", "c", "d", "e"]
    assert words_of("").words == []


def test_a_chunk_without_end_is_cut() -> None:
    assert list(map(len, split("x" * (2 * LONGEST_CHUNK + 5)))) == [LONGEST_CHUNK, LONGEST_CHUNK, 5]
    assert len(split("(" * 200_000)) == 200_000
