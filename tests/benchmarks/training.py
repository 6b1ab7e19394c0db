"""Training: Footplate beside bare loops and beside other trainers, eager and compiled, in full and low-rank."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from core.run.directory import Home
from core.run.launch import child_environment
from tests.benchmarks import matrix
from tests.benchmarks.memory import available_bytes
from tests.benchmarks.options import Options
from tests.benchmarks.referee import Course, Entrant, alone, contest, environment
from tests.benchmarks.rows import write_rows
from tests.benchmarks.timing import paired, quartiles
from tests.benchmarks.workload import SMALL, SMALL_4096, SMOLLM2, SMOLLM2_4, TINY, Adapter, Dtype, Plan, Shape

FOOTPLATE = "footplate"
COMPILED = "footplate, compiled"
BARE = ("dense-full", "dense-supervised", "documents-supervised")
PEERS = ("trainer", "trl", "trl-checkpointing")
MODELS = tuple(shape.name for shape in (SMALL, SMOLLM2, SMALL_4096, SMOLLM2_4))
_MODULES = {
    **{f"bare {name}": ("tests.benchmarks.bare_entrant", name) for name in BARE},
    **{name: ("tests.benchmarks.peer_entrant", name) for name in PEERS},
    FOOTPLATE: ("tests.benchmarks.footplate_entrant", "eager"),
    COMPILED: ("tests.benchmarks.footplate_entrant", "compiled"),
}
_RESERVED_BYTES = 10**9
_IMPORTS_BYTES = 5 * 10**8


@dataclass(frozen=True)
class Race:
    """One model in one number type, Footplate first, and who runs beside it."""

    shape: Shape
    dtype: Dtype
    rivals: tuple[str, ...]
    warm_up: int
    steps: int
    adapter: Adapter = "full"

    @property
    def name(self) -> str:
        """The model, and what of it is trained."""
        return self.shape.name if self.adapter == "full" else f"{self.shape.name} {self.adapter}"


def races(names: Sequence[str], options: Options) -> list[Race]:
    """Return the races for the names `training`, `peers`, `adapters` and `compiled`."""
    rivals: tuple[str, ...] = ()
    if "training" in names:
        rivals += tuple(f"bare {name}" for name in BARE)
    if "peers" in names:
        rivals += PEERS[:2] if options.quick else PEERS
    found: list[Race] = []
    shapes = [(TINY, 2, 4)] if options.quick else [(SMALL, 3, 16), (SMOLLM2, 2, 8)]
    for shape, warm_up, steps in shapes if rivals else ():
        found += [Race(shape, dtype, rivals, warm_up, options.steps or steps) for dtype in _dtypes(options)]
    if "adapters" in names:
        shape, warm_up, steps = (TINY, 2, 4) if options.quick else (SMOLLM2, 2, 8)
        beside = ("bare documents-supervised", "trl")
        kinds: list[tuple[Adapter, Dtype]] = [("lora", dtype) for dtype in _dtypes(options)]
        kinds.append(("qlora", "fp32" if options.quick else "bf16"))
        found += [Race(shape, dtype, beside, warm_up, options.steps or steps, kind) for kind, dtype in kinds]
    if "compiled" in names:
        shapes = [(TINY, 2, 4)] if options.quick else [(SMALL_4096, 5, 24), (SMOLLM2_4, 4, 6)]
        beside = (COMPILED,) if options.quick else (COMPILED, "bare documents-supervised")
        found += [Race(s, "bf16", beside, warm_up, options.steps or steps) for s, warm_up, steps in shapes]
    return [
        race
        for race in found
        if (race.shape.vocabulary or options.smollm2 is not None)
        and (not options.models or race.shape.name in options.models)
        and (not options.dtypes or race.dtype in options.dtypes)
    ]


def _dtypes(options: Options) -> tuple[Dtype, ...]:
    return ("fp32",) if options.quick else ("fp32", "bf16")


def measure(names: Sequence[str], options: Options) -> Iterator[dict[str, Any]]:
    """Yield one result a race, as soon as it is there."""
    wanted = races(names, options)
    if not wanted:
        return
    rows = options.folder / "rows.jsonl"
    write_rows(options.data, rows)
    env = environment(options.threads)
    facts: dict[str, dict[str, Any]] = {}
    for race in wanted:
        most = max(other.warm_up + other.steps for other in wanted if other.shape == race.shape)
        plan = Plan(race.shape, str(options.folder), str(rows), most, str(options.smollm2 or ""))
        if race.shape.name not in facts:
            log = options.folder / f"workload-{race.shape.name}.log"
            facts[race.shape.name] = alone("tests.benchmarks.workload", [plan.dumped()], env=env, log=log)
        yield _run(race, plan, facts[race.shape.name], options)


def _run(race: Race, plan: Plan, facts: dict[str, Any], options: Options) -> dict[str, Any]:
    logs = options.folder / f"{race.name}-{race.dtype}".replace(" ", "-")
    logs.mkdir(exist_ok=True)
    env = {**environment(options.threads), "TORCHINDUCTOR_CACHE_DIR": str(logs / "inductor")}  # compiles anew
    entrants = [_entrant(name, race, plan, facts, env) for name in (FOOTPLATE, *race.rivals)]
    rates = matrix.rates(facts, race.dtype, threads=options.threads, folder=options.folder)
    results: list[dict[str, Any]] = []
    for group in _groups(entrants, available_bytes() - _RESERVED_BYTES):
        courses = contest(group, warm_up=race.warm_up, steps=race.steps, logs=logs)
        footplate = courses[0]
        # Footplate runs in every group; the table has it once, from the first.
        for course in courses[1:] if results else courses:
            results.append(_result(course, footplate, race, facts, rates["best_flops"]))
    totals = {key: statistics.mean(facts[key][race.warm_up : race.warm_up + race.steps]) for key in _A_STEP}
    return {
        "model": race.shape.name, "adapter": race.adapter, "name": race.name, "dtype": race.dtype,
        "warm_up": race.warm_up, "steps": race.steps,
        **{key: value for key, value in facts.items() if key not in _A_STEP},
        "a_step": totals, "matrix": rates, "entrants": results,
    }  # fmt: skip


_A_STEP = ("tokens", "targets", "documents", "square_lengths")


def _entrant(name: str, race: Race, plan: Plan, facts: dict[str, Any], env: dict[str, str]) -> Entrant:
    module, variant = _MODULES[name]
    if name in (FOOTPLATE, COMPILED):  # what its supervisor gives to a worker
        inductor = env["TORCHINDUCTOR_CACHE_DIR"]
        env = {**env, **child_environment(env, Home(plan.home)), "TORCHINDUCTOR_CACHE_DIR": inductor}
    # Weights (and where they are trained gradients and two moments) in float32, and up to three copies of the logits.
    need = _IMPORTS_BYTES + (16 if race.adapter == "full" else 5) * facts["parameters"]
    rows = race.shape.sequences * race.shape.length
    need += 12 * rows * facts["vocabulary"] if variant in ("dense-full", "trainer") else 4 * rows * facts["vocabulary"]
    need += 200 * rows * facts["width"] * facts["layers"]
    return Entrant(name, module, (plan.dumped(), race.dtype, variant, race.adapter), env, need)


def _groups(entrants: list[Entrant], budget: int) -> list[list[Entrant]]:
    """Return groups that fit into memory side by side; the first entrant is in each of them."""
    first, *others = entrants
    groups = [[first]]
    for entrant in others:
        if len(groups[-1]) > 1 and sum(e.bytes_needed for e in [*groups[-1], entrant]) > budget:
            groups.append([first])
        groups[-1].append(entrant)
    return groups


def _result(course: Course, footplate: Course, race: Race, facts: dict[str, Any], best_flops: float) -> dict[str, Any]:
    """Return medians over the measured steps, and ratios of pairs of steps that were made one after the other."""
    if course.failure or not course.facts:
        return {"name": course.name, "failure": course.failure or "it did not report"}
    measured = slice(race.warm_up, race.warm_up + race.steps)
    seconds, rival_seconds = footplate.seconds[measured], course.seconds[measured]
    tokens = facts["tokens"][measured]
    operations = 6 if race.adapter == "full" else 4  # frozen weights have no gradient of their own
    work = [
        matrix.step_flops(facts, step, a_weight=operations) for step in range(*measured.indices(len(facts["tokens"])))
    ]
    losses = list(zip(course.facts["losses"], footplate.facts.get("losses", []), strict=False))
    return {
        "name": course.name,
        "tokens_per_second": _median_rate(tokens, rival_seconds),
        "seconds": course.seconds,
        "cpu_seconds": course.cpu_seconds,
        "footplate_speed_ratio": paired(rival_seconds, seconds),
        "footplate_speed_ratio_spread": quartiles(rival_seconds, seconds),
        "footplate_cpu_ratio": paired(course.cpu_seconds[measured], footplate.cpu_seconds[measured]),
        "warm_up_excess_seconds": sum(course.seconds[: race.warm_up]) - race.warm_up * statistics.median(rival_seconds),
        "model_flop_utilisation": _median_rate([operations * facts["parameters"] * n for n in tokens], rival_seconds)
        / best_flops,
        "done_flop_utilisation": _median_rate(work, rival_seconds) / best_flops,
        "largest_loss_difference": max((abs(a - b) for a, b in losses), default=float("nan")),
        "first_loss": course.facts["losses"][0],
        "last_loss": course.facts["losses"][-1],
        **{key: value for key, value in course.facts.items() if "peak" in key},
        "footplate_memory_ratio": footplate.facts.get("peak_bytes", 0) / course.facts["peak_bytes"],
    }


def _median_rate(amounts: Sequence[float], seconds: Sequence[float]) -> float:
    return statistics.median(amount / second for amount, second in zip(amounts, seconds, strict=True))


def summary(results: Sequence[dict[str, Any]]) -> list[str]:
    """Return the targets in words: Footplate against the best bare loop, against TRL, and compiled against eager."""
    lines = []
    for result in results:
        by_name = {entry["name"]: entry for entry in result["entrants"] if "failure" not in entry}
        where = f"{result['name']} {result['dtype']}"
        if bare := [entry for name, entry in by_name.items() if name.startswith("bare ")]:
            best = min(bare, key=lambda entry: float(entry["footplate_speed_ratio"]))
            lines.append(f"{where}: {best['footplate_speed_ratio']:.3f} of the best bare loop ({best['name']}), with "
                         f"{best['footplate_memory_ratio']:.2f} of its memory")  # fmt: skip
        if trl := by_name.get("trl"):
            lines.append(f"{where}: {trl['footplate_speed_ratio']:.2f} times TRL's SFTTrainer, with "
                         f"{trl['footplate_memory_ratio']:.2f} of its memory")  # fmt: skip
        if compiled := by_name.get(COMPILED):
            lines.append(f"{where}: compiled {1 / compiled['footplate_speed_ratio']:.2f} times eager, after "
                         f"{compiled['warm_up_excess_seconds']:.0f} s of compiling")  # fmt: skip
    return lines
