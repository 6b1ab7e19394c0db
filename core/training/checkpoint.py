"""Checkpoints: written as a transaction, verified by hashes, kept by step.

A checkpoint is a folder `step-00000500` with safetensors and JSON, and a manifest that is written last and names the
size and SHA-256 of each file. It is made under another name, synced, and renamed: so it is there whole or not at all.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import CheckpointError, StorageError, disk_errno
from core.run.directory import RunDirectory
from core.run.faults import fault
from core.run.private import delete_tree, make_folder

SCHEMA = 1
STEP_NAME = re.compile(r"step-(\d{8,})")
PINNED = "pinned"


@dataclass(frozen=True)
class Snapshot:
    """Everything that a run needs to go on as if nothing had happened.

    tensors: one safetensors file each (model, optimizer, generators). state: cursor, counters, random states of Python
    and NumPy, loss scaler. fingerprint: what must be unchanged for the continuation to be exact.
    """

    step: int
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]
    fingerprint: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Saved:
    """A checkpoint on disk: its folder, its step, what it takes; is_new is False where it was there already."""

    path: Path
    step: int
    bytes: int
    is_new: bool = True


def save(run: RunDirectory, snapshot: Snapshot) -> Saved:
    """Write a checkpoint and return it once it is verified and durable.

    Raises: StorageError where the disk is full or fails; what was begun is removed, older checkpoints are untouched.
    """
    target = run.checkpoint(snapshot.step)
    if (existing := _whole(target)) is not None:
        _sync_folder(run.checkpoints)  # the save that made it may have failed at just this
        return existing
    _remove_leavings(run)
    if os.path.lexists(target):
        set_aside(target)
    temporary = run.checkpoints / f".tmp-{snapshot.step:08d}-{secrets.token_hex(4)}"
    try:
        make_folder(run.checkpoints, root=run.path)
        make_folder(temporary, root=run.path, new=True)
        total = _write(temporary, snapshot)
        os.rename(temporary, target)
        fault("checkpoint.renamed")
        _sync_folder(run.checkpoints)
    except Exception as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if disk_errno(error) is None:
            raise
        raise _storage_error(error, run, snapshot) from error
    fault("checkpoint.committed")
    return Saved(target, snapshot.step, total)


def _write(folder: Path, snapshot: Snapshot) -> int:
    files: dict[str, dict[str, Any]] = {}
    for name, tensors in snapshot.tensors.items():
        path = folder / f"{name}.safetensors"
        save_file({key: value.detach().contiguous() for key, value in tensors.items()}, path)
        fault(f"checkpoint.wrote_{name}")
        files[path.name] = _seal(path)
    state = folder / "state.json"
    state.write_text(json.dumps(snapshot.state), encoding="utf-8")
    files[state.name] = _seal(state)
    fault("checkpoint.wrote_state")
    manifest = {
        "schema": SCHEMA,
        "step": snapshot.step,
        "fingerprint": dict(snapshot.fingerprint),
        "files": files,
    }
    manifest["sha256"] = _manifest_hash(manifest)
    path = folder / "manifest.json"
    path.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    _sync_file(path)
    fault("checkpoint.wrote_manifest")
    _sync_folder(folder)
    return sum(entry["bytes"] for entry in files.values())


def _seal(path: Path) -> dict[str, Any]:
    """Sync a file, give it to its owner alone, and return its size and hash as read back."""
    os.chmod(path, 0o600)
    _sync_file(path)
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def verify(path: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint whose files are what it says.

    Raises: CheckpointError naming the first file that is not, and how.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
        entries = {str(name): dict(entry) for name, entry in manifest["files"].items()}
        step = int(manifest["step"])
        schema = manifest["schema"]
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.name} has no manifest.json") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path.name}/manifest.json cannot be read: {error}") from error
    if manifest.get("sha256") != _manifest_hash(manifest):
        raise CheckpointError(f"{path.name}/manifest.json does not have the SHA-256 that it says of itself")
    if schema != SCHEMA:
        raise CheckpointError(f"{path.name} has schema {schema}, this version reads {SCHEMA}")
    match = STEP_NAME.fullmatch(path.name)
    if match is None or int(match[1]) != step:
        raise CheckpointError(f"{path.name} says in its manifest that it is step {step}")
    present = {entry.name for entry in path.iterdir()} - {"manifest.json", PINNED}
    if extra := sorted(present - set(entries)):
        raise CheckpointError(f"{path.name} has a file that its manifest does not name: {extra[0]}")
    for name, entry in entries.items():
        _verify_file(path, name, entry)
    return dict(manifest)


def _manifest_hash(manifest: Mapping[str, Any]) -> str:
    content = {key: value for key, value in manifest.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _verify_file(folder: Path, name: str, entry: Mapping[str, Any]) -> None:
    path = folder / name
    if Path(name).name != name or path.is_symlink() or not path.is_file():
        raise CheckpointError(f"{folder.name}/{name} is missing")
    size = path.stat().st_size
    if size != entry.get("bytes"):
        raise CheckpointError(f"{folder.name}/{name} has {size} bytes, its manifest says {entry.get('bytes')}")
    if _sha256(path) != entry.get("sha256"):
        raise CheckpointError(f"{folder.name}/{name} does not have the SHA-256 that its manifest says")


@dataclass(frozen=True)
class Loaded:
    """A verified checkpoint, and what had to be set aside to reach it (words, newest first)."""

    snapshot: Snapshot
    path: Path
    set_aside: tuple[str, ...] = ()


def load_newest(run: RunDirectory) -> Loaded | None:
    """Return the newest checkpoint whose files verify; damaged ones are renamed to `.bad-N` and said.

    Returns None where the run never made one. Raises: CheckpointError where all that were made are damaged.
    """
    reasons: list[str] = []
    for path in sorted(list_checkpoints(run), key=step_of, reverse=True):
        try:
            manifest = verify(path)
        except CheckpointError as error:
            reasons.append(f"{error.message}; set aside as {set_aside(path).name}")
            continue
        return Loaded(_read(path, manifest), path, tuple(reasons))
    bad = sorted(entry.name for entry in run.checkpoints.glob("*.bad-*")) if run.checkpoints.is_dir() else []
    if bad:
        raise CheckpointError(
            f"no checkpoint of {run.name} can be used: " + "; ".join(reasons or [f"{name} is damaged" for name in bad]),
            hint="Start a new run from the preset, or put a good copy of a checkpoint back under its step's name.",
        )
    return None


def _read(path: Path, manifest: Mapping[str, Any]) -> Snapshot:
    state = json.loads((path / "state.json").read_text(encoding="utf-8")) if "state.json" in manifest["files"] else {}
    tensors = {
        name.removesuffix(".safetensors"): load_file(path / name)
        for name in manifest["files"]
        if name.endswith(".safetensors")
    }
    return Snapshot(int(manifest["step"]), tensors, state, manifest.get("fingerprint", {}))


def list_checkpoints(run: RunDirectory) -> list[Path]:
    """Return the folders that have the name of a checkpoint, oldest step first."""
    if not run.checkpoints.is_dir():
        return []
    found = [entry for entry in run.checkpoints.iterdir() if STEP_NAME.fullmatch(entry.name) and entry.is_dir()]
    return sorted(found, key=step_of)


def step_of(path: Path) -> int:
    """Return the step in the name of a checkpoint's folder, -1 for another name."""
    match = STEP_NAME.fullmatch(path.name)
    return int(match[1]) if match else -1


