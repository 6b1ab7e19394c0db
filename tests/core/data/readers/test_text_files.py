"""Documents of text files, in pieces of a bounded size; HellaSwag's text form."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.readers import text_files
from core.data.readers.lines import Span
from core.data.readers.text_files import TextUnit, read_file, read_hellaswag_text, read_text
from core.data.tally import Tally


def test_a_whole_file_is_one_document_of_many_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.gz"
    path.write_bytes(gzip.compress("\ufeffone\r\n\ntwo".encode()))
    tally = Tally("s", 1.0)
    assert [(row.place, row.values) for row in read_text(path, tally)] == [(str(path), {"text": "one\r\n\ntwo"})]
    assert tally.rows == 3
    whole = Tally("s", 1.0)
    assert [row.values["text"] for row in read_file(path, whole)] == ["one\r\n\ntwo"]
    assert whole.rows == 1


@given(lines=st.lists(st.sampled_from(["\n", "ab\n", "c\n", " \n"]), max_size=40), size=st.integers(1, 12))
@settings(max_examples=100, deadline=None)
def test_a_long_file_is_cut_between_lines_and_nothing_is_lost(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], size: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.txt"
    path.write_text("".join(lines))
    tally = Tally("s", 1.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_files, "CUT_BYTES", size)
        pieces = [row.values["text"] for row in read_text(path, tally)]
    assert "".join(pieces) == "".join(lines)
    assert tally.rows == len(lines)
    assert all(len(piece) < 2 * size + 3 for piece in pieces)
    assert tally.repaired["cut"] == max(len(pieces) - 1, 0)


def test_a_long_file_is_cut_at_blank_lines_where_it_has_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "CUT_BYTES", 6)
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\nthree\n\nfour\nfive\n\nsix\n")
    found = [(row.place, row.values["text"]) for row in read_text(path, Tally("s", 1.0))]
    assert found == [
        (str(path), "one\ntwo\nthree\n"),
        (f"{path}:4", "\nfour\nfive\n"),
        (f"{path}:7", "\nsix\n"),
    ]


@pytest.mark.parametrize(("document", "bad", "kept"), [("file", 4, []), ("line", 1, ["a", "", "d"])])
def test_wrong_bytes_cost_a_document(tmp_path: Path, document: TextUnit, bad: int, kept: list[str]) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"a\n\nb\xff\nd\n")
    tally = Tally("s", 1.0)
    assert [row.values["text"] for row in read_text(path, tally, document)] == kept
    assert (tally.rows, dict(tally.bad)) == (4, {"encoding": bad})
    assert tally.errors[0].startswith(f"{path}:3: " if document == "line" else f"{path}: ")
    assert "byte 4" in tally.errors[0]


def test_lines_of_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("one\ntwo\nthree\n")
    found = [(row.place, row.values["text"]) for row in read_text(path, Tally("s", 1.0), "line", Span(1, 5))]
    assert found == [(f"{path}:byte 4", "two")]


def test_hellaswag_in_six_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    good = "Baking: Mix it: well\n2\na\nb\nc\nd\n"
    path.write_text(good + "Baking\n1\na\nb\nc\nd\n" + "Baking: x\n4\na\nb\nc\nd\n" + good + "Baking: y\n1\n")
    tally = Tally("s", 1.0)
    found = [(row.place, row.values) for row in read_hellaswag_text(path, tally)]
    values = {"activity_label": "Baking", "ctx": "Mix it: well", "label": 2, "endings": ["a", "b", "c", "d"]}
    assert found == [(f"{path}:1", values), (f"{path}:19", values)]
    assert (tally.rows, dict(tally.bad)) == (5, {"hellaswag": 3})
    assert [error.split(": ", 1)[0] for error in tally.errors] == [f"{path}:7", f"{path}:13", f"{path}:25"]
