"""Footplate in an alignment race: `python -m tests.benchmarks.footplate_alignment PLAN DTYPE METHOD`.

Exactly what the worker of such a run does, with a real session in a run directory and a row logged every step. Only
the dealing out of rows is watched: the first of each step, or rollout, waits for the referee.
"""

from __future__ import annotations

import contextlib
import json
import time
from typing import Any
from unittest.mock import patch

from tests.benchmarks.alignment_workload import Method, entered, preset
from tests.benchmarks.gate import Ended, Gate


def main() -> None:
    """Train until the referee has seen enough."""
    gate = Gate()
    from core.config.presets import dump_config, read_yaml, resolve
    from core.phases import dpo, grpo, ppo, reward
    from core.run.directory import Home
    from core.run.launch import create_run
    from core.run.metrics import MetricsReader
    from core.run.session import Session
    from core.training.batches import Batches

    plan, dtype, method = entered()
    config: Any = resolve(read_yaml(json.dumps(preset(plan, method, dtype=dtype)), "benchmark.yaml"))
    run = create_run(Home(plan.base.home), None, "benchmark", dump_config(config))
    dealt = Batches.next_step

    def gated(batches: Any) -> Any:
        gate.wait()
        return dealt(batches)

    facts: dict[str, Any] = {}
    computed = dpo.reference_log_probs

    def timed(asked: Any, rows: Any, session: Any) -> Any:
        begin = time.perf_counter()
        found = computed(asked, rows, session)
        facts["reference_seconds_a_pair"] = (time.perf_counter() - begin) / sum(map(len, rows.values()))
        return found

    phases: dict[Method, Any] = {"reward": reward, "dpo": dpo, "grpo": grpo, "ppo": ppo}
    watched = patch.object(Batches, "next_step", gated), patch.object(dpo, "reference_log_probs", timed)
    with watched[0], watched[1], Session.open(run, config, 1) as session, contextlib.suppress(Ended):
        phases[method].run(config, session, allow_inexact=False)
    reader = MetricsReader(run)
    reader.refresh()
    for name in ("train/response_length", "train/generation_tokens_per_second", "train/training_tokens_per_second"):
        if len(column := reader.columns(name)[1]):
            facts[name.removeprefix("train/")] = column.tolist()
    gate.report(losses=reader.columns("train/loss")[1].tolist(), run=str(run.path), **facts)


if __name__ == "__main__":
    main()
