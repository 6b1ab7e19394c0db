from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import StorageError, UsageError
from core.model.placing import placed_whole

ROOT = {"PYTHONPATH": str(Path(__file__).parents[3])}


def place(folder: Path, act: Callable[[Path], object]) -> None:
    """Do something within a placing."""
    with placed_whole(folder) as unfinished:
        act(unfinished)


def failing(error: Exception) -> Callable[[Path], object]:
    """Write a file and raise."""

    def act(unfinished: Path) -> None:
        (unfinished / "a").write_text("a")
        raise error

    return act


def killed(folder: Path, *, while_putting: bool = False) -> None:
    """Kill a process that fills a folder, or one that has moved the old folder away for it."""
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom core.model import placing\n"
        "def kill(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        "rename = os.rename\n"
        "def once(*names): rename(*names); kill()\n"
        "with placing.placed_whole(Path(sys.argv[1])) as unfinished:\n    (unfinished / 'new').write_text('new')\n    "
        + ("os.rename = once" if while_putting else "kill()")
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], env=ROOT)


def test_what_a_kill_left_is_removed_and_what_is_being_filled_is_not(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    killed(folder)
    (left,) = tmp_path.iterdir()
    with placed_whole(folder) as first:
        assert not left.exists()
        place(folder, lambda second: (second / "b").write_text("b"))
        assert first.exists()
        (first / "a").write_text("a")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in folder.iterdir()] == ["a"]


def test_another_folder_s_remains_are_left_alone(tmp_path: Path) -> None:
    killed(tmp_path / "other")
    place(tmp_path / "model", lambda unfinished: (unfinished / "a").write_text("a"))
    assert sorted(path.name for path in tmp_path.iterdir())[0].startswith(".other.")


def test_a_kill_between_old_and_new_loses_neither_s_place(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    place(folder, lambda unfinished: (unfinished / "old").write_text("old"))
    killed(folder, while_putting=True)
    assert not folder.exists()
    with pytest.raises(KeyError):
        place(folder, failing(KeyError()))
    assert [path.name for path in folder.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "error", [OSError(28, "full"), RuntimeError("Error while serializing: I/O error: File too large (os error 27)")]
)
def test_a_full_disk_is_a_storage_error_whoever_reports_it(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"full|os error 27"):
        place(tmp_path / "model", failing(error))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyError("x"), UsageError("says (os error 28)")])
def test_other_errors_stay_what_they_are(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(type(error)):
        place(tmp_path / "model", failing(error))
    assert list(tmp_path.iterdir()) == []


def test_weights_that_do_not_fit_the_disk_are_a_storage_error(tmp_path: Path) -> None:
    code = (
        "import resource, signal, sys, numpy\nfrom pathlib import Path\nfrom safetensors.numpy import save_file\n"
        "from core.model.placing import placed_whole\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (999, 999))\n"
        "with placed_whole(Path(sys.argv[1])) as unfinished:\n"
        "    save_file({'a': numpy.zeros(9999)}, unfinished / 'model.safetensors')"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "model")], capture_output=True, text=True, env=ROOT
    )
    assert "core.errors.StorageError" in found.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_came_meanwhile_is_not_replaced_where_it_must_not_be(tmp_path: Path) -> None:
    folder = tmp_path / "model"

    def with_another() -> None:
        with placed_whole(folder, replace=False) as unfinished:
            (unfinished / "mine").write_text("mine")
            place(folder, lambda theirs: (theirs / "theirs").write_text("theirs"))

    with pytest.raises(UsageError, match="is there now"):
        with_another()
    assert [path.name for path in tmp_path.rglob("*")] == ["model", "theirs"]
    new = tmp_path / "new"
    with placed_whole(new, replace=False) as unfinished:
        (unfinished / "mine").write_text("mine")
    assert (new / "mine").is_file()
