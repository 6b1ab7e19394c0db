from __future__ import annotations

from typing import Any

import pytest

from core.config.filters import FineWebQualityFilter
from core.data.filters.fineweb import fineweb_quality_filter
from core.data.filters.verdict import Dropped, Verdict

LONG = [f"the river runs past the town and on to the sea number {n}" for n in range(100)]


def _verdict(text: str, **changes: Any) -> Verdict:
    return fineweb_quality_filter(FineWebQualityFilter(kind="fineweb_quality", **changes))(text)


def _page(*, punctuated: int, of: int) -> str:
    return "\n".join(line + ("." if at < punctuated else "") for at, line in enumerate(LONG[:of]))


CASES = [
    ("punctuated_lines", _page(punctuated=2, of=17), _page(punctuated=3, of=25)),  # 0.118, 0.12
    # Lines of 30 characters are short, of 31 are not: 68 and 67 of 100.
    ("short_lines", "\n".join([f"{n:028}a." for n in range(68)] + [f"{n:029}b." for n in range(32)]),
     "\n".join([f"{n:028}a." for n in range(67)] + [f"{n:029}b." for n in range(33)])),
    # 40 of 3,960 characters, and of 4,000.
    ("duplicate_characters", "\n".join([f"{n:039}." for n in range(98)] + [f"{0:039}."]),
     "\n".join([f"{n:039}." for n in range(99)] + [f"{0:039}."])),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "bad", "good"), CASES)
def test_each_rule_drops_and_spares_its_neighbour(rule: str, bad: str, good: str) -> None:
    verdict = _verdict(bad, max_line_ends=10)
    assert isinstance(verdict, Dropped)
    assert verdict.rule == f"fineweb_quality.{rule}"
    assert _verdict(good, max_line_ends=10) is None


def test_line_ends_a_word() -> None:
    lines = [f"wordswithoutspaceofmanycharacters{number} andanother xy." for number in range(30)]  # 4 words each
    assert _verdict("\n".join(lines)) is None  # 29 of 120
    assert _verdict("\n\n".join(lines)) == Dropped("fineweb_quality.line_ends", "0.483 > 0.3")  # 58 of 120


def test_end_marks_of_other_scripts_count() -> None:
    assert _verdict("这是一个很长的句子它没有空格但是有一个句号在最后面所以它应该留下来。") is None


def test_no_lines() -> None:
    assert _verdict(" \n\n") == Dropped("fineweb_quality.empty", "no lines")
