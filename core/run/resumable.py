"""Whether there is anything to do for a run that is to be started again. Cheap: small records and the log's end."""

from __future__ import annotations

import os
import re

from pydantic import ValidationError

from core.config.phases import TRAINING, Config, PipelineConfig, PrepareConfig, TrainingConfig
from core.errors import UsageError
from core.run.directory import RunDirectory
from core.run.event_lines import whole_records
from core.run.events import Finished, event_adapter
from core.run.private import open_file
from core.run.stages import read_stages
from core.run.status import read_status

_CHECKPOINT = re.compile(r"step-(\d{8,})")
_TAIL_BYTES = 64 * 1024


def check_resumable(run: RunDirectory, before: Config, now: Config, *, stage: str = "") -> None:
    """Refuse to start a run that has nothing to do; `before` is its configuration so far, `now` the one to start with.

    `stage` is its name where a pipeline is to be started, through which it is changed.

    A finished run whose result was removed may be started: it makes it again. A stage of a pipeline may be changed
    until a later one has begun with what it made.
    Raises: UsageError where the run is finished and is not to go on, or is to end before its newest checkpoint.
    """
    finished = finished_event(run)
    match now:
        case PipelineConfig():
            _check_stages(run, before, now)
        case PrepareConfig():
            if finished is not None:
                raise UsageError(f"{run.name} is finished; there is nothing to do", hint=f"Its data: {run.data}.")
        case _:  # TrainingConfig, as the type checker knows
            _check_length(run, before, now, finished, f"{stage}." if stage else "")


def _check_stages(run: RunDirectory, before: Config, now: PipelineConfig) -> None:
    assert isinstance(before, PipelineConfig), "a resume does not change the phase of a run with stages"
    shapes = [[(stage.name, stage.phase) for stage in config.pipeline] for config in (before, now)]
    if shapes[0] != shapes[1]:
        message = "the stages of a pipeline that has begun keep their number, their names and their phases"
        raise UsageError(message, hint="Start another run of the changed preset.")
    known = read_stages(run)
    is_left = len(known) < len(now.pipeline)
    for number, (old, new) in enumerate(zip(before.pipeline, now.pipeline, strict=True)):
        if new.name not in known:
            continue
        made = RunDirectory(run.home.runs / known[new.name].run)
        is_finished = finished_event(made) is not None
        is_left = is_left or old != new or not is_finished
        if old == new or not made.config.exists():
            continue
        later = next((stage.name for stage in now.pipeline[number + 1 :] if stage.name in known), None)
        if is_finished and later is not None:
            raise UsageError(
                f"stage {new.name} is finished ({made.name}), and stage {later} has begun with what it made",
                hint=f"Start another run of the pipeline; or remove {made.path} and the runs of the stages after it, "
                "which are made anew then.",
            )
        check_resumable(made, old, new, stage=new.name)
    if not is_left:
        runs = ", ".join(f"{name} ({stage.run})" for name, stage in known.items())
        raise UsageError(f"{run.name} is finished; there is nothing to do", hint=f"Its stages: {runs}.")


def _check_length(
    run: RunDirectory, before: Config, now: TrainingConfig, finished: Finished | None, within: str
) -> None:
    steps, newest = now.schedule.steps, _newest_checkpoint(run)
    done = finished.step if finished is not None and finished.step is not None else newest
    if finished is not None and not _is_longer(before, now, done):
        field = "schedule.steps" if now.schedule.epochs is None else "schedule.epochs"
        hint = f"To train on: --set {within}{field}=M, larger than before."
        raise UsageError(f"{run.name} is finished at step {done}", hint=hint)
    if steps is not None and steps < newest:
        raise UsageError(
            f"schedule.steps is {steps}, but {run.name} has a checkpoint of step {newest}",
            hint=f"To train on: --set {within}schedule.steps=M with M above {newest}.",
        )


def _is_longer(before: Config, now: TrainingConfig, done: int) -> bool:
    if now.schedule.steps is not None:
        return now.schedule.steps > done
    # How many steps epochs are is known only with the data, so they are compared with what the run had.
    had = before.schedule.epochs if isinstance(before, TRAINING) else None
    return had is None or (now.schedule.epochs or 0) > had


def _newest_checkpoint(run: RunDirectory) -> int:
    """Return the step of the newest checkpoint by its name, 0 without one."""
    try:
        matches = [_CHECKPOINT.fullmatch(name) for name in os.listdir(run.checkpoints)]
    except (FileNotFoundError, NotADirectoryError):
        return 0
    return max((int(match[1]) for match in matches if match), default=0)


def finished_event(run: RunDirectory) -> Finished | None:
    """Return the event that ended a run whose result is still there; None for one that has something to do."""
    if read_status(run).word != "finished":
        return None
    event = _last_finished(run)
    # A training run also says which data it was trained on, which may be another run's.
    result = run.model if "model" in event.facts else run.data if "data" in event.facts else None
    return event if result is None or result.exists() else None


def _last_finished(run: RunDirectory) -> Finished:
    """Return the last Finished at the end of the log, one that knows nothing where it is missing."""
    try:
        with os.fdopen(open_file(run.events, os.O_RDONLY, root=run.path), "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            lines = file.read().splitlines()
    except (OSError, UsageError):
        return Finished()
    for line in reversed(lines):
        if b'"finished"' not in line:
            continue
        for record in whole_records(line)[0]:
            try:
                event = event_adapter.validate_python(record)
            except ValidationError:
                continue
            if isinstance(event, Finished):
                return event
    return Finished()
