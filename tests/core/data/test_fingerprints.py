"""The name of a cached preparation changes with whatever changes the result, and with nothing else."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from core.config.data import InstructionData
from core.config.sources import JSONSource
from core.data import fingerprints
from core.data.fingerprints import cache_key, source_file_records, with_known_tokenizer
from core.data.progress import PreparationStopped, Work, silent
from core.errors import UsageError


def data(path: Path, **fields: Any) -> InstructionData:
    values = {"kind": "instructions", "sources": [{"kind": "json", "path": str(path)}], **fields}
    return InstructionData.model_validate_json(json.dumps(values))


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n')
    return path


@pytest.mark.parametrize(
    "fields",
    [
        {"format": "alpaca"},
        {"template": "alpaca"},
        {"max_tokens": 100},
        {"held_out_fraction": 0.1},
        {"max_bad_rows": 0.5},
        {"tokenizer": {"kind": "train", "vocabulary_size": 300}},
    ],
)
def test_every_field_that_matters_changes_the_key(
    rows: Path, byte_level: Callable[..., Path], fields: dict[str, Any]
) -> None:
    folder = byte_level()
    assert cache_key(data(rows, **fields), 1, folder) != cache_key(data(rows), 1, folder)


def test_content_seed_tokenizer_and_template_change_the_key(
    rows: Path, byte_level: Callable[..., Path], chatml: str
) -> None:
    folder = byte_level()
    keys = {cache_key(data(rows), 1, folder), cache_key(data(rows), 2, folder)}
    rows.write_text('{"instruction": "a", "output": "c"}\n')
    keys.add(cache_key(data(rows), 1, folder))
    (folder / "chat_template.jinja").write_text(chatml)
    keys.add(cache_key(data(rows), 1, folder))
    (folder / "tokenizer.json").write_text((folder / "tokenizer.json").read_text() + "\n")
    keys.add(cache_key(data(rows), 1, folder))
    assert len(keys) == 5


def test_place_time_and_the_laying_of_batches_do_not_change_the_key(
    rows: Path, byte_level: Callable[..., Path], tmp_path: Path
) -> None:
    folder = byte_level()
    key = cache_key(data(rows), 1, folder)
    os.utime(rows, (1, 1))
    assert cache_key(data(rows, pack=False), 1, folder) == key
    (tmp_path / "elsewhere").mkdir()
    moved = rows.rename(tmp_path / "elsewhere" / rows.name)
    assert cache_key(data(moved), 1, folder.rename(tmp_path / "other")) == key


def test_another_version_of_the_format_changes_the_key(
    rows: Path, byte_level: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = byte_level()
    key = cache_key(data(rows), 1, folder)
    monkeypatch.setattr(fingerprints, "VERSION", 99)
    assert cache_key(data(rows), 1, folder) != key


def test_a_large_file_is_known_by_samples_and_time(rows: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_WHOLE_BYTES", 100)
    monkeypatch.setattr(fingerprints, "_BLOCK_BYTES", 10)
    rows.write_bytes(b"x" * 1000)
    os.utime(rows, ns=(1, 1))
    source = JSONSource(kind="json", path=str(rows))
    (first,) = source_file_records(source, Work(silent, lambda: False))
    assert first.fingerprint.startswith("sampled:")
    rows.write_bytes(b"x" * 999 + b"y")
    os.utime(rows, ns=(1, 1))
    (second,) = source_file_records(source, Work(silent, lambda: False))
    os.utime(rows, ns=(2, 2))
    (third,) = source_file_records(source, Work(silent, lambda: False))
    assert len({first.fingerprint, second.fingerprint, third.fingerprint}) == 3


def test_a_known_name_stands_for_its_folder(rows: Path, byte_level: Callable[..., Path], tmp_path: Path) -> None:
    named = data(rows, tokenizer={"kind": "load", "path": "smollm2"})
    with pytest.raises(UsageError, match=r"expected smollm2 on this machine(.|\n)*footplate fetch smollm2"):
        with_known_tokenizer(named, {"smollm2": tmp_path / "nowhere"})
    folder = byte_level()
    found = with_known_tokenizer(named, {"smollm2": folder})
    assert cache_key(found, 1, None) == cache_key(data(rows, tokenizer={"kind": "load", "path": str(folder)}), 1, None)
    assert with_known_tokenizer(data(rows), {"smollm2": folder}) == data(rows)


@pytest.mark.parametrize("whole_bytes", [2**20, 100])
def test_reading_for_the_key_stops_within_a_file(
    whole_bytes: int, rows: Path, byte_level: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.data.progress._POLL_SECONDS", 0)
    monkeypatch.setattr(fingerprints, "_WHOLE_BYTES", whole_bytes)
    monkeypatch.setattr(fingerprints, "_BLOCK_BYTES", 10)
    monkeypatch.setattr(fingerprints, "_READ_BYTES", 10)
    rows.write_bytes(b"x" * 1000)
    folder = byte_level()
    key = cache_key(data(rows), 1, folder)
    asked = iter([False] * 5)
    with pytest.raises(PreparationStopped):
        cache_key(data(rows), 1, folder, should_stop=lambda: next(asked, True))
    assert cache_key(data(rows), 1, folder, should_stop=lambda: False) == key
