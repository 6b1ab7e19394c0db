"""A prepare run that is killed at random moments and resumed ends with the same files. Real supervised processes."""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.run.directory import Home, RunDirectory
from core.run.records import read_exit
from tests.training_runs import WORDS, events, finish, new_run, start, wait, work


def write_corpus(path: Path, *, size: int, seed: int = 3) -> Path:
    """Write documents of random words, some of them short, repeated or broken."""
    generator = np.random.default_rng(seed)
    lines: list[str] = []
    total = 0
    while total < size:
        words = generator.choice(WORDS, size=int(generator.integers(5, 600)))
        line = json.dumps({"text": " ".join(words)})
        lines += [line, *([line] if len(lines) % 20 == 0 else []), *(["{broken"] if len(lines) % 900 == 0 else [])]
        total += len(line)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def preset(corpus: Path) -> dict[str, Any]:
    return {
        "phase": "prepare",
        "about": {"title": "kills"},
        "data": {
            "kind": "text",
            "sources": [
                {"kind": "path", "path": str(corpus), "share": 0.5},
                {"kind": "path", "path": str(corpus.with_name("more.jsonl"))},
            ],
            "filters": [{"kind": "length"}, {"kind": "exact_duplicates"}, {"kind": "near_duplicates"}],
            "mix": {"by": "epochs"},
            "tokenizer": {"kind": "train", "vocabulary_size": 300, "max_bytes": 200_000},
        },
    }


def test_an_error_that_does_not_fit_the_log_keeps_its_exit_code(home: Home, tmp_path: Path) -> None:
    """The log lies on the disk that is full."""
    (tmp_path / "corpus.jsonl").write_text("")
    run = new_run(home, preset(tmp_path / "corpus.jsonl"), "full-log")
    (tmp_path / "corpus.jsonl").unlink()
    with Path("/dev/full").open("w") as full:
        worker = subprocess.run(
            [sys.executable, "-m", "core.worker", str(run.path), "--attempt", "1"], stdout=full, stderr=full
        )
    assert worker.returncode == 2
    assert events(run)[-1].type == "failed"


def test_a_model_that_is_not_there_is_told_before_anything_is_read(home: Home, tmp_path: Path) -> None:
    values = preset(write_corpus(tmp_path / "corpus.jsonl", size=1000))
    values["data"]["filters"] = [{"kind": "perplexity", "model": "nobody", "percentile": 50}]
    values["data"]["sources"] = values["data"]["sources"][:1]
    run = new_run(home, values, "no-model")
    assert work(run, 1) == 2
    assert [event.type for event in events(run)] == ["started", "failed"]


def digests(run: RunDirectory) -> dict[str, str]:
    return {
        path.relative_to(run.data).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run.data.rglob("*"))
        if path.is_file()
    }


def kill_after(run: RunDirectory, attempt: int, seconds: float) -> bool:
    """Kill the worker of an attempt after a while of its life; False where it had ended by then."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not _workers(run):
        if read_exit(run.attempt(attempt)) is not None:
            return False
        time.sleep(0.01)
    time.sleep(seconds)
    workers = _workers(run)
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    return bool(workers)


def _workers(run: RunDirectory) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if b"core.worker" in command and str(run.path).encode() in command:
            found.append(int(entry.name))
    return found


def killed_again_and_again(home: Home, corpus: Path, *, kills: int, longest: float) -> tuple[int, list[RunDirectory]]:
    """Kill at random moments, resume, and begin another run where one came to its end; return how many kills met."""
    draw = random.Random(kills)
    met, runs = 0, []
    while met < kills:
        run = new_run(home, preset(corpus), f"killed-{len(runs)}")
        runs.append(run)
        code = -1
        while code != 0:
            attempt = start(run)
            if met < kills:
                kill_after(run, attempt, draw.uniform(0, longest))
            code = wait(run, attempt, seconds=300)
            assert code in (0, 128 + signal.SIGKILL)
            met += code == 128 + signal.SIGKILL
    return met, runs


@pytest.mark.parametrize(
    ("size", "kills", "longest"),
    [
        (1_000_000, 2, 1.5),
        pytest.param(24_000_000, 20, 8.0, marks=pytest.mark.slow(reason="twenty kills of several processes: minutes")),
    ],
)
def test_kills_at_random_moments_leave_the_result_as_it_is(
    tmp_path: Path, size: int, kills: int, longest: float
) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    home = Home(tmp_path / "home")
    corpus = write_corpus(tmp_path / "rows.jsonl", size=size)
    write_corpus(tmp_path / "more.jsonl", size=size // 4, seed=4)
    whole = new_run(home, preset(corpus), "whole")
    assert finish(whole, seconds=300) == 0
    met, runs = killed_again_and_again(home, corpus, kills=kills, longest=longest)
    assert met == kills
    expected = digests(whole)
    assert {"report.json", "dropped.jsonl", "manifest.json", "train-00000.tokens"} <= expected.keys()
    for run in runs:
        assert digests(run) == expected
        assert not list(run.data.parent.glob(".data*"))
    resumed = [event for run in runs for event in events(run) if event.type == "resumed"]
    assert 0 < len(resumed) <= kills  # one that was killed in its first moments said nothing


def test_a_run_whose_data_changed_since_it_was_killed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o700)
    home = Home(tmp_path / "home")
    corpus = write_corpus(tmp_path / "rows.jsonl", size=2_000_000)
    write_corpus(tmp_path / "more.jsonl", size=200_000, seed=4)
    run = new_run(home, preset(corpus), "changed")
    attempt = start(run)
    partial = run.data.parent / ".data.partial"
    while not (partial / "work" / "plan.json").is_file():
        time.sleep(0.01)
    for pid in _workers(run):
        os.kill(pid, signal.SIGKILL)
    assert wait(run, attempt) == 128 + signal.SIGKILL
    text = corpus.read_text()
    corpus.write_text(text + json.dumps({"text": "one more"}) + "\n")
    assert finish(run) == 5
    failed = [event for event in events(run) if event.type == "failed"][-1]
    assert "the file rows.jsonl changed since this preparation was begun" in failed.message
    assert partial.is_dir(), "what was done is kept"
    corpus.write_text(text)
    assert finish(run) == 0
