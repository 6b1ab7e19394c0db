"""Footplate in a contest: `python -m tests.benchmarks.footplate_entrant PLAN DTYPE eager|compiled ADAPTER`.

Exactly what the worker of an `sft` run does, with a real session in a run directory and a row logged every step. Only
the rows are watched: the first of each step waits for the referee.
"""

from __future__ import annotations

import contextlib
import json
import sys
from typing import Any

from tests.benchmarks.gate import Ended, Gate
from tests.benchmarks.workload import Plan, preset


class GatedRows:
    """Rows that wait at the first sequence of each step."""

    def __init__(self, rows: Any, gate: Gate, *, a_step: int) -> None:
        self._rows = rows
        self._gate = gate
        self._a_step = a_step
        self._taken = 0

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        if self._taken % self._a_step == 0:
            self._gate.wait()
        self._taken += 1
        return self._rows[index]


def main() -> None:
    """Train until the referee has seen enough."""
    gate = Gate()
    from core.config.presets import dump_config, read_yaml, resolve
    from core.data.tokens.shards import TokenShards
    from core.run.directory import Home
    from core.run.launch import create_run
    from core.run.metrics import MetricsReader
    from core.run.session import Session
    from core.training.batches import InstructionRows
    from core.training.next_token import Material, train
    from core.training.setup import prepared_tokens

    plan, dtype, mode, adapter = Plan.loaded(sys.argv[1]), *sys.argv[2:5]
    values = preset(plan, dtype=dtype, adapter=adapter, compiled=mode == "compiled")  # type: ignore[arg-type]
    config: Any = resolve(read_yaml(json.dumps(values), "benchmark.yaml"))
    run = create_run(Home(plan.home), None, "benchmark", dump_config(config))
    with Session.open(run, config, 1) as session:
        tokens = prepared_tokens(config, session, kind="instructions", model=None)
        rows = InstructionRows(TokenShards(tokens.folder, "train"), length=plan.shape.length, pack=config.data.pack)
        none = InstructionRows(TokenShards(tokens.folder, "held_out"), length=plan.shape.length, pack=config.data.pack)
        gated = GatedRows(rows, gate, a_step=plan.shape.sequences)
        material = Material(tokens, gated, none, template="alpaca", model_folder=plan.model)
        with contextlib.suppress(Ended):
            train(config, session, material, allow_inexact=False)
    reader = MetricsReader(run)
    reader.refresh()
    gate.report(losses=reader.columns("train/loss")[1].tolist(), run=str(run.path))


if __name__ == "__main__":
    main()
