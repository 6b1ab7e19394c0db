"""Step after step until the end, a stop or an error; what happens between two steps, and in which order."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.config.phases import PretrainConfig, SFTConfig
from core.errors import NumericError, StorageError
from core.run.control import Request
from core.run.events import CheckpointSaved, Evaluated, Notice, Paused, Sampled, Stopped
from core.run.session import Outcome, Session
from core.training.batches import Batches
from core.training.checkpoint import prune, save
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
    config: PretrainConfig | SFTConfig
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

    Between two steps the order is: log, save, evaluate, sample, requests, leave; so a checkpoint is there before an
    evaluation can fail. Raises: NumericError after a refused step, as configured; StorageError where a save fails.
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
                },
            )
        _do(work, due_at(position.step, work.steps, config=work.config) | _requested(work), clock)
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


def due_at(step: int, steps: int, *, config: PretrainConfig | SFTConfig) -> set[str]:
    """Return what the cadence asks for after `step` updates: save, evaluate, sample. The end always asks for all."""
    cadence = config.cadence
    if step == steps:
        return {"save", "evaluate", "sample"}
    every = {"save": cadence.checkpoint_steps, "evaluate": cadence.evaluate_steps, "sample": cadence.sample_steps}
    return {name for name, interval in every.items() if interval and step % interval == 0}


def _requested(work: Work) -> set[str]:
    names = set()
    for request in work.session.requests():
        names |= _accept(work, request)
    return names


def _accept(work: Work, request: Request) -> set[str]:
    asked = {"checkpoint": "save", "evaluate": "evaluate", "sample": "sample"}.get(request.verb)
    if asked is None:
        work.session.handled(request, False, f"a training run does not know {request.verb!r}")
        return set()
    work.session.handled(request, True, f"at step {work.position.step}")
    return {asked}


def _do(work: Work, names: set[str], clock: _Clock) -> None:
    if not names:
        return
    begin = time.monotonic()
    if "save" in names:
        checkpoint(work)
    if "evaluate" in names and work.evaluate is not None:
        with work.session.section("evaluating"):
            evaluated = work.evaluate()
        if evaluated is not None:
            work.session.emit(evaluated)
    if "sample" in names and work.session.leaving() is None:
        with work.session.section("sampling"):
            for sampled in work.sample():
                work.session.emit(sampled)
    clock.leave_out(time.monotonic() - begin)


def checkpoint(work: Work) -> None:
    """Save, then delete what the retention allows; with `on_disk_full: wait`, wait for space and try again."""
    session, cadence = work.session, work.config.cadence
    with session.section("saving"):
        begin = time.monotonic()
        while True:
            snapshot = capture(work.engine, work.batches, work.position, work.marks)
            try:
                saved = save(session.run, snapshot)
                break
            except StorageError as error:
                if cadence.on_disk_full == "exit" or session.leaving() is not None:
                    raise
                session.emit(Paused(reason=error.message, step=work.position.step))
                time.sleep(DISK_POLL_SECONDS)
        seconds = time.monotonic() - begin
        if not saved.is_new:
            return
        session.emit(CheckpointSaved(step=saved.step, name=saved.path.name, bytes=saved.bytes, seconds=seconds))
        prune(session.run, keep=cadence.keep_checkpoints)


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
