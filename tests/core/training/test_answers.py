"""Finding and comparing answers that can be checked."""

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.training.answers import Find, expected_answer, found_answer, number_in, same_answer

GSM8K = "He sold 16 - 3 = <<16-3=13>>13 eggs for 2 dollars each.\nThat is 13 * 2 = $<<13*2=26>>26.\n#### 26"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("so the answer is 18.", Fraction(18)),
        ("$1,234.50 in all", Fraction("1234.5")),
        ("-$3", Fraction(-3)),
        ("it fell to $-3", Fraction(-3)),
        ("it fell to −3 degrees", Fraction(-3)),
        ("+4", Fraction(4)),
        ("so 16-3", Fraction(3)),
        ("x=-3", Fraction(-3)),
        ("so 16 - 3", Fraction(3)),
        ("first 5, then 7", Fraction(7)),
        ("1,2,3", Fraction(3)),
        ("1,2345", Fraction(2345)),
        ("12,345,678 people", Fraction(12_345_678)),
        ("0.50", Fraction(1, 2)),
        (".5 of it", Fraction(1, 2)),
        ("3/4 of the cake", Fraction(3, 4)),
        ("2 1/2 hours", Fraction(5, 2)),
        ("50%", Fraction(50)),
        ("€5", Fraction(5)),
        ("1.5e3 metres", Fraction(1500)),
        ("18eggs", Fraction(18)),
        (r"so \$18 and \frac", Fraction(18)),
    ],
)
def test_last_number(text: str, expected: Fraction) -> None:
    answer = found_answer(text, "last_number")
    assert answer is not None
    assert number_in(answer) == expected


@pytest.mark.parametrize(
    ("text", "find", "expected"),
    [
        (GSM8K, "after_hashes", "26"),
        ("#### 1,000 dollars\nQuestion: 5", "after_hashes", "1,000 dollars"),
        ("no hashes 5", "after_hashes", None),
        ("####\n5", "after_hashes", None),
        (r"so \boxed{\frac{1}{2}}.", "boxed", r"\frac{1}{2}"),
        (r"\boxed{1} no, \boxed{\{1, \sqrt{2}\}}", "boxed", r"\{1, \sqrt{2}\}"),
        (r"\boxed{a\}b}", "boxed", r"a\}b"),
        (r"\boxed{1", "boxed", None),
        (r"\boxed{}", "boxed", None),
        ("5", "boxed", None),
        ("nothing here", "last_number", None),
        ("  yes\n", "whole", "yes"),
        ("  \n", "whole", None),
    ],
)
def test_found(text: str, find: Find, expected: str | None) -> None:
    assert found_answer(text, find) == expected


@pytest.mark.parametrize(
    ("text", "find", "expected"),
    [
        (GSM8K, "last_number", "26"),
        (GSM8K + "\n(see page 3)", "last_number", "26"),
        ("26", "boxed", "26"),
        ("B", "last_number", "B"),
        ("In all 26 eggs", "last_number", "26"),
        ("In all 26 eggs", "whole", "In all 26 eggs"),
        ("", "whole", None),
    ],
)
def test_answer_of_a_row(text: str, find: Find, expected: str | None) -> None:
    assert expected_answer(text, find) == expected


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("5.0", "5"), ("1,234", "1234"), ("$5", "5"), ("−3", "-3"), ("0.1", "1/10"), ("18 dollars", "18"),
        (r"\frac{1}{2}", "0.5"), (r"\dfrac12", "1/2"), (r"-\frac{3}{4}", "-0.75"), (r"12\text{cm}", "12"),
        (r"1{,}000", "1000"), (r"90^\circ", "90"), (r"50\%", "50"), (r"$\frac{1}{2}$", "0.5"),
        (r"\left( x \right)", "(x)"), ("the  sea.", "the sea"), (r"\frac{x}{2}", r"\dfrac{x}{2}"),
    ],
)  # fmt: skip
def test_same(left: str, right: str) -> None:
    assert same_answer(left, right)
    assert same_answer(right, left)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("5", "50"), ("-3", "3"), ("0.333", "1/3"), ("18", "18 or 19"), ("A", "a"), ("5", "x"), ("2x + 1", "2"),
        ("1/0", "0"), ("0.1", "0.10000000001"), (r"\frac{x}{2}", r"\frac{y}{2}"), ("50%", "0.5"), ("1,23", "123"),
    ],
)  # fmt: skip
def test_different(left: str, right: str) -> None:
    assert not same_answer(left, right)
    assert not same_answer(right, left)


@given(st.integers(-(10**12), 10**12), st.integers(0, 4), st.sampled_from(["", "$", "€"]), st.booleans())
def test_a_number_is_itself_however_it_is_written(digits: int, places: int, currency: str, commas: bool) -> None:
    value = Fraction(digits, 10**places)
    size = f"{abs(digits) // 10**places:{',' if commas else ''}}"
    behind = f".{abs(digits) % 10**places:0{places}d}" if places else ""
    text = f"{'-' if digits < 0 else ''}{currency}{size}{behind}"
    answer = found_answer(f"There are 7 of them, so it is {text}.", "last_number")
    assert answer == text
    assert number_in(text) == value


def test_a_number_of_thousands_of_digits_is_compared_as_text() -> None:
    assert number_in("9" * 400) is not None
    assert number_in("9" * 401) is None
    assert same_answer("9" * 10_000, "9" * 10_000)
    assert not same_answer("9" * 10_000, "9" * 10_001)


@given(st.text(alphabet="0123456789,./-$%\\{}boxedfrac #\n", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    for find in ("last_number", "after_hashes", "boxed", "whole"):
        answer = found_answer(text, find)
        assert answer is None or same_answer(answer, answer)


@pytest.mark.parametrize("unit", ["9", "1,", "1/", "\\boxed{", "1e9", "a ", "-", "$"])
def test_a_long_text_takes_no_time(unit: str) -> None:
    begin = time.perf_counter()
    text = unit * 20_000
    for find in ("last_number", "after_hashes", "boxed", "whole"):
        answer = found_answer(text, find)
        assert answer is None or same_answer(answer, answer)
    assert time.perf_counter() - begin < 5
