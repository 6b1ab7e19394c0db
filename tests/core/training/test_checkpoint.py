"""Checkpoints: whole or not at all, verified by hashes, kept by step."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.errors import CheckpointError, StorageError
from core.run.directory import RunDirectory
from core.training import checkpoint
from core.training.checkpoint import Snapshot, list_checkpoints, load_newest, prune, save, verify

POINTS = [
    "checkpoint.wrote_model",
    "checkpoint.wrote_optimizer",
    "checkpoint.wrote_generators",
    "checkpoint.wrote_state",
    "checkpoint.wrote_manifest",
    "checkpoint.renamed",
    "checkpoint.committed",
]


def snapshot(step: int) -> Snapshot:
    tensors = {
        "model": {"w": torch.full((3, 4), float(step)), "b": torch.arange(3.0)},
        "optimizer": {"w/exp_avg": torch.ones(3, 4) * step, "w/step": torch.tensor(float(step))},
        "generators": {"torch": torch.get_rng_state()},
    }
    return Snapshot(step, tensors, {"tokens": 10 * step, "cursor": {"epoch": 0, "position": step}}, {"seed": 17})


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    path = tmp_path / "runs" / "r-1"
    path.mkdir(parents=True)
    return RunDirectory(path)


def test_what_was_saved_is_loaded(run: RunDirectory) -> None:
    saved = save(run, snapshot(5))
    loaded = load_newest(run)
    assert loaded is not None
    assert loaded.path == saved.path == run.checkpoint(5)
    assert loaded.snapshot.step == 5
    assert loaded.snapshot.state == snapshot(5).state
    assert loaded.snapshot.fingerprint == {"seed": 17}
    for name, tensors in snapshot(5).tensors.items():
        for key, tensor in tensors.items():
            assert torch.equal(loaded.snapshot.tensors[name][key], tensor)
    assert saved.bytes == sum(f.stat().st_size for f in saved.path.iterdir() if f.name != "manifest.json")


def test_no_pickle_and_private_modes(run: RunDirectory) -> None:
    path = save(run, snapshot(1)).path
    assert {f.suffix for f in path.iterdir()} == {".safetensors", ".json"}
    assert path.stat().st_mode & 0o077 == 0


def test_saving_the_same_step_again_keeps_the_folder(run: RunDirectory) -> None:
    first = save(run, snapshot(5))
    inode = first.path.stat().st_ino
    second = save(run, snapshot(5))
    assert not second.is_new
    assert first.path.stat().st_ino == inode


def test_a_checkpoint_that_is_there_already_is_synced_again(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The save that made it may have failed at just this."""
    save(run, snapshot(5))
    synced = []
    monkeypatch.setattr(os, "fsync", synced.append)
    save(run, snapshot(5))
    assert synced


def flip_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def edit(path: Path, **changes: object) -> None:
    manifest = {**json.loads(path.read_text()), **changes}
    del manifest["sha256"]
    digest = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps({**manifest, "sha256": digest}))


def flip_mark(path: Path) -> None:
    path.write_text(path.read_text().replace('"seed": 17', '"seed": 16'))


DAMAGE: list[tuple[str, Callable[[Path], object], str]] = [
    ("truncated", lambda p: os.truncate(p / "model.safetensors", 20), "model.safetensors has 20 bytes"),
    ("empty", lambda p: (p / "optimizer.safetensors").write_bytes(b""), "optimizer.safetensors has 0 bytes"),
    ("flipped byte", lambda p: flip_byte(p / "optimizer.safetensors"), "optimizer.safetensors does not have the SHA"),
    ("missing file", lambda p: (p / "generators.safetensors").unlink(), "generators.safetensors is missing"),
    ("missing manifest", lambda p: (p / "manifest.json").unlink(), "no manifest"),
    ("manifest not JSON", lambda p: (p / "manifest.json").write_text("{"), "cannot be read"),
    ("manifest a list", lambda p: (p / "manifest.json").write_text("[]"), "cannot be read"),
    ("another step", lambda p: edit(p / "manifest.json", step=4), "says in its manifest that it is step 4"),
    ("a flipped mark", lambda p: flip_mark(p / "manifest.json"), "manifest.json does not have the SHA-256"),
    ("extra file", lambda p: (p / "extra.bin").write_bytes(b"x"), "extra.bin"),
    ("symlink", lambda p: ((p / "state.json").rename(p.parent / "s"), (p / "state.json").symlink_to(p.parent / "s")),
     "state.json is missing"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "damage", "words"), DAMAGE, ids=[row[0] for row in DAMAGE])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(
    run: RunDirectory, name: str, damage: Callable[[Path], object], words: str
) -> None:
    save(run, snapshot(4))
    damage(save(run, snapshot(5)).path)
    loaded = load_newest(run)
    assert loaded is not None
    assert loaded.snapshot.step == 4
    assert len(loaded.set_aside) == 1
    assert words in loaded.set_aside[0]
    assert (run.checkpoints / "step-00000005.bad-1").is_dir()
    assert [p.name for p in list_checkpoints(run)] == ["step-00000004"]


