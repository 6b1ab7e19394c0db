"""A tokenizer trained in a process of its own: the same one, and a stop ends it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config.data import TextData
from core.data.cleaning.clean import Means
from core.data.prepare import PreparationStopped, prepare
from core.data.progress import Work

SIZE = 270


def make(corpus: Path, folder: Path, stop_at: str = "") -> bytes:
    values = {
        "kind": "text", "sources": [{"kind": "files", "path": str(corpus)}], "held_out_fraction": 0,
        "tokenizer": {"kind": "train", "vocabulary_size": SIZE},
    }  # fmt: skip
    stages: set[str] = set()

    def progress(stage: str, done: float, total: float | None, unit: str, note: str = "") -> None:
        stages.add(stage)

    work = Work(progress, lambda: stop_at in stages)
    data = TextData.model_validate_json(json.dumps(values))
    made = prepare(data, folder, seed=1, model_tokenizer=None, work=work, means=Means(keeps_work=True))
    return (made.tokenizer / "tokenizer.json").read_bytes()


def test_a_process_of_its_own_trains_the_same_tokenizer_and_a_stop_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("the quick brown fox jumps over the lazy dog, again and again\n" * 50)
    expected = make(tmp_path / "a.txt", tmp_path / "here")
    monkeypatch.setattr("core.data.cleaning.pool._SMALL_BYTES", 0)
    with pytest.raises(PreparationStopped):
        make(tmp_path / "a.txt", tmp_path / "data", stop_at="training the tokenizer")
    assert not (tmp_path / ".data.partial/tokenizer").exists()
    assert make(tmp_path / "a.txt", tmp_path / "data") == expected
