"""What is known here is how many documents there are: files of rows of the same length."""

from __future__ import annotations

import bz2
import gzip
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
import zstandard

from core.config.data import InstructionData, TextData
from core.data.cleaning.trial import take_sample
from core.data.estimate import BYTES_PER_TOKEN, Estimate, estimate, shares_of
from core.data.readers.opening import opened
from core.data.tokens.tokenizer_files import load_tokenizer

LINES = 2_000


def _text(*paths: Path, vocabulary: int = 4096) -> TextData:
    sources = [{"kind": "path", "path": str(path)} for path in paths]
    tokenizer = {"kind": "train", "vocabulary_size": vocabulary}
    return TextData.model_validate({"kind": "text", "sources": sources, "tokenizer": tokenizer})


def _lines(count: int = LINES) -> bytes:
    """Rows of 500 letters, no two alike, so that they do not compress to nothing."""
    rows = (json.dumps({"text": f"{number * 7919 % 104729:>6} " * 71 + "abc"}) for number in range(count))
    return "".join(f"{row}\n" for row in rows).encode()


def _estimated(data: TextData | InstructionData, count: int) -> Estimate | None:
    sample = take_sample(data, count)
    return estimate(data, shares_of(data, sample), sample.candidates, None, None)


@pytest.mark.parametrize(
    ("name", "packed"),
    [("a.jsonl", bytes), ("a.jsonl.gz", gzip.compress), ("a.jsonl.bz2", bz2.compress),
     ("a.jsonl.zst", zstandard.compress)],
)  # fmt: skip
def test_the_whole_is_told_from_a_part(name: str, packed: Callable[[bytes], bytes], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(packed(_lines()))
    found = _estimated(_text(tmp_path / name), 200)
    assert found is not None
    assert not found.is_exact
    assert found.documents == pytest.approx(LINES, rel=0.05)
    assert found.tokens == pytest.approx(LINES * (500 / BYTES_PER_TOKEN + 1), rel=0.05)
    assert found.bytes == pytest.approx(2 * found.tokens + 8 * found.documents)


def test_of_a_large_compressed_file_only_the_beginning_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (json.dumps({"text": random.Random(number).randbytes(1000).hex()}) for number in range(4000))
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress("".join(f"{row}\n" for row in rows).encode(), 1))
    monkeypatch.setattr("core.data.estimate._SMALL_BYTES", 0)
    read: list[int] = []

    @contextmanager
    def counted(path: Path) -> Iterator[BinaryIO]:
        with opened(path) as stream:
            yield stream
            read.append(stream.tell())

    monkeypatch.setattr("core.data.estimate.opened", counted)
    found = _estimated(_text(tmp_path / "a.jsonl.gz"), 2000)
    assert found is not None
    assert found.documents == pytest.approx(4000, rel=0.15)
    assert max(read) < 5_000_000  # of 8 MB of text


def test_a_sample_of_all_is_exact(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(_lines(50))
    found = _estimated(_text(tmp_path / "a.jsonl"), 50)
    assert found is not None
    assert (found.documents, found.is_exact) == (50, True)


def test_files_and_sources_add_up(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(5):
        (folder / f"{number}.jsonl").write_bytes(_lines(400))
    (tmp_path / "more.jsonl").write_bytes(_lines(1000))
    found = _estimated(_text(folder, tmp_path / "more.jsonl"), 1200)  # 600 of each: one file and a half
    assert found is not None
    assert found.documents == pytest.approx(3000, rel=0.02)


def test_whole_files_are_documents(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{number:02}.txt").write_text("x" * 1000)
    found = _estimated(_text(tmp_path), 10)
    assert found is not None
    assert found.documents == pytest.approx(40)


def test_rows_of_parquet_are_counted(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["x" * 100] * 3000}), tmp_path / "a.parquet", row_group_size=500)
    found = _estimated(_text(tmp_path / "a.parquet"), 300)
    assert found is not None
    assert found.documents == pytest.approx(3000, rel=0.01)


def test_nobody_can_say_where_nothing_was_seen(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(_lines(10))
    data = _text(tmp_path / "a.jsonl")
    assert estimate(data, [None], [], None, None) is None


def test_what_filters_dropped_is_not_in_the_estimate(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(_lines(100))
    data = _text(tmp_path / "a.jsonl")
    sample = take_sample(data, 100)
    found = estimate(data, shares_of(data, sample), sample.candidates[:25], None, None)
    assert found is not None
    assert (found.documents, found.tokens) == (25, 25 * (500 / BYTES_PER_TOKEN + 1))


def test_a_large_vocabulary_takes_four_bytes_and_a_mark_one(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(_lines(10))
    found = _estimated(_text(tmp_path / "a.jsonl", vocabulary=100_000), 10)
    assert found is not None
    assert found.bytes == pytest.approx(4 * found.tokens + 8 * 10)
    (tmp_path / "b.jsonl").write_text('{"prompt": "abcd", "completion": "efgh"}\n' * 10)
    data = InstructionData.model_validate(
        {"kind": "instructions", "sources": [{"kind": "path", "path": str(tmp_path / "b.jsonl")}],
         "tokenizer": {"kind": "train"}}
    )  # fmt: skip
    found = _estimated(data, 10)
    assert found is not None
    assert found.tokens == 10 * (8 / BYTES_PER_TOKEN + 1)
    assert found.bytes == pytest.approx(3 * found.tokens + 8 * 10)


def test_a_tokenizer_says_how_long_its_tokens_are(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path / "words"
    folder.mkdir()
    words = Tokenizer(models.WordLevel({"<|endoftext|>": 0, "a": 1, "?": 2}, "?"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words.add_special_tokens(["<|endoftext|>"])
    words.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text('{"eos_token": "<|endoftext|>"}')
    (tmp_path / "a.jsonl").write_text((json.dumps({"text": "a " * 99 + "a"}) + "\n") * 1000)
    data = _text(tmp_path / "a.jsonl")
    sample = take_sample(data, 1000)
    found = estimate(data, shares_of(data, sample), sample.candidates, load_tokenizer(folder), None)
    assert found is not None
    assert found.tokens == pytest.approx(1000 * 101)
