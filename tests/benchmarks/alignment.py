"""Alignment: reward models, DPO and GRPO beside TRL, and PPO beside the textbook's own step."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from core.run.directory import Home
from core.run.launch import child_environment
from tests.benchmarks.alignment_workload import (
    METHODS,
    AlignmentPlan,
    Method,
    write_made_pairs,
    write_made_prompts,
)
from tests.benchmarks.options import Options
from tests.benchmarks.referee import Course, Entrant, alone, contest, environment
from tests.benchmarks.report import table
from tests.benchmarks.rows import write_rows
from tests.benchmarks.timing import paired, quartiles
from tests.benchmarks.workload import SMOLLM2, TINY, Dtype, Plan

FOOTPLATE = "footplate"
_RIVALS: dict[Method, tuple[str, str]] = {
    "reward": ("trl", "tests.benchmarks.trl_alignment"),
    "dpo": ("trl", "tests.benchmarks.trl_alignment"),
    "grpo": ("trl", "tests.benchmarks.trl_alignment"),
    "ppo": ("plain loop", "tests.benchmarks.plain_ppo"),
}
_WARM_UP = 1
_STEPS = 6


def measure(names: Sequence[str], options: Options) -> Iterator[dict[str, Any]]:
    """Yield one result a method and number type, as soon as it is there."""
    wanted = [method for method in METHODS if method in names]
    is_asked = not options.models or SMOLLM2.name in options.models
    is_there = options.quick or (options.smollm2 is not None and is_asked)
    if not wanted or not is_there:
        return
    steps = options.steps or (2 if options.quick else _STEPS)
    plan = _plan(options, steps=_WARM_UP + steps)
    env = environment(options.threads)
    if plan.base.shape.layers and not plan.base.model.exists():  # a contest of phase sft makes the same one
        log = options.folder / "alignment-model.log"
        alone("tests.benchmarks.workload", [plan.base.dumped()], env=env, log=log)
    alone("tests.benchmarks.alignment_workload", [plan.dumped()], env=env, log=options.folder / "alignment.log")
    dtypes: tuple[Dtype, ...] = ("fp32",) if options.quick else ("fp32", "bf16")
    for method in wanted:
        for dtype in dtypes:
            if not options.dtypes or dtype in options.dtypes:
                yield _run(plan, method, dtype, steps, options)


def _plan(options: Options, *, steps: int) -> AlignmentPlan:
    shape = TINY if options.quick else SMOLLM2
    pairs, prompts, rows = (options.folder / f"{name}.jsonl" for name in ("pairs", "prompts", "alignment-rows"))
    write_rows(None, rows)
    if options.pairs is None:
        write_made_pairs(pairs)
    if options.prompts is None:
        write_made_prompts(prompts)
    return AlignmentPlan(
        base=Plan(shape, str(options.folder), str(rows), 1, str(options.smollm2 or "")),
        pairs=str((options.pairs or pairs).absolute()),
        prompts=str((options.prompts or prompts).absolute()),
        steps=steps,
        pairs_a_step=2,
        responses=8,
        group=4,
        new_tokens=16 if options.quick else 64,
        longest=160 if options.quick else 512,
    )


def _run(plan: AlignmentPlan, method: Method, dtype: Dtype, steps: int, options: Options) -> dict[str, Any]:
    logs = options.folder / f"{method}-{dtype}"
    logs.mkdir(exist_ok=True)
    env = environment(options.threads)
    ours = {**env, **child_environment(env, Home(plan.base.home))}
    name, module = _RIVALS[method]
    entrants = [
        Entrant(FOOTPLATE, "tests.benchmarks.footplate_alignment", (plan.dumped(), dtype, method), ours),
        Entrant(name, module, (plan.dumped(), dtype, method), env),
    ]
    courses = contest(entrants, warm_up=_WARM_UP, steps=steps, logs=Path(logs))
    samples = plan.pairs_a_step if method in ("reward", "dpo") else plan.responses
    return {
        "method": method, "model": plan.base.shape.name, "dtype": dtype, "steps": steps, "samples": samples,
        "entrants": [_result(course, courses[0], samples) for course in courses],
    }  # fmt: skip


def _result(course: Course, footplate: Course, samples: int) -> dict[str, Any]:
    """Return medians over the measured steps, and ratios of pairs of steps that were made one after the other."""
    if course.failure or not course.facts or footplate.failure or not footplate.facts:
        return {"name": course.name, "failure": course.failure or footplate.failure or "it did not report"}
    ours, theirs = footplate.seconds[_WARM_UP:], course.seconds[_WARM_UP:]
    # What DPO computed once before its first step counts as if each pair were seen once.
    before = samples * footplate.facts.get("reference_seconds_a_pair", 0.0)
    whole = [seconds + before for seconds in ours]
    losses = list(zip(course.facts["losses"], footplate.facts["losses"], strict=False))
    lengths = course.facts.get("response_length", [])
    return {
        "name": course.name,
        "samples_per_second": statistics.median(samples / second for second in theirs),
        "seconds": course.seconds,
        "cpu_seconds": course.cpu_seconds,
        "footplate_speed_ratio": paired(theirs, ours),
        "footplate_speed_ratio_spread": quartiles(theirs, ours),
        "footplate_speed_ratio_with_reference": paired(theirs, whole) if course is not footplate else 1.0,
        "footplate_cpu_ratio": paired(course.cpu_seconds[_WARM_UP:], footplate.cpu_seconds[_WARM_UP:]),
        "footplate_memory_ratio": footplate.facts["peak_bytes"] / course.facts["peak_bytes"],
        "largest_loss_difference": max((abs(a - b) for a, b in losses), default=float("nan")),
        "first_loss": course.facts["losses"][0],
        "last_loss": course.facts["losses"][-1],
        "response_length": statistics.fmean(lengths) if lengths else None,
        **{key: value for key, value in course.facts.items() if "peak" in key or "tokens_per_second" in key},
        "reference_seconds_a_pair": course.facts.get("reference_seconds_a_pair"),
    }


def alignment_table(result: dict[str, Any]) -> str:
    """Return one race as a table for a person."""
    kind = "pairs" if result["method"] in ("reward", "dpo") else "responses"
    title = (
        f"{result['method']}, {result['model']}, {result['dtype']}: a step has {result['samples']} {kind}; medians of "
        f"{result['steps']} steps after {_WARM_UP}"
    )
    head = ["", f"{kind}/s", "Footplate is", "quartiles", "reference counted", "by CPU time", "peak MB",
            "Footplate has", "tokens written", "loss differs"]  # fmt: skip
    return f"{title}\n{table(head, [_row(entry, kind) for entry in result['entrants']])}"


def _row(entry: dict[str, Any], kind: str) -> list[str]:
    if "failure" in entry:
        return [entry["name"], "failed", *[""] * 7, entry["failure"][-60:]]
    low, high = entry["footplate_speed_ratio_spread"]
    length = entry["response_length"]
    return [
        entry["name"],
        f"{entry['samples_per_second']:.3f}",
        f"{entry['footplate_speed_ratio']:.2f} x",
        f"{low:.2f}-{high:.2f}",
        f"{entry['footplate_speed_ratio_with_reference']:.2f} x",
        f"{entry['footplate_cpu_ratio']:.2f} x",
        f"{entry['peak_bytes'] / 1e6:,.0f}",
        f"{entry['footplate_memory_ratio']:.2f} x",
        "" if length is None else f"{length:.1f}",
        f"{entry['largest_loss_difference']:.1e}" if kind == "pairs" else "",
    ]


def summary(results: Sequence[dict[str, Any]]) -> list[str]:
    """Return the targets in words."""
    return [
        f"{result['method']} {result['model']} {result['dtype']}: {entry['footplate_speed_ratio']:.2f} times "
        f"{entry['name']}, with {entry['footplate_memory_ratio']:.2f} of its memory"
        for result in results
        for entry in result["entrants"][1:]
        if "failure" not in entry
    ]
