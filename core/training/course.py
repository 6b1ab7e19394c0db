"""How a training run goes on between two steps: what is due, what is asked, saving, refusals, leaving."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from core.config.phases import TrainingConfig
from core.errors import NumericError, StorageError
from core.run.events import CheckpointSaved, Evaluated, Notice, Paused, Sampled, Stopped
from core.run.session import Outcome, Session
from core.training.checkpoint import Saved, Snapshot, prune, save
from core.training.engine import Engine, StepResult
from core.training.resume import HasCursor, Position, capture, generators_kept

DISK_POLL_SECONDS = 5.0
SMALLEST_SCALE = 1.0
VERBS = {"checkpoint": "save", "evaluate": "evaluate", "sample": "sample"}


class Clock:
    """Tokens a second of training, without the time that saving and evaluating take."""

    def __init__(self) -> None:
        self.tokens = 0
        self._since = time.monotonic()
        self._apart = 0.0

    def rate(self) -> float:
        """Return tokens a second since the last call, and begin anew."""
        elapsed = time.monotonic() - self._since - self._apart
        rate = self.tokens / elapsed if elapsed > 0 else math.nan
        self.tokens, self._since, self._apart = 0, time.monotonic(), 0.0
        return rate

    def leave_out(self, seconds: float) -> None:
        """Do not count so many seconds as training."""
        self._apart += seconds


@dataclass
class Course:
    """What every loop works with: the run's session and configuration, its engine, and how far it has come.

    batches is where the data stands. evaluate is None without a held-out split, and returns None where it was
    interrupted because the run is to leave. owed is what the step on which a run resumes still has to do.
    """

    session: Session
    config: TrainingConfig
    engine: Engine
    batches: HasCursor
    steps: int
    position: Position
    marks: Mapping[str, Any]
    evaluate: Callable[[], Evaluated | None] | None
    sample: Callable[[], Sequence[Sampled]]
    owed: frozenset[str] = frozenset()
    clock: Clock = field(default_factory=Clock)


def due_at(step: int, steps: int, *, config: TrainingConfig, since: int | None = None) -> set[str]:
    """Return what the cadence asks for after `step` updates: save, evaluate, sample. The end always asks for all.

    `since` is after how many updates it was asked last, where that was not one update ago.
    """
    cadence = config.cadence
    if step >= steps:
        return {"save", "evaluate", "sample"}
    before = step - 1 if since is None else since
    every = {"save": cadence.checkpoint_steps, "evaluate": cadence.evaluate_steps, "sample": cadence.sample_steps}
    return {name for name, interval in every.items() if interval and step // interval > before // interval}


def count_step(course: Course, result: StepResult) -> None:
    """Move the position behind an applied step."""
    position = course.position
    position.step += 1
    position.tokens += result.tokens
    position.refused_in_a_row = 0
    course.session.step = position.step
    course.clock.tokens += result.tokens


def attend(course: Course, due: set[str]) -> None:
    """Do what is due and what consoles ask for, and answer them when it is done: save, evaluate, sample.

    Where an evaluation or a sample fails, the state is whole and is saved first.
    """
    begin = time.monotonic()
    requests = course.session.requests()
    names = due | {VERBS[request.verb] for request in requests if request.verb in VERBS}
    try:
        if "save" in names:
            checkpoint(course)
        with saving_what_is_there(course):
            _examine(course, names)
    except Exception as error:
        for request in requests:
            course.session.handled(request, False, f"failed at step {course.position.step}: {error}")
        raise
    for request in requests:
        known = request.verb in VERBS
        words = f"done at step {course.position.step}" if known else f"a training run does not know {request.verb!r}"
        course.session.handled(request, known, words)
    course.clock.leave_out(time.monotonic() - begin)


def _examine(course: Course, names: set[str]) -> None:
    """Evaluate and sample; global random generators, which a reward may use, are afterwards as before."""
    if "evaluate" in names and course.evaluate is not None:
        with course.session.section("evaluating"), generators_kept(course.engine.device):
            evaluated = course.evaluate()
        if evaluated is not None:
            course.session.emit(evaluated)
    if "sample" in names and course.session.leaving() is None:
        with course.session.section("sampling"), generators_kept(course.engine.device):
            for sampled in course.sample():
                course.session.emit(sampled)


@contextmanager
def saving_what_is_there(course: Course) -> Iterator[None]:
    """Save before an error goes on, where it left parameters and optimizer whole."""
    try:
        yield
    except Exception:
        if course.position.step:
            with contextlib.suppress(Exception):  # the error that ends the run is the one to tell
                _announce(course, save(course.session.run, _snapshot(course)), seconds=0.0)
        raise


def checkpoint(course: Course) -> None:
    """Save, then delete what the retention allows; with `on_disk_full: wait`, wait for space and try again."""
    session, cadence = course.session, course.config.cadence
    with session.section("saving"):
        begin = time.monotonic()
        failures = 0
        while True:
            try:
                saved = save(session.run, _snapshot(course))
                break
            except StorageError as error:
                if cadence.on_disk_full == "exit" or session.leaving() is not None:
                    raise
                if not failures:
                    session.emit(Paused(reason=error.message, step=course.position.step))
                failures += 1
                time.sleep(DISK_POLL_SECONDS)
        if failures:  # a save may have failed after its folder was in place
            saved = replace(saved, is_new=True)
        _announce(course, saved, seconds=time.monotonic() - begin)


def _announce(course: Course, saved: Saved, *, seconds: float) -> None:
    if not saved.is_new:
        return
    name = saved.path.name
    course.session.emit(CheckpointSaved(step=saved.step, name=name, bytes=saved.bytes, seconds=seconds))
    prune(course.session.run, keep=course.config.cadence.keep_checkpoints)


def _snapshot(course: Course) -> Snapshot:
    return capture(course.engine, course.batches, course.position, course.marks)


def leave(course: Course, reason: Literal["asked", "preempted"]) -> Outcome:
    """Save, say why the run leaves, and return it as the run's outcome."""
    checkpoint(course)
    course.session.emit(Stopped(step=course.position.step, reason=reason))
    return reason


def refused(course: Course, result: StepResult) -> None:
    """Say why a step was refused, and end the run where the configuration wants that.

    Raises: NumericError after a refused step, as configured.
    """
    position, cadence = course.position, course.config.cadence
    position.refused_in_a_row += 1
    code = "skipped" if math.isfinite(result.loss + result.grad_norm) else "non_finite"
    code = "scaler_overflow" if result.is_overflow else code
    message = f"step {position.step} was not applied: {result.refusal}"
    course.session.emit(Notice(level="warning", code=code, message=message, step=position.step))
    if result.is_overflow:
        exhausted = course.engine.scaler.get_scale() < SMALLEST_SCALE
        if not exhausted:
            return
        raise NumericError(message, hint="The loss scale has fallen below 1: train in bf16 or fp32.")
    if code == "non_finite" and cadence.on_non_finite == "stop":
        raise NumericError(
            message,
            hint="Nothing was changed by it. Lower schedule.peak_learning_rate, look at the rows named, or set "
            "cadence.on_non_finite: skip.",
        )
    if position.refused_in_a_row > cadence.max_skipped_steps:
        raise NumericError(f"{position.refused_in_a_row} steps in a row were refused; the last: {message}")
