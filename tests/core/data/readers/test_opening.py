"""Compressed files as a stream: the same bytes whatever wrote them, and words for what is broken."""

from __future__ import annotations

import bz2
import gzip
import random
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from core.data.readers.opening import compression_of, logical_name, opened
from core.errors import DataError

WRITERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": bz2.compress,
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
}
ROOT = Path(__file__).parents[4]


def content(path: Path) -> bytes:
    with opened(path) as file:
        return file.read()


@pytest.mark.parametrize("kind", WRITERS)
@given(parts=st.lists(st.binary(max_size=300) | st.integers(0, 400_000).map(lambda size: b"ab" * size), max_size=4))
@settings(max_examples=15, deadline=None)
def test_members_one_after_another_are_one_stream(
    tmp_path_factory: pytest.TempPathFactory, kind: str, parts: list[bytes]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"members.{kind}"
    path.write_bytes(b"".join(WRITERS[kind](part) for part in parts))
    assert content(path) == b"".join(parts)


@pytest.mark.parametrize("kind", WRITERS)
def test_lines_and_positions_are_those_of_the_text(tmp_path: Path, kind: str) -> None:
    lines = [b"%d\n" % (number**7) for number in range(50_000)]
    path = tmp_path / "a"
    path.write_bytes(WRITERS[kind](b"".join(lines)))
    assert compression_of(path) == kind
    with opened(path) as file:
        assert file.readline() == lines[0]
        assert file.tell() == len(lines[0])
        assert list(file) == lines[1:]


def test_a_plain_file_is_given_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(b"BZhang wrote this\n")
    assert content(path) == b"BZhang wrote this\n"
    assert compression_of(path) is None


def test_zeros_after_a_gzip_member_are_padding(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"one") + b"\0" * 100_000 + gzip.compress(b"two") + b"\0" * 3)
    assert content(path) == b"onetwo"


def test_a_skippable_frame_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "a.zst"
    path.write_bytes(b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + WRITERS["zstd"](b"one"))
    assert content(path) == b"one"


@pytest.mark.parametrize("kind", WRITERS)
@pytest.mark.parametrize("kept", [0.01, 0.5, 0.999])
def test_a_stream_that_ends_early_is_an_error_with_both_offsets(tmp_path: Path, kind: str, kept: float) -> None:
    whole = WRITERS[kind](random.Random(1).randbytes(200_000))
    path = tmp_path / "a"
    path.write_bytes(whole[: int(len(whole) * kept)])
    words = rf"a: expected a whole {kind} file, found its end at byte {int(len(whole) * kept)} \(\d+ bytes decompressed"
    with pytest.raises(DataError, match=words):
        content(path)


@pytest.mark.parametrize("kind", WRITERS)
def test_a_broken_stream_is_an_error(tmp_path: Path, kind: str) -> None:
    whole = bytearray(WRITERS[kind](random.Random(1).randbytes(100) * 2000))
    whole[len(whole) // 2 : len(whole) // 2 + 8] = b"\xff" * 8
    path = tmp_path / "a"
    path.write_bytes(bytes(whole))
    with pytest.raises(DataError, match=rf"a: expected a whole {kind} file, found .* at byte \d+"):
        content(path)


@pytest.mark.parametrize("kind", WRITERS)
def test_other_bytes_after_a_member_are_an_error(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(WRITERS[kind](b"one") + b"something else")
    with pytest.raises(DataError, match="begin no further member"):
        content(path)


def test_a_file_that_cannot_be_opened_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected a file that can be read, found: No such file"):
        content(tmp_path / "nope")


@pytest.mark.parametrize(
    ("name", "logical"),
    [("a.jsonl.gz", "a.jsonl"), ("a.xml.BZ2", "a.xml"), ("a.zst", "a"), ("a.txt", "a.txt"), (".gz", ".gz")],
)
def test_a_logical_name_has_no_suffix_of_compression(name: str, logical: str) -> None:
    assert logical_name(Path("folder") / name) == logical


@pytest.mark.parametrize("kind", WRITERS)
def test_a_bomb_costs_no_memory(tmp_path: Path, kind: str) -> None:
    """A few kilobytes that stand for 400 MB, in a process that may take 300 MB altogether."""
    path = tmp_path / "bomb"
    path.write_bytes(WRITERS[kind](b"\0" * 100_000_000) * 4)
    code = (
        f"from pathlib import Path\nfrom core.data.readers.opening import opened\nsize = 0\n"
        f"with opened(Path({str(path)!r})) as file:\n"
        "    while block := file.read(2**20):\n        size += len(block)\nprint(size)"
    )
    limit = 300 * 2**20
    answer = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"},
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    assert answer.stdout == "400000000\n", answer.stderr
