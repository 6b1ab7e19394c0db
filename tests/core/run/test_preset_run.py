"""A run that begins with the model of a preset: found, waited for or started, and what happens when somebody leaves."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.config.presets import dump_config, load_preset, read_yaml, resolve
from core.errors import UsageError
from core.run.control import request
from core.run.directory import Home, RunDirectory
from core.run.event_log import EventReader
from core.run.events import AnyEvent, Failed, Notice, Progress, Started, Stopped
from core.run.launch import create_run, launch, terminate
from core.run.overrides import write_overrides
from core.run.preset_run import chosen_run, finished_run
from core.run.processes import end_marked, identity_of, is_alive, marked
from core.run.records import (
    ExitRecord,
    ProcessRecord,
    read_exit,
    read_heartbeat,
    read_process,
    write_exit,
    write_process,
)
from core.run.runs import list_runs
from core.run.status import read_status
from tests.core.run.conftest import stand_in, wait_until
from tests.training_runs import pretrain_preset


@pytest.fixture
def presets(home: Home, tmp_path: Path) -> Iterator[Home]:
    """A home with the preset `tiny`, and `needs`, which begins with its model; what still runs at the end is ended."""
    (tmp_path / "texts").mkdir()
    home.presets.mkdir(mode=0o700)
    tiny = pretrain_preset(tmp_path / "texts")
    write_preset(home, "tiny", tiny)
    needs = {**tiny, "model": {"kind": "preset", "preset": "tiny"}}
    needs["data"] = {**tiny["data"], "tokenizer": {"kind": "model"}}
    write_preset(home, "needs", needs)
    yield home
    for run in list_runs(home):
        for attempt in run.attempts():
            record = read_process(attempt)
            if record is not None and is_alive(record.identity):
                with suppress(ProcessLookupError):  # it may end by itself between the question and the signal
                    os.kill(record.identity.pid, signal.SIGKILL)
                end_marked(record.marker, ask_seconds=0, kill_seconds=5)


def write_preset(home: Home, name: str, values: dict[str, Any]) -> None:
    (home.presets / f"{name}.yaml").write_text(json.dumps(values))


def made(home: Home, preset: str, name: str | None = None, **changes: Any) -> RunDirectory:
    values = load_preset(home.presets / f"{preset}.yaml").values
    config = resolve(read_yaml(json.dumps({**values, **changes})))
    return create_run(home, name, preset, dump_config(config))


def finished(run: RunDirectory, wall: str, *, number: int = 1) -> RunDirectory:
    """Make a run look as one that ended well then."""
    attempt = run.attempt(number)
    attempt.path.mkdir(parents=True, mode=0o700)
    write_process(attempt, ProcessRecord(replace(identity_of(os.getpid()), start_ticks=0), (), wall, ""))
    write_exit(attempt, ExitRecord(0, "", wall, 1.0, "supervisor"))
    run.model.mkdir(exist_ok=True)
    return run


def begin(run: RunDirectory, *kind: str | int | float) -> None:
    """Start a run that needs the preset, whose own run gets a worker of this kind."""
    launch(run, worker=stand_in("preset", "tiny", *kind))


def word(run: RunDirectory) -> str:
    return read_status(run).word if run.path.is_dir() else "absent"


def events(run: RunDirectory) -> list[AnyEvent]:
    reader, found = EventReader(run.events), []
    while batch := reader.read():
        found += batch
    return found


def step_of(run: RunDirectory) -> int:
    beat = read_heartbeat(run)
    return beat.step if beat is not None else 0


def waits(run: RunDirectory) -> bool:
    beat = read_heartbeat(run)
    return beat is not None and beat.section == "waiting for tiny"


def is_told(run: RunDirectory) -> bool:
    """Whether the steps of the other run have come through."""
    return any(isinstance(e, Progress) and e.stage == "training tiny" and e.done >= 1 for e in events(run))


def test_the_run_that_finished_first_is_found(presets: Home) -> None:
    with pytest.raises(UsageError, match="no run of the preset tiny is finished yet") as caught:
        finished_run("tiny", presets)
    assert caught.value.hint == "Run `footplate run tiny` first."

    later = finished(made(presets, "tiny"), "2026-01-01T00:00:02.000+00:00")
    assert finished_run("tiny", presets) == later
    cadence, about = {"evaluate_steps": 7}, {"title": "other words"}
    first = made(presets, "tiny", "other-cadence", cadence=cadence, about=about, sampling={"prompts": []})
    finished(first, "2026-01-01T00:00:01.000+00:00")
    assert finished_run("tiny", presets) == first
    finished(made(presets, "tiny", "other-seed", seed=18), "2026-01-01T00:00:00.000+00:00")
    assert finished_run("tiny", presets) == first
    (first.model).rmdir()
    assert finished_run("tiny", presets) == later


def test_a_run_that_was_changed_by_a_resume_is_no_run_of_the_preset(presets: Home) -> None:
    run = made(presets, "tiny")
    write_overrides(run, ["schedule.steps=30"], allow_inexact=False)
    finished(run, "2026-01-01T00:00:00.000+00:00")
    with pytest.raises(UsageError, match="finished"):
        finished_run("tiny", presets)


def test_a_damaged_run_stands_in_nobodys_way(presets: Home) -> None:
    run = made(presets, "tiny", "damaged")
    run.config.write_text("phase: pretrain\nabout: {\n")
    run = finished(made(presets, "tiny"), "2026-01-01T00:00:00.000+00:00")
    assert finished_run("tiny", presets) == run


def test_the_model_is_trained_first_and_found_the_next_time(presets: Home) -> None:
    parent, child = made(presets, "needs"), RunDirectory(presets.runs / "tiny")
    begin(parent, "steps", 30, 0.05)
    wait_until(lambda: waits(parent))
    assert read_status(parent).words == "running: waiting for tiny"
    wait_until(lambda: word(parent) == "finished")
    assert word(child) == "finished"
    told = [event for event in events(parent) if isinstance(event, Progress) and event.stage == "training tiny"]
    assert told[0].done < told[-1].done <= 30
    assert told[-1].total == 30

    again = made(presets, "needs")
    begin(again, "exit", 9)
    wait_until(lambda: word(again) == "finished")
    assert [run.name for run in list_runs(presets)] == ["needs-1", "tiny", "needs"]
    (start,) = [event for event in events(again) if isinstance(event, Started)]
    assert start.facts == {"begins_with": "tiny"}


def test_a_later_attempt_begins_with_the_same_run_whatever_became_of_the_preset(presets: Home) -> None:
    parent = made(presets, "needs")
    child = finished(made(presets, "tiny"), "2026-01-01T00:00:00.000+00:00")
    begin(parent, "exit", 9)
    wait_until(lambda: word(parent) == "finished")
    assert chosen_run(parent, "tiny") == child
    assert chosen_run(parent, "another") is None
    (presets.presets / "tiny.yaml").unlink()
    write_overrides(parent, ["schedule.steps=30"], allow_inexact=False)
    begin(parent, "exit", 9)
    wait_until(lambda: len([event for event in events(parent) if isinstance(event, Started)]) == 2)
    wait_until(lambda: word(parent) == "finished")
    assert events(parent)[-1].attempt == 2
    child.model.rmdir()
    assert chosen_run(parent, "tiny") is None
    parent.base_run.write_text("{")
    assert chosen_run(parent, "tiny") is None


@pytest.mark.slow(reason="starts four processes")
def test_two_that_need_it_at_once_train_it_once(presets: Home) -> None:
    parents = [made(presets, "needs") for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda parent: begin(parent, "steps", 20, 0.05), parents))
    wait_until(lambda: all(word(parent) == "finished" for parent in parents), seconds=30)
    assert sorted(run.name for run in list_runs(presets)) == ["needs", "needs-1", "needs-2", "tiny"]
    assert len(RunDirectory(presets.runs / "tiny").attempts()) == 1


@pytest.mark.slow(reason="starts four processes")
def test_a_kill_of_the_waiting_run_ends_only_that(presets: Home) -> None:
    """Supervisor and worker of the parent are gone; guard and marker take nothing of the child with them."""
    parent, child = made(presets, "needs"), RunDirectory(presets.runs / "tiny")
    begin(parent, "steps", 100, 0.05)
    wait_until(lambda: is_told(parent))
    record, running = read_process(parent.attempt(1)), read_process(child.attempt(1))
    assert record is not None
    assert running is not None
    for pid in (record.identity.pid, *marked(record.marker)):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: read_exit(parent.attempt(1)) is not None)
    assert not marked(record.marker)
    assert is_alive(running.identity)
    assert word(child) == "running"

    begin(parent, "exit", 9)
    wait_until(lambda: word(parent) == "finished", seconds=30)
    assert word(child) == "finished"
    assert len(child.attempts()) == 1


@pytest.mark.parametrize(
    ("by_signal", "words"),
    [(False, "stopped"), pytest.param(True, "preempted", marks=pytest.mark.slow(reason="starts four processes"))],
)
def test_whoever_leaves_takes_the_run_that_it_started_along(presets: Home, by_signal: bool, words: str) -> None:
    parent, child = made(presets, "needs"), RunDirectory(presets.runs / "tiny")
    begin(parent, "steps", 10_000, 0.05)
    wait_until(lambda: is_told(parent))
    if by_signal:
        terminate(parent)
    else:
        request(parent, "stop")
    wait_until(lambda: word(parent) == words)
    assert word(child) == words
    (stopped,) = [event for event in events(parent) if isinstance(event, Stopped)]
    assert stopped.reason == ("preempted" if by_signal else "asked")

    begin(parent, "steps", step_of(child) + 5, 0.02)
    wait_until(lambda: word(parent) == "finished")
    assert [event.step for event in events(child) if isinstance(event, Stopped)] != [0]
    assert len(child.attempts()) == 2


def test_whoever_leaves_leaves_alone_what_others_started_or_wait_for(presets: Home) -> None:
    first, second = made(presets, "needs"), made(presets, "needs")
    child = RunDirectory(presets.runs / "tiny")
    begin(first, "steps", 10_000, 0.05)
    wait_until(lambda: is_told(first))
    begin(second, "exit", 9)
    wait_until(lambda: is_told(second))
    request(first, "stop")
    wait_until(lambda: word(first) == "stopped")
    assert word(child) == "running", "the second run still waits for it"
    request(second, "stop")
    wait_until(lambda: word(second) == "stopped")
    assert word(child) == "running", "the second run did not start it"


@pytest.mark.parametrize(
    ("kind", "code", "says"),
    [
        (("exit", 5), 5, "failed, exit code 5, its data"),
        pytest.param(("kill", 9), 1, "by SIGKILL", marks=pytest.mark.slow(reason="starts four processes")),
    ],
)
def test_a_failure_is_passed_on_and_the_next_attempt_tries_again(
    presets: Home, kind: tuple[str, int], code: int, says: str
) -> None:
    parent, child = made(presets, "needs"), RunDirectory(presets.runs / "tiny")
    begin(parent, *kind)
    wait_until(lambda: word(parent) == "failed")
    (failed,) = [event for event in events(parent) if isinstance(event, Failed)]
    assert failed.exit_code == code
    assert failed.message.startswith("tiny, whose model this run begins with, has made none: failed")
    assert says in failed.message
    assert "`footplate logs tiny`" in failed.hint
    assert f"`footplate resume {parent.name}`" in failed.hint

    begin(parent, "steps", 3, 0.01)
    wait_until(lambda: word(parent) == "finished")
    assert len(child.attempts()) == 2


@pytest.mark.slow(reason="starts two processes for words that a failure has too")
def test_a_run_that_is_stopped_by_hand_ends_the_waiting(presets: Home) -> None:
    parent, child = made(presets, "needs"), RunDirectory(presets.runs / "tiny")
    begin(parent, "steps", 10_000, 0.05)
    wait_until(lambda: is_told(parent))
    request(child, "stop")
    wait_until(lambda: word(parent) == "failed")
    (failed,) = [event for event in events(parent) if isinstance(event, Failed)]
    assert failed.exit_code == 2
    assert "stopped because its user asked" in failed.message
    assert any(isinstance(event, Notice) and event.code == "preset_run" for event in events(parent))
