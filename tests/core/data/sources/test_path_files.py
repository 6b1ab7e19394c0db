"""What a folder holds, and what of it is left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config.sources import PathSource
from core.data.sources.path_files import list_files
from core.errors import DataError


def source(path: Path, **fields: object) -> PathSource:
    return PathSource.model_validate({"kind": "path", "path": str(path), **fields})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with data, words about it, and other things."""
    files = {
        "a.jsonl": '{"text": "a"}\n', "b/c.txt": "words", "b/d.csv": "text\nx\n", "README.md": "# Data",
        "LICENSE-MIT": "Permission", "licence.txt": "CC BY", "copying": "x", "NOTICE.pywb": "x", "labels.lst": "0\n1\n",
        "dataset_info.json": "{}", "picture.png": "\x89PNG", "readme_questions.jsonl": '{"text": "b"}\n', ".git/x": "x",
    }  # fmt: skip
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content, encoding="latin-1")
    return tmp_path


def test_a_folder_gives_its_data_and_says_what_it_leaves_out(folder: Path) -> None:
    listing = list_files(source(folder))
    assert [(file.path.relative_to(folder).as_posix(), file.container) for file in listing.known] == [
        ("a.jsonl", "json_lines"),
        ("b/c.txt", "text"),
        ("b/d.csv", "csv"),
        ("readme_questions.jsonl", "json_lines"),
    ]
    reasons = {file.path.name: file.reason for file in listing.left_out}
    about = {"README.md", "LICENSE-MIT", "licence.txt", "copying", "NOTICE.pywb"}
    assert {name for name, reason in reasons.items() if reason == "tells about the data"} == about
    assert reasons["labels.lst"] == "expected a data set, found a list of labels (0, 1)"
    assert set(reasons) == about | {"labels.lst", "dataset_info.json", "picture.png"}


def test_patterns_choose(folder: Path) -> None:
    listing = list_files(source(folder, include=["*.jsonl", "README*"], exclude=["a*"]))
    assert [file.path.name for file in listing.known] == ["README.md", "readme_questions.jsonl"]
    with pytest.raises(DataError, match=r"expected files that match \*\.zip, found none"):
        list_files(source(folder, include=["*.zip"]))


def test_a_single_file_is_taken_whatever_it_is_called(folder: Path) -> None:
    assert [file.container for file in list_files(source(folder / "licence.txt")).known] == ["text"]
    with pytest.raises(DataError, match=r"labels\.lst: expected a data set, found a list of labels"):
        list_files(source(folder / "labels.lst"))


def test_a_stated_format_is_believed(folder: Path) -> None:
    listing = list_files(source(folder / "labels.lst", format="text"))
    assert [file.container for file in listing.known] == ["text"]


def test_a_folder_without_data_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "labels.lst").write_text("0\n1\n")
    with pytest.raises(DataError, match=r"expected files with data, found none\n  .*labels\.lst: expected a data set"):
        list_files(source(tmp_path))
