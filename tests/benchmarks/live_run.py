"""A run for the console to watch: `python -m tests.benchmarks.live_run HOME NAME ROWS`.

It has so many rows behind it, and goes on with a few a second until its standard input closes. All is written by the
parts of Footplate that write a real run; only the training is made up.
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
from pathlib import Path
from typing import Any

ROWS_PER_SECOND = 5


def main() -> None:
    """Write the run, say that it is there, and go on."""
    from core.config.presets import dump_config, read_yaml, resolve
    from core.run.directory import Home
    from core.run.events import Evaluated, Finished, Sampled, Started
    from core.run.launch import create_run
    from core.run.lock import RunLock
    from core.run.processes import identity_of
    from core.run.records import ExitRecord, ProcessRecord, write_exit, write_process
    from core.run.session import Session

    home, name, rows = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    config: Any = resolve(read_yaml(json.dumps(_preset(2 * rows)), "benchmark.yaml"))
    run = create_run(Home(home), name, "benchmark", dump_config(config))
    lock = RunLock.acquire(run)
    with Session.open(run, config, 1) as session:
        record = ProcessRecord(identity_of(os.getpid()), tuple(sys.argv), "", "benchmark")
        write_process(run.attempt(1), record)
        session.start(Started(phase="pretrain", steps=2 * rows, series=_series(), facts={"device": "none"}))
        with session.section("training"):
            step = 0
            while step < rows or not select.select([sys.stdin], [], [], 1 / ROWS_PER_SECOND)[0]:
                step += 1
                session.step = step
                session.metrics(step=step, tokens=512.0 * step, values=_values(step))
                if step % max(1, rows // 20) == 0:
                    session.emit(Evaluated(step=step, values={"eval/loss": _loss(step)}, tokens=512, seconds=1.0))
                    session.emit(Sampled(step=step, prompt="def ", text="f(x):\n    return x"))
                if step == rows:
                    print(json.dumps({"ready": True}), flush=True)
        session.emit(Finished(step=step))
    write_exit(run.attempt(1), ExitRecord(0, "", "", 1.0, "supervisor"))
    lock.release()


def _series() -> tuple[Any, ...]:
    from core.run.events import Series

    names = ("loss", "learning_rate", "grad_norm", "tokens_per_second")
    dense = [Series(name=f"train/{name}", title=name.replace("_", " "), panel=name) for name in names]
    return (*dense, Series(name="eval/loss", title="held-out loss", panel="loss"))


def _loss(step: int) -> float:
    return 2 + 8 / math.sqrt(step) + 0.1 * math.sin(step)


def _values(step: int) -> dict[str, float]:
    names = ("train/loss", "train/learning_rate", "train/grad_norm", "train/tokens_per_second")
    return dict(zip(names, (_loss(step), 1e-4, 1 + _loss(step), 1000 + 50 * math.cos(step)), strict=True))


def _preset(steps: int) -> dict[str, Any]:
    return {
        "phase": "pretrain",
        "about": {"title": "benchmark"},
        "model": {"kind": "scratch", "layers": 2, "hidden_size": 64, "heads": 2},
        "data": {
            "kind": "text",
            "sources": [{"kind": "standard_library"}],
            "tokenizer": {"kind": "train", "vocabulary_size": 4096},
        },
        "schedule": {"kind": "constant", "peak_learning_rate": 1e-4, "steps": steps},
        "batch": {"size": 4, "micro_size": 4, "sequence_length": 128},
    }


if __name__ == "__main__":
    main()
