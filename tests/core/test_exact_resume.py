"""Runs that are killed, stopped and resumed end bit for bit where the uninterrupted run ends. Real processes."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path

import pytest

from core.run.directory import Home, RunDirectory
from core.run.events import Notice, Resumed
from core.run.launch import terminate
from core.run.processes import send
from core.run.records import read_exit, read_process
from tests.training_runs import (
    Trace,
    events,
    finish,
    new_run,
    pretrain_preset,
    sft_preset,
    start,
    trace,
    wait,
    write_instructions,
    write_texts,
)

SAVE_POINTS = [
    f"checkpoint.{point}"
    for point in (
        "wrote_model", "wrote_optimizer", "wrote_generators", "wrote_state", "wrote_manifest", "renamed", "committed",
    )
]  # fmt: skip


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    path = tmp_path_factory.mktemp("exact") / "home"
    path.mkdir(mode=0o700)
    write_texts(path.parent / "texts")
    return Home(path)


@pytest.fixture(scope="module")
def uninterrupted(shared_home: Home) -> Trace:
    run = new_run(shared_home, preset_of(shared_home), "whole")
    assert finish(run) == 0
    result = trace(run)
    assert len(result.rows) == 20
    assert len(result.happened) == 5 + 3
    return result


def preset_of(home: Home) -> dict[str, object]:
    return pretrain_preset(home.path.parent / "texts")


def worker_of(run: RunDirectory) -> list[int]:
    """Return the processes that work on this run, but not its supervisor."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"core.worker" in command and str(run.path).encode() in command:
            found.append(int(entry.name))
    return found


def kill_worker_when(run: RunDirectory, attempt: int, seconds: float) -> bool:
    """Kill the worker after so many seconds of its life; False where it had ended by then."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and read_exit(run.attempt(attempt)) is None:
        if found := worker_of(run):
            time.sleep(seconds)
            for pid in found:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    return False
            return True
        time.sleep(0.01)
    return False


def kill_at_random_moments(home: Home, name: str, *, kills: int, seed: int) -> tuple[RunDirectory, int]:
    """Kill the run's worker again and again while it trains, then let it finish; return how many kills met it."""
    draw = random.Random(seed)
    run = new_run(home, preset_of(home), name)
    met = 0
    for _ in range(kills):
        attempt = start(run)
        first_step = time.monotonic()
        while not run.attempt(attempt).metrics.exists() and read_exit(run.attempt(attempt)) is None:
            time.sleep(0.01)
            assert time.monotonic() - first_step < 120
        time.sleep(draw.uniform(0, 0.7))
        for pid in worker_of(run):
            os.kill(pid, signal.SIGKILL)
        code = wait(run, attempt)
        met += code == 128 + 9
        if code == 0:
            break
    if code != 0:
        assert finish(run) == 0
    return run, met


@pytest.mark.slow(reason="fifty kills take minutes")
def test_kill_at_fifty_random_moments_is_exact(shared_home: Home, uninterrupted: Trace) -> None:
    met, number = 0, 0
    while met < 50:
        number += 1
        run, more = kill_at_random_moments(shared_home, f"random-{number}", kills=6, seed=1000 + number)
        met += more
        assert trace(run) == uninterrupted, f"seed {1000 + number}"


def kill_at_point(home: Home, uninterrupted: Trace, monkeypatch: pytest.MonkeyPatch, point: str, count: int) -> None:
    run = new_run(home, preset_of(home), f"{point.replace('_', '-')}-{count}")
    monkeypatch.setenv("FOOTPLATE_FAULT", f"{point}:kill9:{count}")
    assert finish(run) == 128 + 9, "the fault did not fire"
    monkeypatch.delenv("FOOTPLATE_FAULT")
    assert finish(run) == 0
    assert trace(run) == uninterrupted


