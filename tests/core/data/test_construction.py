from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.construction import under_construction
from core.errors import StorageError, UsageError


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "key"
    with under_construction(folder) as partial:
        (partial / "a").write_text("a")
        assert not folder.exists()
        assert partial.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert [path.name for path in folder.parent.iterdir()] == ["key"]


def build(folder: Path, act: Callable[[Path], object]) -> None:
    """Do something within a construction."""
    with under_construction(folder) as partial:
        act(partial)


def failing(error: Exception) -> Callable[[Path], object]:
    """Write a file and raise."""

    def act(partial: Path) -> None:
        (partial / "a").write_text("a")
        raise error

    return act


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        build(tmp_path / "key", failing(KeyError()))
    assert list(tmp_path.iterdir()) == []


def test_what_a_kill_left_is_removed_and_what_is_being_made_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "key"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom core.data.construction import under_construction\n"
        "with under_construction(Path(sys.argv[1])) as partial:\n"
        "    (partial / 'a').write_text('a')\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], env={"PYTHONPATH": str(Path(__file__).parents[3])})
    (left,) = tmp_path.iterdir()
    with under_construction(folder) as first:
        assert not left.exists()
        folder.mkdir()
        (folder / "c").write_text("c")
        with pytest.raises(UsageError, match="expected no folder"):
            build(folder, lambda second: (second / "b").write_text("b"))
        assert first.exists()
        (folder / "c").unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_errors_of_the_disk_and_of_what_is_read_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="full"):
        build(tmp_path / "key", failing(OSError(28, "full", "/somewhere/else")))
    with pytest.raises(UsageError, match=r"/rows\.json: expected a file that can be read, found: Permission denied"):
        build(tmp_path / "key", failing(PermissionError(13, "Permission denied", "/rows.json")))
