r"""Answers that can be checked: finding them in a text, and comparing numbers as numbers.

Numbers are exact fractions, so 0.1 is one tenth, 5.0 is 5, and 0.333 is not a third. A currency sign and a percent sign
say nothing: $5 is 5, and 50% is 50 (as GSM8K writes it; never 0.5). A minus sign belongs to a number where nothing that
could be subtracted from stands right before it: the last number of 16-3 is 3, that of x=-3 is -3.
"""

from __future__ import annotations

import re
from decimal import Decimal
from fractions import Fraction
from typing import Literal, assert_never

Find = Literal["last_number", "after_hashes", "boxed", "whole"]

_CURRENCY = r"\\?[$€£¥]"
_WHOLE = r"(?:[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+)"
_NUMBER = re.compile(
    rf"""
    (?P<sign> (?<![\w)\]}}.]) [-+\u2212] )? (?: {_CURRENCY} \s? (?P<inner> [-\u2212] )? )?
    (?: (?:(?P<units>[0-9]+)[ ])? (?P<over>[0-9]+)/(?P<under>[0-9]+)
      | (?P<decimal> (?:{_WHOLE}(?:\.[0-9]+)? | \.[0-9]+) (?:[eE][-+]?[0-9]{{1,3}}(?!\w))? ) )
    (?: \s? \\? % )?
    """,
    re.VERBOSE,
)
_MINUS = frozenset("-\u2212")
_LONGEST_NUMBER = 400
"""Characters; a longer one is compared as text, for exact arithmetic on it takes a time that nobody asked for."""

_UNITS = re.compile(r"(?:\s+[^\W\d_]+)*\s*\.?")
_LATEX_FRACTION = re.compile(r"\\[dt]?frac\s*(?:\{([^{}]*)\}|([0-9]))\s*(?:\{([^{}]*)\}|([0-9]))")
_LATEX_NOISE = re.compile(r"\\left|\\right|\\[!,;: ]|\^\{?\\circ\}?|\s+")
_LATEX_TEXT = re.compile(r"\\(?:text|mathrm|textbf|mathbf)\{([^{}]*)\}")


def found_answer(text: str, find: Find) -> str | None:
    r"""Return the part of `text` that is its answer; None where it has none.

    last_number: the last one, without the units behind it. after_hashes: the rest of the line behind the first ####
    (Cobbe et al. 2021, arXiv:2110.14168). boxed: what the last \boxed{} holds, whatever braces are in it. whole: all.
    """
    match find:
        case "last_number":
            last = None
            for found in _NUMBER.finditer(text):
                last = found
            return last.group().strip() if last else None
        case "after_hashes":
            _, hashes, behind = text.partition("####")
            return behind.lstrip(" \t").partition("\n")[0].strip() or None if hashes else None
        case "boxed":
            return _boxed(text)
        case "whole":
            return text.strip() or None
        case _:
            assert_never(find)


def expected_answer(text: str, find: Find) -> str | None:
    """Return the answer of a row: behind #### where it has that, else as in a response, else all of it."""
    return found_answer(text, "after_hashes") or found_answer(text, find) or found_answer(text, "whole")


def same_answer(left: str, right: str) -> bool:
    """Tell whether two answers are the same number, or else the same text but for white space and LaTeX's spellings.

    Upper and lower case differ; a dot at the end does not count.
    """
    first, second = number_in(left), number_in(right)
    if first is not None or second is not None:
        return first == second
    return _plain(left) == _plain(right)


def number_in(text: str) -> Fraction | None:
    """Return the number that `text` is, with at most its units behind it (18 dollars); None where it is none."""
    text = _unwrapped(text)
    found = _NUMBER.match(text)
    if found is None or not _UNITS.fullmatch(text, found.end()) or len(found.group()) > _LONGEST_NUMBER:
        return None
    minus = (found["sign"] in _MINUS) != (found["inner"] in _MINUS)
    size = _size(found)
    return None if size is None else -size if minus else size


def _size(found: re.Match[str]) -> Fraction | None:
    if found["decimal"]:
        return Fraction(Decimal(found["decimal"].replace(",", "")))
    over, under = int(found["over"]), int(found["under"])
    if under == 0:
        return None
    return int(found["units"] or 0) + Fraction(over, under)


def _boxed(text: str) -> str | None:
    start = max(text.rfind("\\boxed{"), text.rfind("\\fbox{"))
    if start < 0:
        return None
    begin = text.index("{", start) + 1
    depth, place = 1, begin
    while place < len(text) and depth:
        if text[place] == "\\":
            place += 1  # an escaped brace opens and closes nothing
        else:
            depth += {"{": 1, "}": -1}.get(text[place], 0)
        place += 1
    return None if depth else text[begin : place - 1].strip() or None


def _unwrapped(text: str) -> str:
    r"""Return LaTeX as one would type it: \frac{1}{2} as 1/2, 1{,}000 as 1,000, \text{ cm} as cm."""
    text = _LATEX_TEXT.sub(r" \1", text.replace("{,}", ","))
    text = _LATEX_FRACTION.sub(lambda m: f"{m[1] or m[2] or ''}/{m[3] or m[4] or ''}", text)
    text = _LATEX_NOISE.sub(" ", text).strip()
    return text[1:-1].strip() if len(text) > 1 and text[0] == text[-1] == "$" else text


def _plain(text: str) -> str:
    if "\\" not in text and "$" not in text:
        return " ".join(text.split()).removesuffix(".").rstrip()
    fractions = _LATEX_FRACTION.sub(lambda m: f"({m[1] or m[2] or ''})/({m[3] or m[4] or ''})", text)
    return _LATEX_NOISE.sub("", _LATEX_TEXT.sub(r"\1", fractions)).replace("$", "").removesuffix(".")
