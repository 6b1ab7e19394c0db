"""The small files about an attempt: process.json, exit.json; and the heartbeat."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.run.directory import AttemptDirectory, RunDirectory
from core.run.private import open_file, read_file, write_all, write_atomic
from core.run.processes import Identity

EXIT_BYTES = 4096
_LIMIT_BYTES = 64 * 1024


@dataclass(frozen=True)
class ProcessRecord:
    """Who runs an attempt: its supervisor. `marker` is in the environment of all its descendants."""

    identity: Identity
    argv: tuple[str, ...]
    wall: str
    marker: str
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExitRecord:
    """How an attempt ended.

    `code` is the exit code (core/errors.py), 128+n for signal n; `by` is who wrote it, supervisor or guard; `survivors`
    are pids of its processes that could not be ended.
    """

    code: int
    signal: str
    wall: str
    seconds: float
    by: str
    survivors: tuple[int, ...] = ()


@dataclass(frozen=True)
class Heartbeat:
    """What a worker last said about itself.

    `counter` grows with every beat of its thread; `idle_seconds` is how long its main thread had shown no progress
    at that beat; `mono` is the machine's monotonic clock, to be compared within one boot only.
    """

    attempt: int
    counter: int
    step: int
    section: str
    wall: float
    mono: float
    boot_id: str
    idle_seconds: float


def write_process(attempt: AttemptDirectory, record: ProcessRecord) -> None:
    """Write process.json."""
    write_atomic(attempt.process, _text(asdict(record)), root=attempt.run_path)


def read_process(attempt: AttemptDirectory) -> ProcessRecord | None:
    """Return process.json, None where it is missing or damaged."""
    values = _values(attempt.process, attempt.run_path)
    try:
        return ProcessRecord(
            identity=Identity(**values["identity"]),
            argv=tuple(values["argv"]),
            wall=str(values["wall"]),
            marker=str(values["marker"]),
            versions=dict(values["versions"]),
            notes=tuple(values["notes"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def reserve_exit(attempt: AttemptDirectory) -> None:
    """Make exit.json with 4 KiB of zero bytes: on a disk that is full at the end there is room to say how it ended."""
    descriptor = open_file(attempt.exit, os.O_WRONLY | os.O_CREAT | os.O_EXCL, root=attempt.run_path)
    try:
        write_all(descriptor, bytes(EXIT_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_exit(attempt: AttemptDirectory, record: ExitRecord) -> None:
    """Write exit.json into the room that was reserved."""
    data = _text(asdict(record))
    assert len(data) <= EXIT_BYTES
    descriptor = open_file(attempt.exit, os.O_WRONLY | os.O_CREAT, root=attempt.run_path)
    try:
        os.pwrite(descriptor, data, 0)
        os.ftruncate(descriptor, len(data))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_exit(attempt: AttemptDirectory) -> ExitRecord | None:
    """Return exit.json, None while it is only reserved, missing or damaged."""
    values = _values(attempt.exit, attempt.run_path)
    try:
        return ExitRecord(
            code=int(values["code"]),
            signal=str(values["signal"]),
            wall=str(values["wall"]),
            seconds=float(values["seconds"]),
            by=str(values["by"]),
            survivors=tuple(values["survivors"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def write_heartbeat(run: RunDirectory, heartbeat: Heartbeat) -> None:
    """Replace heartbeat.json. Not synced: after a power cut nobody asks how a worker was doing."""
    write_atomic(run.heartbeat, _text(asdict(heartbeat)), sync=False)


def read_heartbeat(run: RunDirectory) -> Heartbeat | None:
    """Return heartbeat.json, None where it is missing or damaged."""
    values = _values(run.heartbeat, run.path)
    try:
        return Heartbeat(
            attempt=int(values["attempt"]),
            counter=int(values["counter"]),
            step=int(values["step"]),
            section=str(values["section"]),
            wall=float(values["wall"]),
            mono=float(values["mono"]),
            boot_id=str(values["boot_id"]),
            idle_seconds=float(values["idle_seconds"]),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _text(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, ensure_ascii=True, indent=1) + "\n").encode("ascii")


def _values(path: Path, root: Path) -> dict[str, Any]:
    try:
        data = read_file(path, limit_bytes=_LIMIT_BYTES, root=root).strip(b"\0 \n")
        values = json.loads(data) if data else {}
    except (OSError, UsageError, ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}
