"""Starting runs: one starter of many, never the wrong process, private files, a clean environment."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from core.errors import FootplateError, RunHeldError, UsageError
from core.run.directory import Home, RunDirectory
from core.run.launch import child_environment, launch, terminate
from core.run.lock import RunLock, lock_state
from core.run.processes import MARKER, Identity, is_alive, marked, send
from core.run.records import ExitRecord, read_exit, read_process
from core.run.replay import stream
from tests.core.run.conftest import stand_in, wait_until


def ended(run: RunDirectory, number: int = 1) -> ExitRecord:
    """Wait for an attempt's end."""
    wait_until(lambda: read_exit(run.attempt(number)) is not None)
    record = read_exit(run.attempt(number))
    assert record is not None
    wait_until(lambda: lock_state(run).state == "free")
    return record


def worker_pid(run: RunDirectory) -> int:
    """Return the process that has the marker and is a child of the supervisor."""
    record = read_process(run.attempts()[-1])
    assert record is not None
    wait_until(lambda: bool(marked(record.marker)))
    return min(marked(record.marker))


def has_stepped(run: RunDirectory, steps: int = 3) -> bool:
    return sum(event.type == "metrics" for event in stream(run)) >= steps


@pytest.mark.parametrize("starters", [12, pytest.param(100, marks=pytest.mark.slow)])
def test_of_many_starters_at_once_exactly_one_wins(run: RunDirectory, starters: int, tmp_path: Path) -> None:
    """Half of them come by way of a symbolic link to the home, as F50 asks."""
    (tmp_path / "link").symlink_to(run.home.path)
    ways = [run, RunDirectory(tmp_path / "link" / "runs" / run.name)]
    answers: list[int | FootplateError] = []
    gate = threading.Barrier(starters)

    def start(way: RunDirectory) -> None:
        gate.wait()
        try:
            answers.append(launch(way, worker=stand_in("steps", 100000, 0.05)))
        except FootplateError as error:
            answers.append(error)

    threads = [threading.Thread(target=start, args=(ways[index % 2],)) for index in range(starters)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer for answer in answers if isinstance(answer, int)] == [1]
    refused = [answer for answer in answers if isinstance(answer, FootplateError)]
    assert len(refused) == starters - 1
    holder = read_process(run.attempt(1))
    assert holder is not None
    for error in refused:
        assert isinstance(error, RunHeldError)
        assert int(error.exit_code) == 3
        assert f"held by pid {holder.identity.pid}" in error.message
    with pytest.raises(RunHeldError, match=f"on {holder.identity.host} since {re.escape(holder.wall)}"):
        launch(run, worker=stand_in("exit", 0))  # by now the holder has said who it is
    assert [attempt.number for attempt in run.attempts()] == [1]
    terminate(run)
    ended(run)


def test_the_lock_is_free_although_a_forked_worker_of_the_killed_holder_lives(run: RunDirectory) -> None:
    """With flock this start would be refused by nobody that one could name (F51)."""
    read_end, write_end = os.pipe()
    holder = os.fork()
    if holder == 0:
        RunLock.acquire(run)
        orphan = os.fork()
        if orphan == 0:
            time.sleep(60)
            os._exit(0)
        os.write(write_end, str(orphan).encode())
        time.sleep(60)
        os._exit(0)
    orphan = int(os.read(read_end, 20))
    try:
        assert lock_state(run).state == "held"
        assert lock_state(run).pid == holder
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        assert is_running(orphan)
        assert launch(run, worker=stand_in("exit", 0)) == 1
        ended(run)
    finally:
        os.kill(orphan, signal.SIGKILL)
        os.close(read_end)
        os.close(write_end)


def test_a_holder_whose_attempt_has_ended_is_waited_for(run: RunDirectory) -> None:
    """Its exit.json is there some moments before its process and its lock are gone."""
    assert launch(run, worker=stand_in("exit", 0)) == 1
    ended(run)
    read_end, write_end = os.pipe()
    leaving = os.fork()
    if leaving == 0:
        RunLock.acquire(run)
        os.write(write_end, b".")
        time.sleep(1.5)
        os._exit(0)
    os.read(read_end, 1)
    assert lock_state(run).state == "held"
    assert launch(run, worker=stand_in("exit", 0)) == 2
    os.waitpid(leaving, 0)
    ended(run, 2)
    os.close(read_end)
    os.close(write_end)


