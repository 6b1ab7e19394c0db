"""Step after step until the end, a stop or an error; what happens between two steps, and in which order."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

from core.config.phases import TrainingConfig
from core.errors import NumericError, StorageError
from core.run.events import CheckpointSaved, Evaluated, Notice, Paused, Sampled, Stopped
from core.run.session import Outcome, Session
from core.training.batches import Batches
from core.training.checkpoint import Saved, Snapshot, prune, save
from core.training.engine import Engine, StepResult
from core.training.objectives import NextToken
from core.training.resume import Position, capture
from core.training.schedule import learning_rate_at

DISK_POLL_SECONDS = 5.0
SMALLEST_SCALE = 1.0


@dataclass
class Work:
    """What a loop works on: the run's session and configuration, engine, objective, data, and how far it has come.

    evaluate is None without a held-out split, and returns None where it was interrupted because the run is to leave.
    owed is what the step on which a run resumes still has to do.
    """

    session: Session
    config: TrainingConfig
    engine: Engine
    objective: NextToken
    batches: Batches
    steps: int
    position: Position
    marks: Mapping[str, Any]
    evaluate: Callable[[], Evaluated | None] | None
    sample: Callable[[], list[Sampled]]
    owed: frozenset[str] = frozenset()


def fit(work: Work) -> Outcome:
    """Train until `work.steps` updates are applied or the run is to leave; a leaving run has saved a checkpoint.

    Between two steps the order is: log, save, evaluate, sample, leave; requests are taken with what the cadence asks
    for and answered when they are done. Where a step is refused for good, or an evaluation or a sample fails, the state
    is whole and is saved first. Raises: NumericError after a refused step, as configured; StorageError where a save
    fails.
    """
    session, position = work.session, work.position
    clock = _Clock()
    _do(work, set(work.owed), clock)
    while position.step < work.steps:
        if (reason := session.leaving()) is not None:
            return _leave(work, reason)
        with session.section("training"):
            micro_batches = work.batches.next_step()
            rate = learning_rate_at(position.step, steps=work.steps, schedule=work.config.schedule)
            result = work.engine.step(micro_batches, work.objective, learning_rate=rate)
        if not result.applied:
            with _saving_what_is_there(work):
                _refused(work, result)
            continue
        position.step += 1
        position.tokens += result.tokens
        position.refused_in_a_row = 0
        session.step = position.step
        clock.tokens += result.tokens
        if position.step % work.config.cadence.log_steps == 0 or position.step == work.steps:
            session.metrics(
                step=position.step,
                tokens=position.tokens,
                values={
                    "train/loss": result.loss,
                    "train/learning_rate": rate,
                    "train/grad_norm": result.grad_norm,
                    "train/tokens_per_second": clock.rate(),
                    **result.metrics,
                },
            )
        _do(work, due_at(position.step, work.steps, config=work.config), clock)
    if (reason := session.leaving()) is not None:
        return _leave(work, reason)
    return "finished"


class _Clock:
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


def due_at(step: int, steps: int, *, config: TrainingConfig) -> set[str]:
    """Return what the cadence asks for after `step` updates: save, evaluate, sample. The end always asks for all."""
    cadence = config.cadence
    if step == steps:
        return {"save", "evaluate", "sample"}
    every = {"save": cadence.checkpoint_steps, "evaluate": cadence.evaluate_steps, "sample": cadence.sample_steps}
    return {name for name, interval in every.items() if interval and step % interval == 0}


VERBS = {"checkpoint": "save", "evaluate": "evaluate", "sample": "sample"}


def _do(work: Work, due: set[str], clock: _Clock) -> None:
    """Do what is due and what consoles ask for, and answer them when it is done."""
    begin = time.monotonic()
    requests = work.session.requests()
    names = due | {VERBS[request.verb] for request in requests if request.verb in VERBS}
    try:
        if "save" in names:
            checkpoint(work)
        with _saving_what_is_there(work):
            _examine(work, names)
    except Exception as error:
        for request in requests:
            work.session.handled(request, False, f"failed at step {work.position.step}: {error}")
        raise
    for request in requests:
        known = request.verb in VERBS
        words = f"done at step {work.position.step}" if known else f"a training run does not know {request.verb!r}"
        work.session.handled(request, known, words)
    clock.leave_out(time.monotonic() - begin)


def _examine(work: Work, names: set[str]) -> None:
    if "evaluate" in names and work.evaluate is not None:
        with work.session.section("evaluating"):
            evaluated = work.evaluate()
        if evaluated is not None:
            work.session.emit(evaluated)
    if "sample" in names and work.session.leaving() is None:
        with work.session.section("sampling"):
            for sampled in work.sample():
                work.session.emit(sampled)


@contextmanager
def _saving_what_is_there(work: Work) -> Iterator[None]:
    """Save before an error goes on, where it left parameters and optimizer whole."""
    try:
        yield
    except Exception:
        if work.position.step:
            with contextlib.suppress(Exception):  # the error that ends the run is the one to tell
                _announce(work, save(work.session.run, _snapshot(work)), seconds=0.0)
        raise


def checkpoint(work: Work) -> None:
    """Save, then delete what the retention allows; with `on_disk_full: wait`, wait for space and try again."""
    session, cadence = work.session, work.config.cadence
    with session.section("saving"):
        begin = time.monotonic()
        failures = 0
        while True:
            try:
                saved = save(session.run, _snapshot(work))
                break
            except StorageError as error:
                if cadence.on_disk_full == "exit" or session.leaving() is not None:
                    raise
                if not failures:
                    session.emit(Paused(reason=error.message, step=work.position.step))
                failures += 1
                time.sleep(DISK_POLL_SECONDS)
        if failures:  # a save may have failed after its folder was in place
            saved = replace(saved, is_new=True)
        _announce(work, saved, seconds=time.monotonic() - begin)


def _announce(work: Work, saved: Saved, *, seconds: float) -> None:
    if not saved.is_new:
        return
    name = saved.path.name
    work.session.emit(CheckpointSaved(step=saved.step, name=name, bytes=saved.bytes, seconds=seconds))
    prune(work.session.run, keep=work.config.cadence.keep_checkpoints)


def _snapshot(work: Work) -> Snapshot:
    return capture(work.engine, work.batches, work.position, work.marks)


def _leave(work: Work, reason: Literal["asked", "preempted"]) -> Outcome:
    checkpoint(work)
    work.session.emit(Stopped(step=work.position.step, reason=reason))
    return reason


def _refused(work: Work, result: StepResult) -> None:
    """Say why a step was refused, and end the run where the configuration wants that."""
    position, cadence = work.position, work.config.cadence
    position.refused_in_a_row += 1
    code = "skipped" if math.isfinite(result.loss + result.grad_norm) else "non_finite"
    code = "scaler_overflow" if result.is_overflow else code
    message = f"step {position.step} was not applied: {result.refusal}"
    work.session.emit(Notice(level="warning", code=code, message=message, step=position.step))
    if result.is_overflow:
        exhausted = work.engine.scaler.get_scale() < SMALLEST_SCALE
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