def test_all_damaged_is_an_error_that_lists_each(run: RunDirectory) -> None:
    for step in (4, 5):
        flip_byte(save(run, snapshot(step)).path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"step-00000005/model.*step-00000004/model") as caught:
        load_newest(run)
    assert caught.value.exit_code == 4
    with pytest.raises(CheckpointError, match=r"step-0000000\d\.bad-1"):
        load_newest(run)


def test_never_saved_is_not_an_error(run: RunDirectory) -> None:
    assert load_newest(run) is None


def test_a_second_bad_copy_gets_a_name_of_its_own(run: RunDirectory) -> None:
    save(run, snapshot(4))
    for number in (1, 2):
        flip_byte(save(run, snapshot(5)).path / "model.safetensors")
        load_newest(run)
        assert (run.checkpoints / f"step-00000005.bad-{number}").is_dir()


def test_retention_goes_by_step_and_never_by_time(run: RunDirectory) -> None:
    for step in (9, 10, 100, 11):
        path = save(run, snapshot(step)).path
        os.utime(path, (2_000_000_000 - step, 2_000_000_000 - step))
    (run.checkpoints / ".tmp-00000012-abcd").mkdir()
    assert prune(run, keep=2) == ["step-00000009", "step-00000010"]
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["step-00000011", "step-00000100"]


def test_pinned_checkpoints_stay(run: RunDirectory) -> None:
    for step in (1, 2, 3, 4):
        path = save(run, snapshot(step)).path
        if step == 1:
            (path / checkpoint.PINNED).touch()
    prune(run, keep=2)
    assert [p.name for p in list_checkpoints(run)] == ["step-00000001", "step-00000003", "step-00000004"]
    verify(run.checkpoint(1))


def test_deleting_does_not_follow_links(run: RunDirectory, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").touch()
    for step in (1, 2, 3):
        save(run, snapshot(step))
    (run.checkpoint(1) / "link").symlink_to(canary)
    prune(run, keep=2)
    assert (canary / "file").exists()


CHILD = textwrap.dedent("""
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[3])
    from test_checkpoint import snapshot
    from core.run import faults
    from core.run.directory import RunDirectory
    from core.training.checkpoint import save, prune
    faults.activate(sys.argv[2])
    run = RunDirectory(Path(sys.argv[1]))
    save(run, snapshot(5))
    prune(run, keep=2)
    print("not killed")
""")


@pytest.mark.parametrize("point", POINTS)
def test_kill_at_each_point_of_a_save_leaves_the_old_or_the_new(run: RunDirectory, point: str) -> None:
    save(run, snapshot(4))
    command = [sys.executable, "-c", CHILD, str(run.path), f"{point}:kill9", str(Path(__file__).parent)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == -9, f"the fault did not fire: {child.stdout} {child.stderr}"
    loaded = load_newest(run)
    assert loaded is not None
    assert loaded.set_aside == ()
    committed = point in ("checkpoint.renamed", "checkpoint.committed")
    assert loaded.snapshot.step == (5 if committed else 4)
    save(run, snapshot(6))
    prune(run, keep=2)
    assert not list(run.checkpoints.glob(".tmp-*"))


def test_every_failing_write_ends_in_the_old_or_the_new(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the first sync, then the second, and so on, until a save goes through without a fault."""
    save(run, snapshot(4))
    real = os.fsync
    for failing in range(1, 100):
        calls = 0

        def fsync(descriptor: int, failing: int = failing) -> None:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(errno.ENOSPC, "No space left on device")
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        failed = None
        try:
            save(run, snapshot(5))
        except StorageError as error:
            failed = error
        monkeypatch.setattr(os, "fsync", real)
        if calls < failing:
            break
        assert failed is not None
        assert failed.exit_code == 8
        assert "need" in failed.message
        assert "have" in failed.message
        assert not list(run.checkpoints.glob(".tmp-*"))
        loaded = load_newest(run)
        assert loaded is not None
        assert loaded.set_aside == ()
        assert loaded.snapshot.step in (4, 5)
        assert verify(save(run, snapshot(5)).path)["step"] == 5, "the next try goes through"
        shutil.rmtree(run.checkpoint(5))
    assert failing > 5
    assert verify(run.checkpoint(5))["step"] == 5
