"""Parts of a file of lines: together they are the file, wherever it is cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.readers import lines
from core.data.readers.lines import WHOLE, Span, lines_of
from core.data.tally import RowError


def read(path: Path, span: Span = WHOLE) -> list[tuple[bytes | None, str, int]]:
    with lines_of(path, span) as found:
        return [(line.data, line.place, line.offset) for line in found]


@given(
    content=st.lists(st.sampled_from([b"\n", b"a", b"bc\r", b"\xc3\xa9"]), max_size=30).map(b"".join),
    cuts=st.sets(st.integers(0, 60)),
)
@settings(max_examples=300, deadline=None)
def test_parts_make_the_whole_wherever_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, cuts: set[int]
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.txt"
    path.write_bytes(content)
    edges = [0, *sorted(cuts - {0})]
    spans = [Span(start, stop) for start, stop in zip(edges, [*edges[1:], None], strict=True)]
    whole = read(path)
    assert b"".join(data or b"" for data, _, _ in whole) == content
    parts = [line for span in spans for line in read(path, span)]
    assert [(data, offset) for data, _, offset in parts] == [(data, offset) for data, _, offset in whole]


def test_places_are_lines_in_a_whole_file_and_bytes_in_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\ntwo\nthree")
    assert read(path) == [(b"one\n", f"{path}:1", 0), (b"two\n", f"{path}:2", 7), (b"three", f"{path}:3", 11)]
    assert read(path, Span(0, 7)) == [(b"one\n", f"{path}:byte 0", 0)]
    assert read(path, Span(7, 8)) == [(b"two\n", f"{path}:byte 7", 7)]
    assert read(path, Span(8, None)) == [(b"three", f"{path}:byte 11", 11)]
    assert read(path, Span(12, None)) == []


def test_a_line_that_is_too_long_is_told_without_its_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 8)
    monkeypatch.setattr(lines, "_CHUNK", 3)
    path = tmp_path / "a.txt"
    path.write_bytes(b"12345678\n123456789\nx\n" + b"y" * 20)
    assert read(path) == [
        (b"12345678\n", f"{path}:1", 0),
        (None, f"{path}:2", 9),
        (b"x\n", f"{path}:3", 19),
        (None, f"{path}:4", 21),
    ]
    assert [line[2] for line in read(path, Span(10, 20))] == [19]
    with lines_of(path) as found, pytest.raises(RowError, match="at most 8 bytes, found 10"):
        [line.text() for line in found]


def test_wrong_bytes_are_told_with_their_place_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"good\nbad\xff\n")
    with lines_of(path) as found, pytest.raises(RowError, match=r"invalid start byte at byte 3 \(byte 8 of the file"):
        [line.text() for line in found]
