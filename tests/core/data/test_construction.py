from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.construction import under_construction
from core.errors import DataError, StorageError, UsageError


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


def test_a_full_disk_that_a_library_reports_in_its_own_way_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"key: File too large \(os error 27\)"):
        build(tmp_path / "key", failing(Exception("File too large (os error 27)")))
    with pytest.raises(DataError):
        build(tmp_path / "key", failing(DataError("row 5 says: (os error 27)")))
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_that_does_not_fit_the_disk_is_an_error_of_the_disk(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from core.data.construction import under_construction\nfrom core.data.tokenizer_files import train_tokenizer\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (999, 999))\n"
        "with under_construction(Path(sys.argv[1])) as partial:\n"
        "    train_tokenizer(['abcabc'], vocabulary_size=258, folder=partial)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "key")],
        capture_output=True, text=True, env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert "core.errors.StorageError" in found.stderr
    assert list(tmp_path.iterdir()) == []
