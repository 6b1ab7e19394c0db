"""Reading a damaged event log: every whole record once, the rest reported, nothing raised (F30)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.run.event_log import EventReader, EventWriter, encode
from core.run.events import AnyEvent, Progress, Sampled


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def progress(number: float) -> Progress:
    return Progress(stage="work", done=number)


def lines_of(count: int, first: int = 0) -> list[bytes]:
    return [encode(progress(n).model_copy(update={"seq": n, "attempt": 1})) for n in range(first, first + count)]


def done_of(events: list[AnyEvent]) -> list[float]:
    return [event.done for event in events if isinstance(event, Progress)]


def crafted(lines: list[bytes]) -> dict[str, tuple[bytes, list[int]]]:
    """The damages of F30: name to content and the numbers of the records that are whole."""
    joined = [*lines[:2], lines[2].rstrip(b"\n") + lines[3], *lines[4:]]
    half = [*lines[:2], lines[2][:40] + lines[3], *lines[4:]]
    everything = list(range(6))
    return {
        "truncated last line": (b"".join(lines)[:-20], everything[:-1]),
        "zero bytes at the tail": (b"".join(lines) + b"\0" * 4096, everything),
        "zero bytes before a record": (b"".join(lines[:3]) + b"\0" * 512 + b"".join(lines[3:]), everything),
        "CRLF": (b"".join(lines).replace(b"\n", b"\r\n"), everything),
        "BOM": (b"\xef\xbb\xbf" + b"".join(lines), everything),
        "two lines joined": (b"".join(joined), everything),
        "half a line joined to the next": (b"".join(half), [0, 1, 3, 4, 5]),
        "duplicate seq": (b"".join([*lines[:3], lines[2], *lines[3:]]), everything),
        "20 MB line": (b"".join([*lines[:3], b"x" * 20_000_000 + b"\n", *lines[3:]]), everything),
        "invalid UTF-8": (
            b"".join([*lines[:3], lines[3].replace(b"work", b"w\xffrk"), *lines[4:]]), [0, 1, 2, 4, 5],
        ),
        "NaN literal": (b"".join([*lines[:3], lines[3].replace(b":3.0", b":NaN"), *lines[4:]]), everything),
        "unknown type": (b"".join([*lines[:3], b'{"v":1,"seq":9,"type":"later"}\n', *lines[3:]]), everything),
        "deep nesting": (b"".join([*lines[:3], b'{"v":' + b"[" * 50_000 + b"\n", *lines[3:]]), everything),
        "huge number": (b"".join([*lines[:3], b'{"v":' + b"9" * 10_000 + b"}\n", *lines[3:]]), everything),
        "not an object": (b"".join([*lines[:3], b"[1]\nnull\n7\n\n", *lines[3:]]), everything),
    }  # fmt: skip


SILENT = {"truncated last line", "CRLF", "BOM", "NaN literal", "zero bytes at the tail"}


@pytest.mark.parametrize("damage", crafted(lines_of(6)))
def test_every_whole_record_is_read_and_the_rest_reported(path: Path, damage: str) -> None:
    content, whole = crafted(lines_of(6))[damage]
    path.write_bytes(content)
    reader = EventReader(path)
    begin = time.monotonic()
    events = reader.read()
    assert time.monotonic() - begin < 5
    assert [event.seq for event in events] == whole
    assert bool(reader.problems) == (damage not in SILENT), reader.problems
    if reader.problems:
        assert 0 < reader.problems[0].offset < len(content)
    assert reader.read() == []


def test_the_offset_of_a_problem_is_that_of_its_line(path: Path) -> None:
    lines = lines_of(4)
    path.write_bytes(b"".join([*lines[:2], b"garbage\n", *lines[2:]]))
    reader = EventReader(path)
    reader.read()
    assert [problem.offset for problem in reader.problems] == [len(lines[0] + lines[1])]


def test_a_text_cannot_forge_a_record_in_a_broken_line(path: Path) -> None:
    forged = encode(progress(66).model_copy(update={"seq": 66})).decode()
    line = encode(Sampled(step=1, prompt="", text="xx" + forged, seq=0))
    path.write_bytes(line[:60] + line[70:] if b"forged" in line else line.replace(b'"step":1', b'"step":,'))
    reader = EventReader(path)
    assert reader.read() == []
    assert reader.problems


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(
        st.one_of(
            st.integers(0, 5),
            st.binary(max_size=80).map(lambda data: data.replace(b"\n", b"").replace(b"{", b"")),
        ),
        max_size=12,
    ),
    cuts=st.lists(st.integers(1, 400), max_size=6),
)
def test_records_between_garbage_are_each_read_once_however_they_arrive(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int | bytes], cuts: list[int]
) -> None:
    """Garbage lines stand between whole records; the file grows by arbitrary pieces while it is read."""
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    whole = lines_of(6)
    content = b"".join(whole[piece] if isinstance(piece, int) else piece + b"\n" for piece in pieces)
    expected = list(dict.fromkeys(piece for piece in pieces if isinstance(piece, int)))
    reader, seen, position = EventReader(path), [], 0
    for cut in [*cuts, len(content)]:
        with path.open("ab") as file:
            file.write(content[position : position + cut])
        position += cut
        seen += [event.seq for event in reader.read()]
    assert seen == expected


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=2000))
def test_no_bytes_make_reader_or_writer_raise(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("log") / "events.jsonl"
    path.write_bytes(content)
    EventReader(path).read()
    writer = EventWriter(path, 1)
    written = writer.write(progress(1))
    writer.close()
    reader = EventReader(path)
    assert written in reader.read()
    assert path.read_bytes().startswith(content[: content.rfind(b"\n") + 1])


def test_a_missing_folder_or_fifo_gives_nothing_and_a_replaced_log_is_read_anew(path: Path) -> None:
    reader = EventReader(path)
    assert reader.read() == []
    assert not reader.problems
    path.write_bytes(b"".join(lines_of(3)))
    assert len(reader.read()) == 3
    path.unlink()
    os.mkfifo(path)
    assert reader.read() == []
    path.unlink()
    path.mkdir()
    assert reader.read() == []
    path.rmdir()
    path.write_bytes(b"".join(lines_of(2)))
    assert len(reader.read()) == 2
    assert len(reader.problems) >= 2
