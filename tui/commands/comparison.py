"""What a run has changed: a table, or objects, of first and last held-out values, by stage where it has stages."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Iterator

from core.run.before_after import BeforeAfter, before_after
from core.run.directory import RunDirectory
from core.run.stages import read_stages
from tui.commands.context import Context
from tui.commands.display import write
from tui.commands.output import cells, fitted, table
from tui.services.words import value_text

_HEAD = ("stage", "run", "measured", "at step", "before", "at step", "after", "")
_RIGHT = frozenset({3, 4, 5, 6})
_STAGE, _RUN = 0, 1
"""Columns that say whose series these are; a run without stages has none."""


def tell_comparison(run: RunDirectory, context: Context, *, as_json: bool) -> None:
    """Print what each held-out series was first and last; nothing of a run whose only one is said in its summary.

    Raises: UsageError where the stages of a pipeline cannot be read.
    """
    stages = {name: RunDirectory(run.home.runs / stage.run) for name, stage in read_stages(run).items()}
    changes = {name: before_after(made) for name, made in (stages or {"": run}).items()}
    if not stages and (not changes[""] or any(change.series.name == "eval/loss" for change in changes[""])):
        return
    if as_json:
        objects = [_object(name, stages.get(name, run), change) for name, of in changes.items() for change in of]
        write(context, "".join(f"{json.dumps(value)}\n" for value in objects))
        return
    rows = [row for name, of in changes.items() for row in _rows(name, stages.get(name, run), of)]
    shown = _table(rows, set() if stages else {_STAGE, _RUN})
    columns = shutil.get_terminal_size().columns
    if stages and context.draws and max(map(cells, shown)) > columns:
        # The list of runs tells which run a stage is; the table has no other column that can be done without.
        shown = fitted(_table(rows, {_RUN}), columns)
    write(context, "".join(f"{line}\n" for line in ("", *shown)))


def _table(rows: list[tuple[str, ...]], without: set[int]) -> list[str]:
    kept = [column for column in range(len(_HEAD)) if column not in without]
    right = frozenset(place for place, column in enumerate(kept) if column in _RIGHT)
    return table([_HEAD[column] for column in kept], [[row[column] for column in kept] for row in rows], right=right)


def _rows(stage: str, run: RunDirectory, changes: list[BeforeAfter]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each series, and one for a stage that evaluates nothing."""
    if not changes:
        yield stage, run.name, "", "", "", "", "", ""
    for number, change in enumerate(changes):
        names = ("", "") if number else (stage, run.name)
        unit = f" ({change.series.unit})" if change.series.unit else ""
        first = ("", "") if change.first_step == change.last_step else _at(change.first_step, change.before)
        word = {True: "better", False: "worse", None: ""}[change.is_better]
        yield *names, f"{change.series.title}{unit}", *first, *_at(change.last_step, change.after), word


def _at(step: int, value: float) -> tuple[str, str]:
    return f"{step:,}", value_text(value)


def _object(stage: str, run: RunDirectory, change: BeforeAfter) -> dict[str, str | int | float | bool | None]:
    of_stage = {"stage": stage} if stage else {}
    return {
        "type": "before_after",
        **of_stage,
        "run": run.name,
        "series": change.series.name,
        "title": change.series.title,
        "unit": change.series.unit,
        "first_step": change.first_step,
        "before": _finite(change.before),
        "last_step": change.last_step,
        "after": _finite(change.after),
        "better": change.is_better,
    }


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
