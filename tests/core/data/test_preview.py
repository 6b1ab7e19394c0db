from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config.data import InstructionData, TextData, TrainedTokenizer
from core.config.sources import FilesSource, JSONSource, PathSource
from core.data.preview import preview
from core.errors import DataError


def _file(folder: Path, name: str, *rows: Any) -> JSONSource:
    path = folder / name
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return JSONSource(kind="json", path=str(path))


def _instructions(*sources: JSONSource, **values: Any) -> InstructionData:
    return InstructionData(kind="instructions", sources=list(sources), **values)


def test_rows_of_several_sources_are_numbered_through(tmp_path: Path) -> None:
    first = _file(tmp_path, "a.jsonl", *({"instruction": f"ask {n}", "output": f"say {n}"} for n in range(3)))
    second = _file(tmp_path, "b.jsonl", {"messages": [{"role": "user", "content": "hi"},
                                                      {"role": "assistant", "content": "hello"}]})  # fmt: skip
    found = preview(_instructions(first, second), start=1, count=10)
    assert found.formats == ("alpaca", "messages")
    assert [(row.number, row.source) for row in found.rows] == [(1, 0), (2, 0), (3, 1)]
    assert found.rows[0].place == f"{first.path}:2"
    assert found.as_json()["rows"][2]["turns"] == [
        {"role": "user", "text": "hi", "characters": 2, "supervised": False},
        {"role": "assistant", "text": "hello", "characters": 5, "supervised": True},
    ]
    assert found.total == 4


@pytest.mark.parametrize(
    ("start", "count", "places", "total"), [(0, 2, 2, None), (1, 2, 2, 3), (3, 2, 0, 3), (9, 1, 0, 3)]
)
def test_the_end_is_known_where_it_was_reached(
    start: int, count: int, places: int, total: int | None, tmp_path: Path
) -> None:
    source = _file(tmp_path, "a.jsonl", *({"prompt": "p", "completion": str(n)} for n in range(3)))
    found = preview(_instructions(source), start=start, count=count)
    assert (len(found.rows), found.total, found.start) == (places, total, start)


def test_texts_are_cut_and_say_how_long_they_are(tmp_path: Path) -> None:
    row = {"instruction": "a" * 100, "input": "b" * 50, "output": "c" * 30}
    (shown,) = preview(_instructions(_file(tmp_path, "a.jsonl", row)), start=0, count=1).as_json(10)["rows"]
    asked, answer = shown["turns"]
    assert (asked["text"], asked["characters"]) == ("a" * 10, 100)
    assert asked["input"] == {"text": "b" * 10, "characters": 50}
    assert (answer["text"], answer["characters"]) == ("c" * 10, 30)


def test_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("first\n\nsecond\n")
    source = FilesSource(kind="files", path=str(tmp_path), document="paragraph")
    data = TextData(kind="text", sources=[source], tokenizer=TrainedTokenizer(kind="train"))
    found = preview(data, start=0, count=5).as_json()
    assert (found["kind"], found["formats"], found["total"]) == ("text", ["documents"], 2)
    assert [(row["kind"], row["text"]) for row in found["rows"]] == [("document", "first"), ("document", "second")]


@pytest.mark.parametrize(
    ("row", "kind", "rest"),
    [
        ({"prompt": "q", "chosen": "good", "rejected": "bad"}, "preference", {"chosen": "good", "rejected": "bad"}),
        ({"prompt": "q", "completion": "x", "label": False}, "judged", {"label": False}),
        ({"prompt": "q"}, "prompt", {}),
    ],
)
def test_what_rows_say_keeps_its_form(row: dict[str, Any], kind: str, rest: dict[str, Any], tmp_path: Path) -> None:
    (shown,) = preview(_instructions(_file(tmp_path, "a.jsonl", row)), start=0, count=1).as_json()["rows"]
    assert shown["kind"] == kind
    assert shown["turns"][0]["text"] == "q"
    said = {name: shown[name][0]["text"] if isinstance(shown[name], list) else shown[name] for name in rest}
    assert said == rest


def test_bad_rows_are_told_with_their_place(tmp_path: Path) -> None:
    good = {"instruction": "a", "output": "b"}
    source = _file(tmp_path, "a.jsonl", good, good, "{broken", {"instruction": "a", "output": ""}, good)
    found = preview(_instructions(source), start=0, count=10).as_json()
    assert (len(found["rows"]), found["bad_rows"]) == (3, 2)
    assert [error.split(": ")[0] for error in found["errors"]] == [f"{source.path}:3", f"{source.path}:4"]


def test_rows_of_no_known_format_are_refused_with_their_keys(tmp_path: Path) -> None:
    source = _file(tmp_path, "a.jsonl", {"colour": 1, "size": 2})
    with pytest.raises(DataError, match="'colour', 'size'"):
        preview(_instructions(source), start=0, count=1)


def test_columns_that_nobody_knows_are_shown_as_they_are(tmp_path: Path) -> None:
    source = _file(tmp_path, "a.jsonl", {"colour": "red", "size": [1, 2]}, {"colour": "blue", "size": None})
    data = TextData(kind="text", sources=[source], tokenizer=TrainedTokenizer(kind="train"))
    found = preview(data, start=1, count=5).as_json()
    assert (found["formats"], found["total"], found["bad_rows"]) == (["columns"], 2, 0)
    assert found["rows"][0]["kind"] == "columns"
    assert found["rows"][0]["values"] == {"colour": "blue", "size": "null"}


def test_a_few_rows_without_text_are_bad_ones(tmp_path: Path) -> None:
    source = _file(tmp_path, "a.jsonl", {"text": "one"}, {"colour": "red", "size": 1}, {"text": "two"})
    data = TextData(kind="text", sources=[source], tokenizer=TrainedTokenizer(kind="train"))
    found = preview(data, start=0, count=5)
    assert (found.formats, [row.says for row in found.rows], found.bad_rows) == (("documents",), ["one", "two"], 1)


def test_of_a_file_of_documents_no_more_is_read_than_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of a dump take long to turn into text: none is looked at only to find out what they are."""
    import core.data.preview as module

    (tmp_path / "a.txt").write_text("one\n\ntwo\n\nthree\n")

    def refuse(*_: object) -> None:
        raise AssertionError("looked at records")

    monkeypatch.setattr(module, "records", refuse)
    source = PathSource(kind="path", path=str(tmp_path / "a.txt"), document="paragraph")
    data = TextData(kind="text", sources=[source], tokenizer=TrainedTokenizer(kind="train"))
    assert [row.says for row in preview(data, start=0, count=2).rows] == ["one", "two"]