def prune(run: RunDirectory, *, keep: int) -> list[str]:
    """Delete all but the `keep` newest checkpoints by step, and leavings of saves that were cut off; return names.

    Those that hold a file named `pinned` stay and do not count. Called only after a new one was verified.
    """
    removed = []
    candidates = [path for path in list_checkpoints(run) if not (path / PINNED).exists()]
    for path in candidates[:-keep]:
        delete_tree(path, root=run.path)
        removed.append(path.name)
    _remove_leavings(run)
    return removed


def _remove_leavings(run: RunDirectory) -> None:
    """Delete what saves that were cut off left, which takes space that the next one may need."""
    for leaving in run.checkpoints.glob(".tmp-*"):
        delete_tree(leaving, root=run.path)


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint so that it is neither used nor lost; return the new path."""
    number = 1
    while os.path.lexists(target := path.with_name(f"{path.name}.bad-{number}")):
        number += 1
    os.rename(path, target)
    return target


def _whole(path: Path) -> Saved | None:
    if not path.is_dir():
        return None
    try:
        manifest = verify(path)
    except CheckpointError:
        return None
    return Saved(path, int(manifest["step"]), sum(entry["bytes"] for entry in manifest["files"].values()), False)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage_error(error: Exception, run: RunDirectory, snapshot: Snapshot) -> StorageError:
    need = sum(t.numel() * t.element_size() for tensors in snapshot.tensors.values() for t in tensors.values())
    have = shutil.disk_usage(run.path).free
    reason = "the disk is full" if disk_errno(error) in (errno.ENOSPC, errno.EDQUOT) else str(error)
    return StorageError(
        f"the checkpoint of step {snapshot.step} could not be written: {reason}; need {need / 1e6:,.1f} MB, "
        f"have {have / 1e6:,.1f} MB",
        hint="Free some space and `footplate resume` the run: the checkpoint before this one is untouched.",
    )
