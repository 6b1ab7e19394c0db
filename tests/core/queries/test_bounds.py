from __future__ import annotations

import json
from typing import Any

import pytest

from core.queries.bounds import bounded


def test_a_small_answer_stays_as_it_is() -> None:
    answer = {"rows": [{"text": "a" * 1000, "n": 1.5, "none": None}], "errors": ["x", "y"]}
    assert bounded(answer) == answer


def test_a_long_text_says_how_long_it_was() -> None:
    found = bounded({"text": "é" * 3_000_000, "errors": ["b" * 3_000_000]})
    assert found["text"].startswith("éééé")
    assert found["text_characters"] == 3_000_000
    assert found["errors"][0].endswith("… 3,000,000 characters in all")
    assert len(json.dumps(found)) <= 1 << 20


def test_a_long_list_says_how_long_it_was() -> None:
    found = bounded({"tokens": [{"id": number, "text": "abcdefgh"} for number in range(200_000)]})
    assert found["tokens_in_all"] == 200_000
    assert 1000 < len(found["tokens"]) < 200_000
    assert len(json.dumps(found)) <= 1 << 20


@pytest.mark.parametrize(
    "answer",
    [
        {"rows": [{"turns": [{"role": "user", "text": "\x1b" * 50_000}] * 500}] * 200},
        {f"column {number}" * 50: "x" * 5000 for number in range(5000)},
        {"rows": [[["deep" * 100_000] * 100] * 100]},
    ],
)
def test_whatever_comes_fits_into_a_line(answer: dict[str, Any]) -> None:
    assert len(json.dumps(bounded(answer))) <= 1 << 20
