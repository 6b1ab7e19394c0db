"""Which run does the work of which stage of a pipeline: `stages.json` in the pipeline's run directory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from core.errors import FootplateError, UsageError
from core.run.directory import RunDirectory, check_run_name
from core.run.private import read_file, write_atomic

_MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class StageRun:
    """The run of a stage, and how many of the pipeline's overrides files it has been given."""

    run: str
    overrides: int = 0


def read_stages(pipeline: RunDirectory) -> dict[str, StageRun]:
    """Return the runs of a pipeline's stages by the stages' names, in order; {} for a run that is no pipeline.

    Raises: UsageError where the file is not what a pipeline wrote.
    """
    try:
        text = read_file(pipeline.stages, limit_bytes=_MAX_BYTES, root=pipeline.path)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    try:
        return {
            str(name): StageRun(check_run_name(value["run"]), int(value["overrides"]))
            for name, value in json.loads(text).items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise UsageError(
            f"{pipeline.stages} does not say which runs are the stages of {pipeline.name}",
            hint="Remove it: the stages are made anew then.",
        ) from error


def write_stages(pipeline: RunDirectory, stages: Mapping[str, StageRun]) -> None:
    """Write which runs do the work of a pipeline's stages; only its worker does. Raises: StorageError."""
    values = {name: asdict(stage) for name, stage in stages.items()}
    write_atomic(pipeline.stages, f"{json.dumps(values, indent=2)}\n".encode(), root=pipeline.path)


@dataclass(frozen=True)
class Branch:
    """A run among others: on its own, or as the stage of a pipeline."""

    run: RunDirectory
    pipeline: str = ""
    stage: str = ""


def as_tree(runs: Sequence[RunDirectory]) -> list[Branch]:
    """Return runs in their order, but those of stages right below their pipeline, in the order of the stages."""
    by_name = {run.name: run for run in runs}
    stages = {run.name: _known(run) for run in runs}
    below = {one.run for of_one in stages.values() for one in of_one.values() if one.run in by_name}
    branches: list[Branch] = []
    for run in runs:
        if run.name in below:
            continue
        branches.append(Branch(run))
        branches += [
            Branch(by_name[one.run], run.name, name) for name, one in stages[run.name].items() if one.run in by_name
        ]
    return branches


def _known(run: RunDirectory) -> dict[str, StageRun]:
    try:
        return read_stages(run)
    except (FootplateError, OSError):
        return {}
