"""Requests as files: what is garbage is refused once, and nothing harms the run (F56)."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from core.errors import UsageError
from core.run.control import MAX_BYTES, Request, request, scan, settle
from core.run.directory import RunDirectory

NONCE = "0" * 16 + "-" + "1" * 16


def plant(run: RunDirectory, content: bytes, *, name: str = f"{NONCE}.json") -> Path:
    run.control.mkdir(mode=0o700, exist_ok=True)
    path = run.control / name
    path.write_bytes(content)
    path.chmod(0o600)
    return path


def valid(**changes: object) -> bytes:
    values = {"v": 1, "nonce": NONCE, "verb": "checkpoint", "arguments": {}, "attempt": 0, **changes}
    return json.dumps(values).encode()


def test_a_request_arrives_with_its_arguments_and_in_order(run: RunDirectory) -> None:
    assert scan(run)[0] == []
    nonces = [request(run, "sample", prompt="a \x1b[2J text", count=3), request(run, "stop"), request(run, "evaluate")]
    waiting = scan(run)[0]
    assert [one.nonce for one in waiting] == nonces
    assert waiting[0] == Request(nonces[0], "sample", {"prompt": "a \x1b[2J text", "count": 3}, 0)
    assert b"\x1b" not in (run.control / f"{nonces[0]}.json").read_bytes()
    assert settle(run, waiting[0])
    assert [one.nonce for one in scan(run)[0]] == nonces[1:]
    assert (run.control_done / f"{nonces[0]}.json").is_file()


def test_a_request_that_is_too_long_is_refused_before_it_is_written(run: RunDirectory) -> None:
    with pytest.raises(UsageError, match="a request of"):
        request(run, "sample", prompt="x" * MAX_BYTES)
    assert scan(run)[0] == []


def test_half_written_requests_are_not_looked_at(run: RunDirectory) -> None:
    plant(run, b'{"v": 1, ', name=f".{NONCE}.json.tmp")
    plant(run, b'{"v": 1, ', name=f".{NONCE}.json")
    assert scan(run) == ([], [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Expecting value"),
        (b"\0" * 100, ""),
        (b"[" * 10_000, ""),
        (valid() + b"x", "Extra data"),
        (b"x" * 10_000_000, "the limit is 16384"),
        (valid(verb="rm"), "verb is none of"),
        (valid(verb=["stop"]), "verb is none of"),
        (valid(nonce="other"), "another nonce"),
        (valid(v=2), "another version"),
        (valid(extra=1), "exactly"),
        (b"[]", "exactly"),
        (valid(arguments=[1]), "arguments"),
        (valid(arguments={"a": {"b": 1}}), "arguments"),
        (valid(attempt="1"), "attempt"),
        (valid(attempt=True), "attempt"),
    ],
)
def test_garbage_is_refused_with_a_reason(run: RunDirectory, content: bytes, reason: str) -> None:
    plant(run, content)
    requests, rejected = scan(run)
    assert requests == []
    assert len(rejected) == 1
    assert reason in rejected[0].reason
    assert settle(run, rejected[0])
    assert scan(run) == ([], [])


@pytest.mark.parametrize("name", ["x.json", f"{NONCE}.json.json", "..json", f"{NONCE.upper()}X.json"])
def test_a_name_that_is_no_nonce_is_refused(run: RunDirectory, name: str) -> None:
    plant(run, valid(), name=name)
    requests, rejected = scan(run)
    assert requests == []
    if not name.startswith("."):
        assert [one.name for one in rejected] == [name]


def test_a_request_is_not_handled_a_second_time(run: RunDirectory) -> None:
    plant(run, valid())
    (first,) = scan(run)[0]
    settle(run, first)
    plant(run, valid())
    assert scan(run)[0] == []
    assert "handled before" in scan(run)[1][0].reason


def test_what_others_may_write_is_no_request(run: RunDirectory) -> None:
    plant(run, valid()).chmod(0o666)
    assert "others than its owner" in scan(run)[1][0].reason


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")
def test_a_request_of_another_user_is_refused(run: RunDirectory) -> None:
    os.chown(plant(run, valid()), 12345, -1)
    assert "belongs to user 12345" in scan(run)[1][0].reason


def test_links_fifos_and_folders_are_refused_without_blocking(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(valid())
    run.control.mkdir(mode=0o700)
    (run.control / f"{NONCE}.json").symlink_to(tmp_path / "outside")
    os.mkfifo(run.control / f"{NONCE[:-1]}2.json")
    (run.control / f"{NONCE[:-1]}3.json").mkdir()
    requests, rejected = scan(run)
    assert requests == []
    assert len(rejected) == 3
    assert all(settle(run, one) for one in rejected)
    assert (tmp_path / "outside").exists()


def test_a_control_folder_that_is_a_link_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    run.control.symlink_to(tmp_path / "outside")
    assert "symbolic link" in scan(run)[1][0].reason
    with pytest.raises(UsageError, match="symbolic link"):
        request(run, "stop")
    assert list((tmp_path / "outside").iterdir()) == []
