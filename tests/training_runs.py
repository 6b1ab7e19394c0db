"""Real runs of a tiny model for tests, and what two of them must have in common to be the same run."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core import worker
from core.config.presets import dump_config, read_yaml, resolve
from core.run.directory import Home, RunDirectory
from core.run.event_log import EventReader
from core.run.events import AnyEvent, Resumed
from core.run.launch import create_run, launch
from core.run.metrics import MetricsReader
from core.run.records import read_exit

WORDS = ["loss", "step", "token", "a", "the", "of", "train", "model", "row", "data", "is", "and", "to", "in", "it"]
TIMED = {"wall", "mono", "seq", "attempt", "seconds", "bytes"}


def write_texts(folder: Path, *, documents: int = 60, seed: int = 5) -> Path:
    """Write text files of unequal lengths."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for number in range(documents):
        words = generator.choice(WORDS, size=int(generator.integers(8, 90)))
        (folder / f"{number:03d}.txt").write_text(" ".join(words) + f" {number}.\n", encoding="utf-8")
    return folder


def write_instructions(path: Path, *, rows: int = 50, seed: int = 6) -> Path:
    """Write Alpaca rows, with and without input."""
    generator = np.random.default_rng(seed)
    lines = []
    for number in range(rows):
        words = [str(w) for w in generator.choice(WORDS, size=12)]
        lines.append(
            json.dumps(
                {
                    "instruction": f"Say {' '.join(words[:4])} {number}",
                    "input": " ".join(words[4:8]) if number % 3 else "",
                    "output": " ".join(words[8 : 9 + number % 4]) + ".",
                }
            )
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def pretrain_preset(texts: Path, **changes: Any) -> dict[str, Any]:
    """Return a preset of a few seconds: dropout, accumulation, checkpoints, evaluation and samples included."""
    preset: dict[str, Any] = {
        "phase": "pretrain",
        "about": {"title": "tiny"},
        "model": {
            "kind": "scratch", "layers": 2, "hidden_size": 32, "heads": 2, "key_value_heads": 1,
            "context_length": 128, "dropout": 0.1,
        },
        "data": {
            "kind": "text",
            "sources": [{"kind": "files", "path": str(texts)}],
            "tokenizer": {"kind": "train", "vocabulary_size": 300},
            "held_out_fraction": 0.1,
        },
        "schedule": {"kind": "cosine", "peak_learning_rate": 1e-2, "warmup_steps": 3, "steps": 20, "floor_ratio": 0.1},
        "batch": {"size": 6, "micro_size": 2, "sequence_length": 32},
        "precision": {"dtype": "fp32"},
        "cadence": {"evaluate_steps": 4, "sample_steps": 8, "checkpoint_steps": 4, "keep_checkpoints": 2},
        "sampling": {"prompts": ["the"], "max_new_tokens": 8},
    }  # fmt: skip
    return _merged(preset, changes)


def sft_preset(rows: Path, model: str, **changes: Any) -> dict[str, Any]:
    """Return a preset that tunes the model of the run `model` on instructions, packed."""
    preset = pretrain_preset(
        rows,
        phase="sft",
        model={"kind": "run", "run": model},
        data={"kind": "instructions", "sources": [{"kind": "json", "path": str(rows)}], "max_tokens": 64},
        batch={"size": 4, "micro_size": 2, "sequence_length": 128},
        sampling={"prompts": ["Say the loss"], "max_new_tokens": 8},
    )
    preset["model"] = {"kind": "run", "run": model}
    preset["data"] = {
        "kind": "instructions", "sources": [{"kind": "json", "path": str(rows)}], "template": "alpaca",
        "max_tokens": 64, "held_out_fraction": 0.1,
    }  # fmt: skip
    return _merged(preset, changes)


def _merged(preset: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {
        key: {**preset.get(key, {}), **changes[key]} if isinstance(changes.get(key), dict) else changes.get(key, value)
        for key, value in {**preset, **changes}.items()
    }


def new_run(home: Home, preset: dict[str, Any], name: str) -> RunDirectory:
    """Create the run of a preset."""
    config = resolve(read_yaml(json.dumps(preset), "preset.yaml"))
    return create_run(home, name, "test", dump_config(config))


def start(run: RunDirectory) -> int:
    """Start or resume a run; return the attempt's number."""
    return launch(run)


def wait(run: RunDirectory, attempt: int, *, seconds: float = 120) -> int:
    """Wait for an attempt's end and return its exit code."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        record = read_exit(run.attempt(attempt))
        if record is not None:
            return record.code
        time.sleep(0.02)
    raise AssertionError(f"{run.name} did not end in {seconds} s:\n{run.attempt(attempt).log.read_text()[-3000:]}")


def finish(run: RunDirectory, *, seconds: float = 120) -> int:
    """Start or resume a run, wait for its end and return its exit code."""
    return wait(run, start(run), seconds=seconds)


def events(run: RunDirectory) -> list[AnyEvent]:
    """Return every event on disk, superseded ones included."""
    reader, found = EventReader(run.events), []
    while batch := reader.read():
        found += batch
    assert not reader.problems, reader.problems
    return found


@dataclass(frozen=True)
class Trace:
    """What must be equal between a run that was never interrupted and one that was."""

    parameters: str
    state: str
    rows: tuple[tuple[float, ...], ...]
    happened: tuple[str, ...]


def trace(run: RunDirectory) -> Trace:
    """Return the bits of a finished run: exported parameters, last checkpoint, curves, step-bound events."""
    checkpoint = max(run.checkpoints.glob("step-????????"))
    files = ("model", "optimizer", "generators")
    state = [hashlib.sha256((checkpoint / f"{name}.safetensors").read_bytes()).hexdigest() for name in files]
    state.append((checkpoint / "state.json").read_text())
    reader = MetricsReader(run)
    reader.refresh()
    names = ["train/loss", "train/learning_rate", "train/grad_norm", "tokens"]
    columns = [reader.columns(name) for name in names]
    steps = columns[0][0]
    rows = tuple(zip(steps.tolist(), *(values.tolist() for _, values in columns), strict=True))
    (weights,) = run.model.glob("*.safetensors")  # the whole model, or the adapter
    return Trace(_digest(weights), "\n".join(state), rows, _happened(run))


def _happened(run: RunDirectory) -> tuple[str, ...]:
    """Return evaluations, samples and checkpoints as a reader sees them after resumes, without times."""
    kept: list[AnyEvent] = []
    for event in events(run):
        if isinstance(event, Resumed):
            kept = [earlier for earlier in kept if earlier.step <= event.step]  # type: ignore[union-attr]
        if event.type in {"evaluated", "sampled"}:
            kept.append(event)
    return tuple(json.dumps({k: v for k, v in e.model_dump().items() if k not in TIMED}) for e in kept)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def work(run: RunDirectory, attempt: int, *, fault: str = "") -> int:
    """Do an attempt's work in this process, without a supervisor, and return its exit code."""
    before = os.environ.get("FOOTPLATE_FAULT")
    os.environ["FOOTPLATE_FAULT"] = fault
    try:
        return worker.main([str(run.path), "--attempt", str(attempt)])
    finally:
        if before is None:
            del os.environ["FOOTPLATE_FAULT"]
        else:
            os.environ["FOOTPLATE_FAULT"] = before


def broken_off(run: RunDirectory, *, saves: int) -> None:
    """Do a run's first attempt up to its `saves`th checkpoint, where it fails."""
    code = work(run, 1, fault=f"checkpoint.committed:enospc:{saves}")
    assert code == 8, f"the fault did not fire: {code}"
