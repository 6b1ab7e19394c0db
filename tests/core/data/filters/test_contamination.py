from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from core.config.filters import ContaminationFilter
from core.data.filters.contamination import contamination_filter, words_of
from core.data.filters.verdict import Dropped, TextFilter
from core.errors import DataError, UsageError

QUESTION = "Natalia sold clips to forty eight of her friends in April, and then she sold half as many in May."
WORDS = words_of(QUESTION)


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def _filter(*references: Path, **changes: Any) -> TextFilter:
    return contamination_filter(
        ContaminationFilter(kind="contamination", references=[str(path) for path in references], **changes)
    )


def test_words_are_compared_without_case_and_punctuation() -> None:
    assert words_of("It's 3.5 -- “OK”, snake_case!") == ["it", "s", "3", "5", "ok", "snake", "case"]
    assert words_of("北京 is 大") == ["北", "京", "is", "大"]


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    return _write(tmp_path / "test.jsonl", [{"question": QUESTION, "answer": "72"}])


def test_thirteen_words_in_a_row(reference: Path) -> None:
    keep = _filter(reference)
    run = " ".join(WORDS[3:16]).upper().replace(" ", " - ")
    assert keep(f"before {run} after") == Dropped(
        "contamination.13_gram", "test.jsonl: to forty eight of her friends in april and then she sold half"
    )
    assert keep(f"before {' '.join(WORDS[3:15])} after") is None
    assert keep(" ".join(WORDS[3:15]) + " x " + " ".join(WORDS[15:])) is None  # interrupted
    assert keep(" ".join(reversed(WORDS))) is None  # the same words in another order
    assert keep("") is None


@pytest.mark.parametrize("place", [0, len(WORDS) - 13])
def test_the_ends_of_a_reference_count(reference: Path, place: int) -> None:
    assert isinstance(_filter(reference)(" ".join(WORDS[place : place + 13])), Dropped)


def test_the_length_of_a_run(reference: Path) -> None:
    text = " ".join(WORDS[:5])
    assert _filter(reference, ngram=5)(text) == Dropped("contamination.5_gram", f"test.jsonl: {text}")
    assert _filter(reference, ngram=6)(text) is None


def test_a_short_reference_counts_as_a_whole(tmp_path: Path) -> None:
    eight, seven = "one two three four five six seven eight", "red green blue white black brown pink"
    keep = _filter(_write(tmp_path / "short.jsonl", [{"a": eight, "b": seven}]))
    assert keep(f"zero {eight} nine") == Dropped("contamination.8_gram", f"short.jsonl: {eight}")
    assert keep(eight.removesuffix(" eight")) is None
    assert keep(seven) is None


def test_every_text_of_a_row_counts(tmp_path: Path) -> None:
    row = {"id": 7, "nested": {"choices": [{"text": QUESTION}, None, 3]}}
    assert isinstance(_filter(_write(tmp_path / "deep.jsonl", [row]))(QUESTION), Dropped)


def test_several_references_and_kinds_of_file(tmp_path: Path, reference: Path) -> None:
    other = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron"
    with gzip.open(tmp_path / "other.txt.gz", "wt", encoding="utf-8") as file:
        file.write(other)
    keep = _filter(reference, tmp_path / "other.txt.gz")
    found = keep(f"see {other}")
    assert isinstance(found, Dropped)
    assert found.value.startswith("other.txt.gz: alpha beta")
    assert isinstance(keep(QUESTION), Dropped)
    assert isinstance(_filter(tmp_path)(other), Dropped)  # the folder with both


def test_a_reference_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises((UsageError, DataError), match="nowhere"):
        _filter(tmp_path / "nowhere.jsonl")


def test_references_without_long_texts(tmp_path: Path) -> None:
    path = _write(tmp_path / "labels.jsonl", [{"label": "yes"}])
    with pytest.raises(UsageError, match="texts of at least 8 words, found none"):
        _filter(path)


def test_much_text_of_which_nothing_is_known(reference: Path) -> None:
    assert _filter(reference)(" ".join(f"word{number}" for number in range(2000))) is None


def test_text_with_half_a_surrogate_pair_is_no_error(reference: Path) -> None:
    assert _filter(reference)("\ud800 " * 20) is None
