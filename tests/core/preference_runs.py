"""Presets of seconds that train on preferences, for tests of the phases reward and dpo."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from core.run.directory import Home, RunDirectory
from tests.training_runs import WORDS, events, new_run, pretrain_preset, work, write_texts


def write_pairs(path: Path, *, rows: int = 40, judged: bool = False, seed: int = 6) -> Path:
    """Write prompts whose better answer ends with a full stop and whose worse one stammers."""
    generator = np.random.default_rng(seed)
    lines = []
    for number in range(rows):
        words = [str(word) for word in generator.choice(WORDS, size=12)]
        prompt = f"Say {' '.join(words[:4])} {number}"
        better, worse = " ".join(words[4 : 6 + number % 4]) + ".", " ".join(words[6 : 8 + number % 3]) + " loss loss"
        if judged:
            lines.append({"prompt": prompt, "completion": (better, worse)[number % 2], "label": number % 2 == 0})
        else:
            lines.append({"prompt": prompt, "chosen": better, "rejected": worse})
    path.write_text("\n".join(map(json.dumps, lines)) + "\n", encoding="utf-8")
    return path


def home_with_base(folder: Path) -> Home:
    """Return a home with a finished run named base, beside pairs.jsonl and judged.jsonl."""
    folder.mkdir(mode=0o700)
    write_texts(folder.parent / "texts")
    write_pairs(folder.parent / "pairs.jsonl")
    write_pairs(folder.parent / "judged.jsonl", judged=True)
    home = Home(folder)
    preset = pretrain_preset(folder.parent / "texts", schedule={"steps": 6}, cadence={"checkpoint_steps": 0})
    assert work(new_run(home, preset, "base"), 1) == 0
    return home


def preference_preset(home: Home, phase: str, kind: str = "full", *, rows: str = "pairs", **changes: Any) -> Any:
    """Return a preset of `phase` on the run named base; `changes` are merged into its sections."""
    preset: dict[str, Any] = {
        "phase": phase,
        "about": {"title": "tiny"},
        "model": {"kind": "run", "run": "base"},
        "adapter": {"kind": kind} | ({} if kind == "full" else {"rank": 4}),
        "data": {
            "kind": "preferences",
            "sources": [{"kind": "json", "path": str(home.path.parent / f"{rows}.jsonl")}],
            "template": "alpaca", "max_tokens": 64, "held_out_fraction": 0.2,
        },
        "schedule": {"kind": "constant", "peak_learning_rate": 3e-3, "warmup_steps": 1, "steps": 4},
        "batch": {"size": 6, "micro_size": 2, "sequence_length": 64},
        "precision": {"dtype": "fp32"},
        "cadence": {"evaluate_first": True, "checkpoint_steps": 2},
    }  # fmt: skip
    if phase == "dpo":
        preset["sampling"] = {"prompts": ["Say the"], "max_new_tokens": 4}
    for name, change in changes.items():
        preset[name] = {**preset.get(name, {}), **change} if isinstance(change, dict) else change
    return preset


def of(run: RunDirectory, kind: type) -> list[Any]:
    """Return the events of a kind."""
    return [event for event in events(run) if isinstance(event, kind)]
