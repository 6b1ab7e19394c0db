"""Presets of seconds that improve a policy on prompts, for tests of the phases ppo and grpo."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from core.run.directory import Home, RunDirectory
from core.run.metrics import MetricsReader
from tests.training_runs import WORDS, events, finish, new_run, pretrain_preset, trace, work, write_texts

THE = """
def the(prompts, responses, answers):
    # 1 for a text that is nothing but " the".
    return [4 * text.count(" the") / len(text) if text else 0.0 for text in responses]
"""
"""A reward with a known optimum, as a Python file."""


def home_with_base(folder: Path, rewards: str, *, dropout: float) -> Home:
    """Return a home with a finished run named base, beside prompts.jsonl and mine.py, which holds `rewards`."""
    folder.mkdir(mode=0o700)
    texts = write_texts(folder.parent / "texts")
    rows = [{"prompt": f"{WORDS[n % 15]} {WORDS[n % 7]}", "answer": str(n)} for n in range(40)]
    (folder.parent / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    (folder.parent / "mine.py").write_text(rewards, encoding="utf-8")
    home = Home(folder)
    schedule, model = {"steps": 30, "warmup_steps": 3}, {"dropout": dropout}
    assert work(new_run(home, pretrain_preset(texts, schedule=schedule, model=model), "base"), 1) == 0
    return home


def policy_preset(home: Home, phase: str, sections: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return a preset of `phase` on the run named base with these sections; `changes` are merged into all of them."""
    preset: dict[str, Any] = {
        "phase": phase,
        "about": {"title": "tiny"},
        "model": {"kind": "run", "run": "base"},
        "data": {
            "kind": "prompts", "sources": [{"kind": "json", "path": str(home.path.parent / "prompts.jsonl")}],
            "template": "alpaca", "held_out_fraction": 0.1, "max_tokens": 100,
        },
        "precision": {"dtype": "fp32"},
        **sections,
    }  # fmt: skip
    return {
        key: {**preset.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in {**preset, **changes}.items()
    }


def reward_of(home: Home, function: str) -> list[dict[str, str]]:
    """Return the section of rewards that asks a function of mine.py."""
    return [{"kind": "python", "path": str(home.path.parent / "mine.py"), "function": function}]


def column(run: RunDirectory, name: str) -> list[float]:
    """Return the numbers of a series of training."""
    reader = MetricsReader(run)
    reader.refresh()
    return [float(value) for value in reader.columns(f"train/{name}")[1]]


def of(run: RunDirectory, kind: type) -> list[Any]:
    """Return the events of a kind."""
    return [event for event in events(run) if isinstance(event, kind)]


def check_killed(home: Home, preset: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill a run ten times, in processes of its own, and compare its end with that of one that nothing disturbed."""
    whole = new_run(home, preset, f"never-killed-{name}")
    assert work(whole, 1) == 0
    run, draw = new_run(home, preset, f"killed-{name}"), random.Random(3)
    for _ in range(10):
        point = draw.choice(["rollout.written", "rollout.updated", "checkpoint.wrote_state", "checkpoint.committed"])
        monkeypatch.setenv("FOOTPLATE_FAULT", f"{point}:kill9:{draw.randint(1, 2)}")
        assert finish(run) == 128 + 9, f"{point} did not fire"
        time.sleep(0.01)
    monkeypatch.delenv("FOOTPLATE_FAULT")
    assert finish(run) == 0
    assert trace(run) == trace(whole)
