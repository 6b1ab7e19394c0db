"""The event log: one writer, readers that survive whatever stands in it (F22, F30)."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.run import event_log, faults
from core.run.event_log import EventReader, EventWriter, encode
from core.run.events import (
    MAX_LINE_BYTES,
    AnyEvent,
    CheckpointSaved,
    Evaluated,
    Failed,
    Notice,
    Progress,
    Sampled,
    Started,
)
from tests.core.run.conftest import ROOT


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.activate("")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def progress(number: float) -> Progress:
    return Progress(stage="work", done=number)


def lines_of(count: int, first: int = 0) -> list[bytes]:
    return [encode(progress(n).model_copy(update={"seq": n, "attempt": 1})) for n in range(first, first + count)]


def done_of(events: list[AnyEvent]) -> list[float]:
    return [event.done for event in events if isinstance(event, Progress)]


def test_a_writer_numbers_without_a_gap_over_attempts(path: Path) -> None:
    for attempt in (1, 2, 3):
        writer = EventWriter(path, attempt)
        for number in range(3):
            written = writer.write(progress(number))
            assert written.attempt == attempt
        writer.close()
    events = EventReader(path).read()
    assert [event.seq for event in events] == list(range(9))
    assert [event.attempt for event in events] == [1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert all(event.wall.endswith("+00:00") and event.mono > 0 for event in events)


def test_a_line_is_ascii_and_valid_json_whatever_the_text(path: Path) -> None:
    text = '\x1b]0;title\x07\n{"v":1}\u202e\ud800é\0'
    values = {"eval/loss": math.nan, "a": math.inf, "b": -math.inf, "c": 1.5}
    writer = EventWriter(path, 1)
    writer.write(Sampled(step=1, prompt=text, text=text))
    writer.write(Evaluated(step=1, values=values, tokens=1, seconds=math.nan))
    writer.close()
    raw = path.read_bytes()
    assert raw.isascii()
    assert b"\x1b" not in raw
    assert raw.count(b"\n") == 2

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    record = json.loads(raw.splitlines()[1], parse_constant=refuse)
    assert (record["values"]["eval/loss"], record["values"]["a"], record["values"]["b"]) == (
        "NaN", "Infinity", "-Infinity",
    )  # fmt: skip
    sampled, evaluated = EventReader(path).read()
    assert isinstance(sampled, Sampled)
    assert isinstance(evaluated, Evaluated)
    assert sampled.text == text
    assert math.isnan(evaluated.values["eval/loss"])
    assert evaluated.values["a"] == math.inf


@pytest.mark.parametrize("character", ["x", "é", "😀", "\x1b"])
def test_a_line_is_at_most_64_kib_and_says_what_was_cut(character: str) -> None:
    for event in (
        Sampled(step=1, prompt="p" * 10, text=character * 2_000_000),
        Failed(exit_code=1, message=character * 200_000, hint=character * 200_000),
        Notice(level="info", code="x", message=character * MAX_LINE_BYTES),
    ):
        line = encode(event)
        assert len(line) <= MAX_LINE_BYTES
        assert len(line) > MAX_LINE_BYTES / 5, "not more than it has to"
        record = json.loads(line)
        assert "more characters]" in (record.get("text") or record["message"])


@pytest.mark.parametrize("tail", [b'{"v":1,"seq":3,"att', b"\0" * 5000, b"x", b'{"v":1,"seq":3}', b"\xff\xfe"])
def test_a_restart_cuts_only_the_incomplete_tail_and_keeps_it_aside(path: Path, tail: bytes) -> None:
    whole = b"".join(lines_of(3))
    path.write_bytes(whole + tail)
    writer = EventWriter(path, 2)
    assert path.read_bytes() == whole
    assert path.with_name("events.bad").read_bytes() == tail + b"\n"
    assert writer.write(progress(3)).seq == 3
    writer.close()
    assert done_of(EventReader(path).read()) == [0, 1, 2, 3]


def test_a_restart_keeps_whole_lines_that_are_no_records(path: Path) -> None:
    path.write_bytes(b"".join(lines_of(2)) + b"garbage\n")
    EventWriter(path, 2).close()
    assert path.read_bytes().endswith(b"garbage\n")
    assert not path.with_name("events.bad").exists()


def test_the_number_goes_on_although_the_tail_has_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_log, "_TAIL_BYTES", 70_000)
    path.write_bytes(b"".join(lines_of(5)) + b"garbage\n" * 30_000)
    writer = EventWriter(path, 2)
    assert writer.next_seq == 5
    writer.close()


def test_a_limit_gives_the_rest_at_the_next_read(path: Path) -> None:
    path.write_bytes(b"".join(lines_of(10)))
    reader = EventReader(path)
    seen = []
    while events := reader.read(max_records=3):
        assert len(events) <= 3
        seen += [event.seq for event in events]
    assert seen == list(range(10))


def test_a_full_disk_keeps_events_in_a_bounded_ring_and_says_so_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_log, "RING_EVENTS", 4)
    writer = EventWriter(path, 1)
    writer._ring = event_log.deque(maxlen=4)
    writer.write(progress(0))

    def fill(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(event_log, "write_all", fill)
        for number in range(1, 8):
            assert writer.write(progress(number)).seq == -1
        assert writer.blocked
    assert writer.write(progress(8)).seq == 6
    writer.close()
    events = EventReader(path).read()
    assert [event.seq for event in events] == list(range(7))
    notice = events[1]
    assert isinstance(notice, Notice)
    assert (notice.code, notice.level) == ("events_lost", "error")
    assert "4 events follow late, 3 are lost" in notice.message
    assert "No space" in notice.message
    assert done_of(events) == [0, 4, 5, 6, 7, 8]


def test_a_short_write_leaves_no_half_line_and_nothing_raises(path: Path) -> None:
    """A real limit: the file cannot grow beyond 3,000 bytes, so a write ends short and the next fails."""
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from core.run.event_log import EventWriter; from core.run.events import Progress\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "writer = EventWriter(Path(sys.argv[1]), 1)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, resource.RLIM_INFINITY))\n"
        "for n in range(40): writer.write(Progress(stage='work', done=n))\n"
        "print(writer.blocked, Path(sys.argv[1]).read_bytes().endswith(b'\\n'))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "writer.write(Progress(stage='work', done=40)); print(writer.blocked); writer.close()\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert answer.stdout.split() == ["True", "True", "False"]
    events = EventReader(path).read()
    assert done_of(events) == list(range(41))
    assert [event.seq for event in events] == list(range(42))
    assert sum(isinstance(event, Notice) for event in events) == 1


@pytest.mark.parametrize(
    ("event", "is_synced"),
    [
        (Started(phase="x"), True),
        (CheckpointSaved(step=1, name="a", bytes=1, seconds=1.0), True),
        (Failed(exit_code=1, message="x"), True),
        (Progress(stage="x", done=1), False),
    ],
)
def test_state_changes_are_synced(
    path: Path, monkeypatch: pytest.MonkeyPatch, event: AnyEvent, is_synced: bool
) -> None:
    synced: list[int] = []
    writer = EventWriter(path, 1)
    monkeypatch.setattr(os, "fsync", synced.append)
    writer.write(event)
    assert bool(synced) == is_synced


def test_a_failed_sync_is_said_and_the_event_not_written_twice(path: Path) -> None:
    faults.activate("events.before_sync:eio")
    writer = EventWriter(path, 1)
    writer.write(CheckpointSaved(step=1, name="a", bytes=1, seconds=1.0))
    assert faults.fired() == {"events.before_sync": 1}
    writer.write(progress(1))
    writer.close()
    saved, notice, last = EventReader(path).read()
    assert (saved.type, last.type) == ("checkpoint_saved", "progress")
    assert isinstance(notice, Notice)
    assert "sync: Input/output error" in notice.message


def test_an_event_is_one_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[bytes] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: writes.append(bytes(data)) or write(descriptor, data))
    EventWriter(path, 1).write(Sampled(step=1, prompt="a", text="\n" * 1000))
    assert len(writes) == 1
    assert writes[0].endswith(b"\n")


def test_a_torn_line_completed_later_is_read_then(path: Path) -> None:
    line = lines_of(1)[0]
    reader = EventReader(path)
    for end in range(1, len(line) + 1):
        path.write_bytes(line[:end])
        assert (reader.read() == []) == (end < len(line))
    assert not reader.problems
