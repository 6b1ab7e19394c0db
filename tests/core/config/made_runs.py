"""Folders of runs that look as runs of a phase do when they are done, or when nothing is made yet."""

from __future__ import annotations

from pathlib import Path


def made_run(runs: Path, name: str, phase: str, *, is_done: bool = True) -> Path:
    """Make the folder of a run with what its phase leaves there."""
    path = runs / name
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(f"phase: {phase}\n")
    if is_done and phase == "prepare":
        (path / "data").mkdir()
        (path / "data" / "manifest.json").write_text("{}")
    elif is_done and phase != "pipeline":
        (path / "model").mkdir()
        (path / "model" / "config.json").write_text("{}")
    if is_done and phase == "reward":
        (path / "model" / "reward.json").write_text("{}")
    return path
