"""Datasets that the datasets library reads, from folders here: splits, slices, saved ones."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from core.config.sources import HubSource
from core.data.readers.hub import read_hub
from core.data.tally import Tally
from core.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of ten rows."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "set"
    folder.mkdir()
    (folder / "train.jsonl").write_text("".join(json.dumps({"n": n}) + "\n" for n in range(10)))
    return folder


def read(folder: Path, split: str, max_rows: int | None = None) -> list[tuple[int, str]]:
    source = HubSource(kind="hub", name=str(folder), split=split, max_rows=max_rows)
    return [(row.values["n"], row.place.rpartition(" ")[2]) for row in read_hub(source, Tally("s", 1.0))]


@pytest.mark.parametrize(
    ("split", "numbers"),
    [
        ("train", range(10)),
        ("train[:3]", range(3)),
        ("train[4:]", range(4, 10)),
        ("train[2:5]", range(2, 5)),
        ("train[5:2]", range(0)),
    ],
)
def test_rows_of_a_slice_are_streamed_with_their_numbers(folder: Path, split: str, numbers: range) -> None:
    assert read(folder, split) == [(number, str(number + 1)) for number in numbers]


@pytest.mark.parametrize(
    ("split", "numbers"), [("train[:20%]", [0, 1]), ("train[-2:]", [8, 9]), ("train[:1]+train[9:]", [0, 9])]
)
def test_other_slices_are_cut_by_the_library(folder: Path, split: str, numbers: list[int]) -> None:
    assert [number for number, _ in read(folder, split)] == numbers


def test_max_rows_ends_a_slice(folder: Path) -> None:
    assert read(folder, "train[4:]", max_rows=2) == [(4, "5"), (5, "6")]


@pytest.mark.parametrize("has_splits", [True, False])
def test_a_folder_that_was_saved_to_disk_is_read(tmp_path: Path, has_splits: bool) -> None:
    saved = datasets.Dataset.from_dict({"n": [0, 1, 2, 3]})
    (datasets.DatasetDict({"train": saved}) if has_splits else saved).save_to_disk(str(tmp_path / "saved"))
    assert read(tmp_path / "saved", "train") == [(number, str(number + 1)) for number in range(4)]
    assert read(tmp_path / "saved", "train[1:3]") == [(1, "2"), (2, "3")]
    with pytest.raises(UsageError, match="take a whole split or rows"):
        read(tmp_path / "saved", "train[:50%]")


@pytest.mark.parametrize("split", ["nope", "nope[:3]", "train[:x]"])
def test_an_unknown_split_is_a_usage_error(folder: Path, split: str) -> None:
    with pytest.raises(UsageError, match="expected a dataset that can be streamed"):
        read(folder, split)
