"""run, attach, resume, stop, checkpoint, logs and runs as processes, with a real supervisor and a fake worker."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import signal
import termios
import time
from collections.abc import Callable
from typing import Any

import pytest

import tui.__main__ as command_line
from core.run.directory import RunDirectory
from core.run.status import read_status

Until = Callable[..., None]
LONG = ("--set", "schedule.steps=100000")


def _run_of(commands: Any, name: str = "tiny") -> RunDirectory:
    return RunDirectory(commands.home.runs / name)


def _is_training(run: RunDirectory) -> bool:
    rows = [attempt.metrics for attempt in run.attempts()[-1:] if attempt.metrics.exists()]
    return any(path.stat().st_size > 0 for path in rows)


def test_run_in_a_pipe_prints_lines_and_the_result(commands: Any) -> None:
    answer = commands("run", "tiny")
    assert answer.returncode == 0, answer.stderr
    assert re.search(r"step 1/6  loss 8", answer.stdout)
    assert re.search(r"step 6/6  loss 1.333", answer.stdout)
    assert "tokenize  2 of 2 files  100%" in answer.stdout
    assert "held-out loss: 4.159, 50% of ln(4,096)" in answer.stdout
    assert "    def f(x):\n        return ␛]0;owned␇ x\n" in answer.stdout
    assert "\x1b" not in answer.stdout + answer.stderr
    assert "tiny is finished" in answer.stderr


def test_json_is_every_event_and_row_once_in_order(commands: Any) -> None:
    answer = commands("run", "tiny", "--json")
    assert answer.returncode == 0
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [event["type"] for event in events] == [
        "started", "progress", "progress", *["metrics"] * 6, "evaluated", "sampled", "finished",
    ]  # fmt: skip
    assert [event["step"] for event in events if event["type"] == "metrics"] == [1, 2, 3, 4, 5, 6]


def test_wrong_configuration_is_exit_2_and_creates_nothing(commands: Any) -> None:
    answer = commands("run", "tiny", "--set", "batch.size=5", "--set", "schedule.stepz=1")
    assert answer.returncode == 2
    assert "batch.size" in answer.stderr
    assert "did you mean steps?" in answer.stderr
    assert answer.stdout == ""
    assert not commands.home.runs.exists()


NO_NAMES = ["../x", "/etc/x", "a/b", ".", "..", "", "a" * 300, "a\nb", "a\x1b[2J", "-rf", "ä", "a b", "a\u202eb"]


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_are_none_are_exit_2_and_create_nothing(
    name: str, commands: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """F84, in this process: thirteen processes would take thirteen times as long."""
    monkeypatch.setenv("FOOTPLATE_HOME", str(commands.home.path))
    assert command_line.main(["run", "tiny", f"--name={name}"]) == 2
    said = capsys.readouterr().err
    assert "cannot be the name of a run" in said
    assert not set(said) & {"\x1b", "\u202e"}
    assert not commands.home.runs.exists()


def test_the_code_of_a_run_that_fails_is_returned(commands: Any) -> None:
    answer = commands("run", "tiny", behaviour="fail")
    assert answer.returncode == 6
    assert "tiny failed: the loss is NaN" in answer.stderr
    assert "Lower the learning rate." in answer.stderr


def test_detach_returns_at_once_and_the_run_goes_on(commands: Any, until: Until) -> None:
    answer = commands("run", "tiny", "--detach", "--name", "mine")
    assert answer.returncode == 0
    assert answer.stdout == "mine\n"
    until(lambda: read_status(_run_of(commands, "mine")).word == "finished")
    attached = commands("attach", "mi")
    assert attached.returncode == 0
    assert "step 6/6" in attached.stdout


def test_detach_with_json_is_one_object(commands: Any) -> None:
    answer = json.loads(commands("run", "tiny", "--detach", "--json").stdout)
    assert (answer["run"], answer["attempt"]) == ("tiny", 1)
    assert answer["pid"] > 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_signals_are_passed_on_and_75_comes_back(number: int, commands: Any, until: Until) -> None:
    process = commands.start("run", "tiny", *LONG)
    until(lambda: _is_training(_run_of(commands)))
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 75, err
    assert "stopped at step" in out
    assert f"{signal.Signals(number).name} passed on to tiny" in err
    assert read_status(_run_of(commands)).word == "preempted"


def test_ctrl_c_leaves_the_watch_and_says_how_to_stop(commands: Any, until: Until) -> None:
    process = commands.start("run", "tiny", *LONG)
    until(lambda: _is_training(_run_of(commands)))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "tiny goes on" in err
    assert "footplate stop tiny" in err
    assert read_status(_run_of(commands)).word == "running"
    assert commands("stop", "tiny", "--wait").returncode == 0
    assert read_status(_run_of(commands)).word == "stopped"


def test_ctrl_c_twice_stops_the_run_and_waits(commands: Any, until: Until) -> None:
    process = commands.start("run", "tiny", *LONG)
    until(lambda: _is_training(_run_of(commands)))
    process.send_signal(signal.SIGINT)
    time.sleep(0.6)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Asked tiny to stop" in err
    assert read_status(_run_of(commands)).word == "stopped"


@pytest.mark.slow(reason="waits for more than three seconds")
def test_a_second_ctrl_c_after_three_seconds_does_not_stop_the_run(commands: Any, until: Until) -> None:
    process = commands.start("run", "tiny", *LONG)
    until(lambda: _is_training(_run_of(commands)))
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    assert not list(_run_of(commands).control.glob("**/*.json"))
    assert read_status(_run_of(commands)).word == "running"


def test_a_reader_that_leaves_ends_only_the_watch(commands: Any, until: Until) -> None:
    process = commands.start("run", "tiny", "--json", *LONG)
    until(lambda: _is_training(_run_of(commands)))
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(timeout=30) == 141
    assert read_status(_run_of(commands)).word == "running"


@pytest.mark.parametrize("ignores_hangup", [False, True])
def test_a_terminal_that_drops_ends_only_the_watch(ignores_hangup: bool, commands: Any, until: Until) -> None:
    """F40, F41: also where SIGHUP is ignored, as under nohup; then the write fails with EIO."""
    master, slave = pty.openpty()

    def become_leader() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if ignores_hangup else signal.SIG_DFL)

    process = commands.start("run", "tiny", *LONG, stdin=slave, stdout=slave, stderr=slave, preexec_fn=become_leader)
    os.close(slave)
    seen = b""
    while b"step" not in seen:
        seen += os.read(master, 65536)
    os.close(master)
    assert process.wait(timeout=10) == (129 if ignores_hangup else -signal.SIGHUP)
    run = _run_of(commands)
    rows = run.attempts()[-1].metrics.stat().st_size
    until(lambda: run.attempts()[-1].metrics.stat().st_size > rows)
    assert read_status(run).word == "running"


def test_a_terminal_is_drawn_on_and_left_as_it_was(commands: Any) -> None:
    master, slave = pty.openpty()
    process = commands.start("run", "tiny", stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    seen = b""
    while True:
        try:
            piece = os.read(master, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
    os.close(master)
    assert process.wait(timeout=30) == 0
    text = seen.decode()
    assert "step 6/6  100%" in text
    assert "held-out loss: 4.159" in text
    assert not re.search(r"\x1b(?!\[(\d*A|J|1m|m))", text), "only cursor up, clear below, bold"


def test_stop_of_a_run_that_does_not_run(commands: Any) -> None:
    assert commands("run", "tiny").returncode == 0
    answer = commands("stop", "tiny")
    assert answer.returncode == 0
    assert "is not running" in answer.stderr
    assert not _run_of(commands).control.exists()


def test_checkpoint_waits_for_the_answer(commands: Any, until: Until) -> None:
    commands("run", "tiny", "--detach", *LONG)
    until(lambda: _is_training(_run_of(commands)))
    answer = commands("checkpoint", "tiny", "--wait")
    assert answer.returncode == 0, answer.stderr
    assert "tiny saved a checkpoint: done at step" in answer.stderr
    assert commands("stop", "tiny", "--wait").returncode == 0
    late = commands("checkpoint", "tiny")
    assert late.returncode == 2
    assert "not running" in late.stderr


def test_a_checkpoint_that_is_refused_is_exit_4(commands: Any, until: Until) -> None:
    commands("run", "tiny", "--detach", *LONG, behaviour="refuse")
    until(lambda: _is_training(_run_of(commands)))
    answer = commands("checkpoint", "tiny", "--wait")
    assert answer.returncode == 4
    assert "tiny saved no checkpoint: failed at step" in answer.stderr


def test_resume_shows_the_new_attempt_and_attach_shows_all(commands: Any, until: Until) -> None:
    process = commands.start("run", "tiny", "--set", "schedule.steps=300")
    until(lambda: _is_training(_run_of(commands)))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    answer = commands("resume", "tiny", "--set", "schedule.steps=5", "--json")
    assert answer.returncode == 0, answer.stderr
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    assert {event["attempt"] for event in events} == {2}
    assert [event["step"] for event in events if event["type"] == "metrics"] == [3, 4, 5]
    attached = [json.loads(line) for line in commands("attach", "tiny", "--json").stdout.splitlines()]
    assert [event["step"] for event in attached if event["type"] == "metrics"] == [1, 2, 3, 4, 5]


def test_resume_of_a_run_that_runs_is_exit_3_and_changes_nothing(commands: Any, until: Until) -> None:
    commands("run", "tiny", "--detach", *LONG)
    until(lambda: _is_training(_run_of(commands)))
    answer = commands("resume", "tiny", "--set", "schedule.steps=7")
    assert answer.returncode == 3
    assert "footplate attach tiny" in answer.stderr
    assert not _run_of(commands).overrides(1).exists()


def test_resume_with_a_wrong_value_is_exit_2_and_writes_nothing(commands: Any) -> None:
    commands("run", "tiny")
    answer = commands("resume", "tiny", "--set", "schedule.steps=-1")
    assert answer.returncode == 2
    assert "schedule.steps" in answer.stderr
    assert not _run_of(commands).overrides(1).exists()
    assert len(_run_of(commands).attempts()) == 1


def test_resume_of_a_finished_run_is_exit_2_unless_it_becomes_longer(commands: Any) -> None:
    commands("run", "tiny")
    answer = commands("resume", "tiny")
    assert answer.returncode == 2
    assert "tiny is finished at step 6" in answer.stderr
    assert "--set schedule.steps=" in answer.stderr
    assert len(_run_of(commands).attempts()) == 1
    assert commands("resume", "tiny", "--set", "schedule.steps=8").returncode == 0


def test_a_run_on_a_run_that_does_not_exist_creates_nothing(commands: Any) -> None:
    answer = commands("run", "tiny", "--set", "data={kind: run, run: prepared}")
    assert answer.returncode == 2
    assert "data.run: there is no run prepared" in answer.stderr
    assert not commands.home.runs.exists()


def test_logs_are_shown_and_not_obeyed(commands: Any) -> None:
    commands("run", "tiny")
    answer = commands("logs", "tiny", "--follow")
    assert answer.returncode == 0
    assert "worker speaks ␛[2J here" in answer.stdout
    assert "progress 100%" in answer.stdout
    assert "progress 10%" not in answer.stdout
    assert "\x1b" not in answer.stdout


def test_runs_are_listed(commands: Any) -> None:
    assert "There are no runs" in commands("runs").stderr
    commands("run", "tiny")
    commands("run", "tiny", behaviour="fail")
    lines = commands("runs").stdout.splitlines()
    assert lines[0].split() == ["run", "phase", "status", "step", "loss", "held-out", "age"]
    assert lines[1].split()[:5] == [
        "tiny-1", "pretrain", "failed", "3/6", "2.667",
    ]  # fmt: skip
    assert lines[2].split()[:6] == ["tiny", "pretrain", "finished", "6/6", "1.333", "4.159"]
    rows = [json.loads(line) for line in commands("runs", "--json").stdout.splitlines()]
    assert [(row["run"], row["status"], row["exit_code"]) for row in rows] == [
        ("tiny-1", "failed", 6), ("tiny", "finished", 0),
    ]  # fmt: skip
    held_out = [(row["held_out_series"], row["held_out"], row["held_out_loss"], row["exact"]) for row in rows]
    assert held_out == [("eval/loss", None, None, True), ("eval/loss", 4.159, 4.159, True)]


def test_a_run_is_found_by_prefix_and_path_and_a_wrong_name_is_exit_2(commands: Any) -> None:
    commands("run", "tiny")
    assert commands("logs", "ti").returncode == 0
    assert commands("logs", str(_run_of(commands).path)).returncode == 0
    answer = commands("logs", "tinny")
    assert answer.returncode == 2
    assert "Did you mean tiny?" in answer.stderr