@pytest.mark.parametrize("point", ["checkpoint.wrote_manifest"])
def test_kill_within_a_save_is_exact(
    shared_home: Home, uninterrupted: Trace, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    kill_at_point(shared_home, uninterrupted, monkeypatch, point, 2)


@pytest.mark.slow(reason="every point of the first, second and last save takes minutes")
@pytest.mark.parametrize("count", [1, 3, 5])
@pytest.mark.parametrize("point", SAVE_POINTS)
def test_kill_at_every_point_of_a_save_is_exact(
    shared_home: Home, uninterrupted: Trace, monkeypatch: pytest.MonkeyPatch, point: str, count: int
) -> None:
    kill_at_point(shared_home, uninterrupted, monkeypatch, point, count)


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGUSR1, marks=pytest.mark.slow(reason="the same by another signal"))],
)
def test_a_signal_saves_and_exits_75_and_the_resume_is_exact(
    shared_home: Home, uninterrupted: Trace, number: signal.Signals
) -> None:
    run = new_run(shared_home, preset_of(shared_home), f"signal-{number.name.lower()}")
    attempt = start(run)
    while not run.attempt(attempt).metrics.exists():
        time.sleep(0.01)
    assert terminate(run, number)
    assert wait(run, attempt) == 75
    assert len(list(run.checkpoints.glob("step-????????"))) >= 1
    assert finish(run) == 0
    assert trace(run) == uninterrupted


@pytest.mark.slow(reason="a whole run more")
def test_a_signal_after_the_end_does_not_change_the_exit_code(shared_home: Home, uninterrupted: Trace) -> None:
    """Python and torch take a while to leave: what comes then must not turn a finished run into a killed one."""
    run = new_run(shared_home, preset_of(shared_home), "late-signal")
    attempt = start(run)
    while not (run.events.exists() and '"type":"finished"' in run.events.read_text()):
        assert read_exit(run.attempt(attempt)) is None, "it ended before the signal: nothing was tested"
        time.sleep(0.002)
    time.sleep(0.05)
    assert terminate(run)
    assert wait(run, attempt) == 0
    assert trace(run) == uninterrupted


@pytest.mark.slow(reason="a whole run more; what a killed supervisor leaves is tested with stand-ins by default")
def test_kill_of_the_supervisor_ends_all_and_the_resume_is_exact(shared_home: Home, uninterrupted: Trace) -> None:
    run = new_run(shared_home, preset_of(shared_home), "supervisor")
    attempt = start(run)
    while not run.attempt(attempt).metrics.exists():
        time.sleep(0.01)
    record = read_process(run.attempt(attempt))
    assert record is not None
    assert send(record.identity, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while worker_of(run):
        assert time.monotonic() < deadline, "a worker outlived its supervisor"
        time.sleep(0.05)
    assert wait(run, attempt) == 128 + 9
    assert finish(run) == 0
    assert trace(run) == uninterrupted


def test_a_run_killed_before_its_first_checkpoint_begins_again_and_says_so(
    shared_home: Home, uninterrupted: Trace
) -> None:
    run = new_run(shared_home, preset_of(shared_home), "early")
    attempt = start(run)
    assert kill_worker_when(run, attempt, 0.2)
    assert wait(run, attempt) == 128 + 9
    assert finish(run) == 0
    assert trace(run) == uninterrupted
    (resumed,) = [e for e in events(run) if isinstance(e, Resumed)]
    assert resumed.step == 0
    assert "begins again" in " ".join(resumed.notes)


@pytest.mark.slow(reason="a whole run more; runs of fine-tuning with adapters are broken and resumed by default")
def test_fine_tuning_is_exact_too(
    shared_home: Home, uninterrupted: Trace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = write_instructions(tmp_path / "rows.jsonl")
    preset = sft_preset(rows, "whole", schedule={"steps": 10})
    whole = new_run(shared_home, preset, "sft-whole")
    assert finish(whole) == 0
    broken = new_run(shared_home, preset, "sft-broken")
    monkeypatch.setenv("FOOTPLATE_FAULT", "checkpoint.committed:kill9:1")
    assert finish(broken) == 128 + 9
    monkeypatch.delenv("FOOTPLATE_FAULT")
    assert finish(broken) == 0
    assert trace(broken) == trace(whole)
    assert not [e for e in events(broken) if isinstance(e, Notice) and e.code == "inexact"]
