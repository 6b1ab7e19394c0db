"""Files of a run: private whatever the umask, and never through a link."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import StorageError, UsageError
from core.run import faults
from core.run.directory import Home
from core.run.launch import create_run, make_home
from core.run.private import check_parents, delete_tree, make_folder, open_file, read_file, write_atomic
from tests.core.run.conftest import ROOT

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to somebody else")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir(mode=0o700)
    return folder


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    """A folder outside of the run with a file that nothing may touch."""
    folder = tmp_path / "canary"
    folder.mkdir()
    (folder / "precious").write_text("precious")
    return folder


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.activate("")


def mode(path: Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077, 0o777])
def test_folders_are_0700_and_files_0600_with_any_umask(root: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        make_folder(root / "a" / "b", root=root)
        write_atomic(root / "a" / "b" / "file", b"x", root=root)
        os.close(open_file(root / "a" / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, root=root))
    finally:
        os.umask(before)
    assert [mode(root / "a"), mode(root / "a" / "b")] == [0o700, 0o700]
    assert [mode(root / "a" / "b" / "file"), mode(root / "a" / "log")] == [0o600, 0o600]


def test_a_new_home_and_the_folders_above_it_are_private_with_umask_0(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        run = create_run(Home(tmp_path / "above" / "home"), None, "tiny", "a: 1\n")
    finally:
        os.umask(before)
    for path in (tmp_path / "above", tmp_path / "above" / "home", run.path.parent, run.path):
        assert mode(path) == 0o700, path
    assert mode(run.config) == 0o600


def test_a_planted_link_in_place_of_a_file_is_not_written_through(root: Path, canary: Path) -> None:
    (root / "log").symlink_to(canary / "precious")
    with pytest.raises(UsageError, match="symbolic link"):
        open_file(root / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, root=root)
    with pytest.raises(UsageError, match="symbolic link"):
        read_file(root / "log", limit_bytes=100, root=root)
    write_atomic(root / "log", b"mine", root=root)  # replaces the link itself
    assert (canary / "precious").read_text() == "precious"
    assert not (root / "log").is_symlink()


@pytest.mark.parametrize("depth", [1, 2])
def test_a_planted_link_in_place_of_a_folder_is_not_entered(root: Path, canary: Path, depth: int) -> None:
    where = root / "checkpoints" if depth == 1 else root / "checkpoints" / "step-1"
    where.parent.mkdir(mode=0o700, exist_ok=True)
    where.symlink_to(canary)
    for act in (
        lambda: write_atomic(where / "manifest.json", b"x", root=root),
        lambda: make_folder(where / "sub", root=root),
        lambda: delete_tree(where / "precious", root=root),
        lambda: open_file(where / "precious", os.O_WRONLY, root=root),
    ):
        with pytest.raises(UsageError, match="symbolic link"):
            act()
    assert [entry.name for entry in canary.iterdir()] == ["precious"]
    assert (canary / "precious").read_text() == "precious"


def test_a_run_that_is_itself_a_link_is_refused(tmp_path: Path, root: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(UsageError, match="symbolic link"):
        write_atomic(tmp_path / "link" / "file", b"x", root=tmp_path / "link")


def test_a_folder_swapped_for_a_link_between_check_and_use_leads_nowhere(root: Path, canary: Path) -> None:
    """One thread exchanges the folder for a link as fast as it can, while files are written into it."""
    (root / "folder").mkdir(mode=0o700)
    (root / "link").symlink_to(canary)
    ends = threading.Event()

    def swap() -> None:
        while not ends.is_set():
            os.rename(root / "folder", root / "aside")
            os.rename(root / "link", root / "folder")
            os.rename(root / "folder", root / "link")
            os.rename(root / "aside", root / "folder")

    thread = threading.Thread(target=swap)
    thread.start()
    refused = written = 0
    try:
        for _ in range(3000):
            try:
                write_atomic(root / "folder" / "file", b"x", root=root, sync=False)
                written += 1
            except (UsageError, FileNotFoundError):
                refused += 1
    finally:
        ends.set()
        thread.join()
    assert written
    assert refused, "the race was never met, so this has shown nothing"
    assert [entry.name for entry in canary.iterdir()] == ["precious"]


def test_a_fifo_in_place_of_a_file_does_not_block(root: Path) -> None:
    os.mkfifo(root / "events.jsonl")
    for flags in (os.O_RDONLY, os.O_RDWR | os.O_CREAT | os.O_APPEND, os.O_WRONLY):
        with pytest.raises(UsageError, match="not a regular file"):
            open_file(root / "events.jsonl", flags, root=root)


def test_dots_cannot_lead_out_of_the_root(root: Path) -> None:
    with pytest.raises(UsageError, match="leads out"):
        make_folder(root / ".." / "outside", root=root)
    assert not (root.parent / "outside").exists()


@AS_ROOT
def test_another_users_files_and_folders_are_refused(root: Path) -> None:
    (root / "theirs").write_text("x")
    os.chown(root / "theirs", 12345, -1)
    (root / "folder").mkdir()
    os.chown(root / "folder", 12345, -1)
    for act in (
        lambda: open_file(root / "theirs", os.O_RDONLY, root=root),
        lambda: write_atomic(root / "folder" / "file", b"x", root=root),
        lambda: delete_tree(root / "folder", root=root),
    ):
        with pytest.raises(UsageError, match="belongs to user 12345"):
            act()
    assert (root / "folder").is_dir()


def test_deleting_a_tree_never_follows_links(root: Path, canary: Path) -> None:
    tree = root / "checkpoint"
    (tree / "deep").mkdir(parents=True)
    (tree / "deep" / "file").write_text("x")
    (tree / "to-folder").symlink_to(canary)
    (tree / "deep" / "to-file").symlink_to(canary / "precious")
    delete_tree(tree, root=root)
    assert not tree.exists()
    assert (canary / "precious").read_text() == "precious"
    delete_tree(tree, root=root)  # nothing there: nothing to do
    (root / "link").symlink_to(canary)
    delete_tree(root / "link", root=root)
    assert (canary / "precious").exists()


@pytest.mark.skipif(shutil.which("unshare") is None or os.geteuid() != 0, reason="needs a mount namespace")
def test_deleting_a_tree_stops_at_a_mount(root: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from core.run.private import delete_tree\n"
        "root = Path(sys.argv[1])\n"
        "try:\n    delete_tree(root / 'tree', root=root)\n"
        "except Exception as error:\n    print(error)\n"
        "print(sorted(p.name for p in (root / 'tree' / 'mounted').iterdir()))\n"
    )
    (root / "tree" / "mounted").mkdir(parents=True)
    script = f'mount -t tmpfs none {root}/tree/mounted && touch {root}/tree/mounted/kept && {sys.executable} -c "$0" $1'
    answer = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, code, str(root)],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False,
    )  # fmt: skip
    if "mount" in answer.stderr and "permission" in answer.stderr.lower():
        pytest.skip("mounts are not allowed here")
    assert "is a mount and was not deleted" in answer.stdout, answer.stderr
    assert "kept" in answer.stdout


@pytest.mark.parametrize("action", ["enospc", "eio"])
def test_a_failed_write_keeps_the_old_content_and_leaves_nothing_behind(root: Path, action: str) -> None:
    write_atomic(root / "file", b"old", root=root)
    faults.activate(f"write_atomic.before_rename:{action}")
    with pytest.raises(StorageError, match="file: ") as caught:
        write_atomic(root / "file", b"new", root=root)
    assert faults.fired() == {"write_atomic.before_rename": 1}
    assert caught.value.exit_code == 8
    assert caught.value.hint
    assert (root / "file").read_bytes() == b"old"
    assert os.listdir(root) == ["file"]


def test_a_short_write_is_an_error_and_not_half_a_file(root: Path) -> None:
    """RLIMIT_FSIZE gives a short write first and EFBIG then."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from core.run.private import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "root = Path(sys.argv[1])\n"
        "try:\n    write_atomic(root / 'file', b'x' * 5000, root=root)\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert "StorageError" in answer.stdout
    assert os.listdir(root) == []


def test_an_unsafe_parent_is_refused_with_the_word_why(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chmod(shared, 0o777)
    with pytest.raises(UsageError, match="every user may write there") as caught:
        make_home(Home(shared / "home"))
    assert str(shared) in caught.value.message
    assert not (shared / "home").exists()
    os.chmod(shared, 0o1777)  # like the folder for temporary files: nobody can rename what is not his
    make_home(Home(shared / "home"))
    assert mode(shared / "home") == 0o700


@AS_ROOT
def test_a_parent_of_another_user_is_refused(tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, -1)
    with pytest.raises(UsageError, match="belongs to user 12345"):
        check_parents(theirs / "home")


def test_a_missing_file_stays_a_missing_file(root: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        read_file(root / "nothing", limit_bytes=1, root=root)
    assert caught.value.errno == errno.ENOENT
