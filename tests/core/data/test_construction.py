from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from core.data.construction import AlreadyThereError, under_construction
from core.data.progress import PreparationStopped
from core.errors import DataError, StorageError, UsageError


def never() -> bool:
    """Go on."""
    return False


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "key"
    with under_construction(folder, should_stop=never) as partial:
        (partial / "a").write_text("a")
        assert not folder.exists()
        assert partial.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert [path.name for path in folder.parent.iterdir()] == ["key"]


def build(folder: Path, act: Callable[[Path], object]) -> None:
    """Do something within a construction."""
    with under_construction(folder, should_stop=never) as partial:
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


def test_an_error_leaves_everything_where_somebody_comes_back(tmp_path: Path) -> None:
    with (
        pytest.raises(UsageError),
        under_construction(tmp_path / "key", should_stop=never, keeps_all=True) as partial,
    ):
        failing(UsageError("the disk is not mounted"))(partial)
    with under_construction(tmp_path / "key", should_stop=never) as partial:
        assert (partial / "a").read_text() == "a"


def test_what_a_kill_left_is_gone_on_with_by_one_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "key"
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom core.data.construction import under_construction\n"
        "with under_construction(Path(sys.argv[1]), should_stop=lambda: False) as partial:\n"
        "    (partial / 'a').write_text('a')\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], env={"PYTHONPATH": str(Path(__file__).parents[3])})
    (left,) = tmp_path.iterdir()
    assert left.name == ".key.partial"
    with under_construction(folder, should_stop=never) as partial:
        assert partial == left
        assert (partial / "a").read_text() == "a"
        with pytest.raises(PreparationStopped), under_construction(folder, should_stop=lambda: True):
            pass  # another process works in it
        folder.mkdir()
        (folder / "c").write_text("c")
        with pytest.raises(UsageError, match="expected nothing of that name"):
            build(folder, lambda second: (second / "b").write_text("b"))
        (folder / "c").unlink()
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


def test_one_that_waits_hears_that_the_other_was_quicker(tmp_path: Path) -> None:
    folder = tmp_path / "key"
    begun, found = threading.Event(), []

    def second() -> None:
        begun.wait()
        try:
            build(folder, lambda partial: None)
        except UsageError as error:
            found.append(error)

    thread = threading.Thread(target=second)
    thread.start()
    with under_construction(folder, should_stop=never) as partial:
        (partial / "a").write_text("a")
        begun.set()
        time.sleep(0.3)
    thread.join(10)
    assert len(found) == 1
    assert isinstance(found[0], AlreadyThereError)


def test_errors_of_the_disk_and_of_what_is_read_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="full"):
        build(tmp_path / "key", failing(OSError(28, "full", "/somewhere/else")))
    with pytest.raises(UsageError, match=r"/rows\.json: expected a file that can be read, found: Permission denied"):
        build(tmp_path / "key", failing(PermissionError(13, "Permission denied", "/rows.json")))


def test_a_full_disk_that_a_library_reports_in_its_own_way_is_an_error_of_the_disk(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"key: File too large \(os error 27\)"):
        build(tmp_path / "key", failing(Exception("File too large (os error 27)")))
    assert [path.name for path in tmp_path.iterdir()] == [".key.partial"]  # what was done is kept
    with pytest.raises(DataError):
        build(tmp_path / "key", failing(DataError("row 5 says: (os error 27)")))
    assert list(tmp_path.iterdir()) == []


def test_a_tokenizer_that_does_not_fit_the_disk_is_an_error_of_the_disk(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from core.data.construction import under_construction\n"
        "from core.data.tokens.tokenizer_files import train_tokenizer\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (999, 999))\n"
        "with under_construction(Path(sys.argv[1]), should_stop=lambda: False) as partial:\n"
        "    train_tokenizer(['abcabc'], vocabulary_size=258, folder=partial)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "key")],
        capture_output=True, text=True, env={"PYTHONPATH": str(Path(__file__).parents[3])},
    )  # fmt: skip
    assert "core.errors.StorageError" in found.stderr
    assert not (tmp_path / "key").exists()