def test_a_process_with_the_pid_but_another_start_time_is_never_signalled(run: RunDirectory) -> None:
    launch(run, worker=stand_in("steps", 100000, 0.01))
    record = read_process(run.attempt(1))
    assert record is not None
    mine = record.identity
    for other in (
        Identity(mine.pid, mine.start_ticks + 1, mine.boot_id, mine.pid_namespace, mine.host),
        Identity(mine.pid, mine.start_ticks, "another-boot", mine.pid_namespace, mine.host),
        Identity(mine.pid, mine.start_ticks, mine.boot_id, mine.pid_namespace + 1, mine.host),
    ):
        assert not send(other, signal.SIGKILL)
        assert not is_alive(other)
    assert is_alive(mine)


def test_the_run_is_in_a_session_of_its_own_with_private_files_and_caches(run: RunDirectory) -> None:
    before = os.umask(0)
    try:
        launch(run, worker=stand_in("steps", 100000, 0.01))
    finally:
        os.umask(before)
    wait_until(lambda: has_stepped(run))
    pid = worker_pid(run)
    assert os.getsid(pid) != os.getsid(0)
    environment = dict(
        part.split("=", 1) for part in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in part
    )
    assert environment["TORCHINDUCTOR_CACHE_DIR"].startswith(str(run.home.cache))
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    for folder, _, files in os.walk(run.home.path):
        assert os.stat(folder).st_mode & 0o777 == 0o700, folder
        for name in files:
            assert os.stat(os.path.join(folder, name)).st_mode & 0o777 == 0o600, name


def test_only_what_a_run_needs_is_passed_on(home: Home) -> None:
    outside = {
        "PATH": "/bin", "AWS_SECRET_ACCESS_KEY": "s", "CUDA_VISIBLE_DEVICES": "0", "HF_TOKEN": "t", "LC_ALL": "C",
        "SSH_AUTH_SOCK": "/x", MARKER: "outer", "TMPDIR": "/shared",
    }  # fmt: skip
    passed = child_environment(outside, home)
    assert {"PATH", "CUDA_VISIBLE_DEVICES", "HF_TOKEN", "LC_ALL"} <= passed.keys()
    assert not {"AWS_SECRET_ACCESS_KEY", "SSH_AUTH_SOCK", MARKER} & passed.keys()
    assert passed["TMPDIR"].startswith(str(home.cache))


@pytest.mark.skipif(sys.platform != "linux", reason="settings of glibc")
def test_memory_is_kept_in_huge_pages_unless_the_user_says_otherwise(home: Home) -> None:
    passed = child_environment({}, home)
    assert passed["GLIBC_TUNABLES"] == "glibc.malloc.hugetlb=1"
    assert passed["MALLOC_MMAP_MAX_"] == "0"
    assert "OMP_WAIT_POLICY" not in passed
    own = {"GLIBC_TUNABLES": "glibc.malloc.arena_max=2", "MALLOC_MMAP_MAX_": "9", "OMP_WAIT_POLICY": "PASSIVE"}
    assert own.items() <= child_environment(own, home).items()


def test_an_unsafe_or_foreign_run_is_refused_with_the_reason(run: RunDirectory, home: Home) -> None:
    os.chmod(run.path, 0o777)
    with pytest.raises(UsageError, match="every user may write there"):
        launch(run, worker=stand_in("exit", 0))
    os.chmod(run.path, 0o700)
    assert run.attempts() == []
    if os.geteuid() == 0:
        os.chown(run.path, 12345, -1)
        with pytest.raises(UsageError, match="belongs to user 12345"):
            launch(run, worker=stand_in("exit", 0))
        os.chown(run.path, 0, -1)


def test_a_run_outside_of_a_home_is_not_started(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not lie in the runs folder"):
        launch(RunDirectory(tmp_path / "elsewhere"))


def is_running(pid: int) -> bool:
    return Path(f"/proc/{pid}/environ").exists()
