"""JSON in all the ways in which records are written, good and broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.readers import json_window
from core.data.readers.json_rows import read_json_array, read_json_lines, read_json_object, read_squad
from core.data.rows import Row
from core.data.tally import Tally
from core.errors import DataError

Reader = Callable[[Path, Tally], Iterator[Row]]


def read(reader: Reader, path: Path, content: str | bytes) -> tuple[list[tuple[str, dict[str, Any]]], Tally]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    tally = Tally("s", 1.0)
    return [(row.place.removeprefix(str(path)), row.values) for row in reader(path, tally)], tally


def test_lines_are_objects_or_strings(tmp_path: Path) -> None:
    found, tally = read(read_json_lines, tmp_path / "a", '{"a": 1}\n\n"some text"\n7\nnull\n{"a": 2}')
    assert found == [(":1", {"a": 1}), (":3", {"text": "some text"}), (":6", {"a": 2})]
    assert (tally.rows, dict(tally.bad)) == (5, {"json": 2})
    assert "found int (the line begins at byte 22)" in tally.errors[0]


def test_a_repeated_key_at_any_depth_is_one_bad_row(tmp_path: Path) -> None:
    lines = ['{"a": {"b": 1, "b": 2}, "c": 1, "c": 1}', '{"a": 1}', '{"a": 1, "a": }', '{"a": 3}']
    found, tally = read(read_json_lines, tmp_path / "a", "\n".join(lines))
    assert [values for _, values in found] == [{"a": 1}, {"a": 3}]
    assert "key 'b' stands twice" in tally.errors[0]
    array, in_array = read(read_json_array, tmp_path / "b", f"[{lines[0]},\n{lines[1]}]")
    assert array == [(":2", {"a": 1})]
    assert (in_array.rows, dict(in_array.bad)) == (2, {"json": 1})


def test_numbers_with_too_many_digits_are_bad_rows(tmp_path: Path) -> None:
    found, tally = read(read_json_lines, tmp_path / "a", '{"a": ' + "9" * 5000 + '}\n{"a": 1}\n')
    assert len(found) == 1
    assert tally.bad["json"] == 1


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
RECORD = st.dictionaries(st.text(max_size=5), PLAIN, max_size=3)


@given(
    records=st.dictionaries(st.text(max_size=5), RECORD, max_size=5),
    chunk=st.integers(1, 40),
    indent=st.sampled_from([None, 2]),
)
@settings(max_examples=150, deadline=None)
def test_arrays_and_objects_are_read_the_same_through_any_window(
    tmp_path_factory: pytest.TempPathFactory, records: dict[str, dict[str, Any]], chunk: int, indent: int | None
) -> None:
    folder = tmp_path_factory.getbasetemp()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_window, "_CHUNK", chunk)
        text = json.dumps(list(records.values()), ensure_ascii=False, indent=indent)
        array, _ = read(read_json_array, folder / "array", text.encode("utf-8", "surrogatepass"))
        text = json.dumps(records, ensure_ascii=False, indent=indent)
        keyed, tally = read(read_json_object, folder / "object", text.encode("utf-8", "surrogatepass"))
    assert [values for _, values in array] == list(records.values())
    assert [values for _, values in keyed] == [
        {"key" if "id" in record else "id": key, **record} for key, record in records.items()
    ]
    assert tally.rows == len(records)


def test_an_object_of_records_gives_its_keys(tmp_path: Path) -> None:
    text = '{\n "11": {"Q": "a"},\n "12": {"Q": "b", "id": 5}, "13": {"Q": 1, "Q": 2}\n}'
    found, tally = read(read_json_object, tmp_path / "a", text)
    assert found == [(":2", {"id": "11", "Q": "a"}), (":3", {"key": "12", "Q": "b", "id": 5})]
    assert (tally.rows, tally.bad.total()) == (3, 1)
    assert tally.errors[0].startswith(f"{tmp_path / 'a'}:3: ")


def test_an_object_with_a_list_gives_the_list(tmp_path: Path) -> None:
    found, tally = read(read_json_object, tmp_path / "a", '{"version": "1.0", "data": [{"a": 1}, 5, {"a": 2}]}')
    assert [values for _, values in found] == [{"a": 1}, {"a": 2}]
    assert (tally.rows, tally.bad.total()) == (3, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"a": 1, "b": "x"}', "found the keys 'a', 'b' with single values"),
        ('{"a": {"b": 1}', "the object does not end"),
        ('{"a": {"b": 1}, }', "expected a value after the comma, found the end of the object"),
        ('{"a": {"b": 1}} {}', "expected nothing after the object, found '{'"),
        ('{"a" {"b": 1}}', "expected ':', found '{'"),
        ("{a: 1}", "expected a key in quotes, found 'a'"),
        ('{"a": {"b": ]}}', r":1: expected a JSON value"),
    ],
)
def test_a_broken_object_is_an_error(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(read_json_object, tmp_path / "a", text)


SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Tea",
            "paragraphs": [
                {
                    "context": "Tea is drunk hot.",
                    "qas": [
                        {"id": "1", "question": "How?", "answers": [{"text": "hot"}, {"text": "hot"}, {"text": "h"}]},
                        {"id": "2", "question": "Why?", "answers": [], "is_impossible": True},
                        {"id": "3", "answers": []},
                        {"id": "4", "question": "x", "answers": "hot"},
                    ],
                },
                {"context": "No questions."},
            ],
        },
        {"title": "Rain", "paragraphs": [{"context": "Rain.", "qas": [{"id": "5", "question": "?"}]}]},
    ],
}


@pytest.mark.parametrize("indent", [None, 1])
def test_squad_gives_a_row_a_question(tmp_path: Path, indent: int | None) -> None:
    found, tally = read(read_squad, tmp_path / "a", json.dumps(SQUAD, indent=indent))
    tea = {"title": "Tea", "context": "Tea is drunk hot."}
    assert [values for _, values in found] == [
        {**tea, "question": "How?", "answers": ["hot", "h"], "is_impossible": False, "id": "1"},
        {**tea, "question": "Why?", "answers": [], "is_impossible": True, "id": "2"},
        {"title": "Rain", "context": "Rain.", "question": "?", "answers": [], "is_impossible": False, "id": "5"},
    ]
    assert found[0][0].endswith(":question '1'")
    assert (tally.rows, dict(tally.bad)) == (6, {"squad": 3})
    assert "expected qas to be a list of objects, found None" in tally.errors[2]
