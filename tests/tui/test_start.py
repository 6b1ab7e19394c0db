"""How fast the console opens, and what it does not load."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from core.run.directory import Home
from tests.tui.pty_console import ROOT, open_console
from tests.tui.runs_made_by_code import DENSE, RunMade, finished_run
from tui.services.curves import CurveRequest, CurveSource

HEAVY = ("torch", "transformers", "accelerate", "datasets", "pyarrow", "tokenizers", "peft")
AFTER_THE_FIRST_PAINT = ("numpy", "plotext", "psutil", "pynvml")


def loaded(module: str) -> set[str]:
    code = f"import sys, {module}; print(' '.join(sys.modules))"
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return {name.split(".")[0] for name in answer.stdout.split()}


def test_the_console_never_loads_what_is_heavy() -> None:
    names = sorted(
        path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
        for path in (ROOT / "tui").rglob("*.py")
        if path.name not in ("__init__.py", "__main__.py") and "commands" not in path.parts
    )
    assert not loaded(", ".join(names)) & set(HEAVY)


def test_the_first_screen_loads_neither_numpy_nor_plotext() -> None:
    assert not loaded("tui.console") & {*HEAVY, *AFTER_THE_FIRST_PAINT}


def test_the_first_paint_takes_less_than_half_a_second_of_work(home: Home) -> None:
    """Time of the processor, which a busy machine lengthens less; on a quiet one that is the time."""
    finished_run(home)
    ticks = [1 << 30]
    tries = 6  # the first may have to compile, and another process may take half of a core's units
    while min(ticks) / os.sysconf("SC_CLK_TCK") >= 0.5 and len(ticks) <= tries:
        one = open_console(home)
        one.read_until(b"FOOTPLATE")
        fields = Path(f"/proc/{one.pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks.append(int(fields[11]) + int(fields[12]))
        one.end()
    assert min(ticks) / os.sysconf("SC_CLK_TCK") < 0.5


def test_a_million_steps_open_within_a_second(home: Home) -> None:
    steps = 1_000_000
    made = RunMade(home, "long", steps=steps).started()
    step = np.arange(1, steps + 1, dtype="<f8")
    loss = 2 + 3 * np.exp(-step / 1e5)
    loss[123_456] = 50.0
    columns = [step, step, 1.7e9 + 0.3 * step, 2048 * step, loss, loss, loss, loss]
    table = np.stack(columns, axis=1).astype("<f8")
    table.tofile(made.attempt.metrics)
    whole = table[: steps // 64 * 64].reshape(-1, 64, len(columns))
    np.concatenate([whole.min(1), whole.max(1), whole[:, -1]], axis=1).tofile(made.attempt.metrics_levels)
    request = CurveRequest(panels=tuple((name, (name,), 110) for name in DENSE), planned=steps)
    started = time.process_time()
    source = CurveSource(made.run)
    source.refresh()
    frame = source.build(request)
    assert time.process_time() - started < 1.0
    assert frame.step == steps
    raw = frame.panels["train/loss"][0].raw
    assert raw is not None
    assert raw[1].max() == 50.0  # one spike among a million
    started = time.process_time()
    source.refresh()
    source.build(request)
    assert time.process_time() - started < 0.1
