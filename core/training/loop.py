"""Step after step over rows of data until the end, a stop or an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from core.run.session import Outcome
from core.training.batches import Batches
from core.training.course import Course, attend, count_step, due_at, leave, refused, saving_what_is_there
from core.training.objectives import Batch, Objective
from core.training.schedule import learning_rate_at

B = TypeVar("B", bound=Batch)


@dataclass(kw_only=True)
class Work(Course, Generic[B]):
    """A course over data that is there from the start: what a step minimises, and on what."""

    objective: Objective[B]
    batches: Batches[B]


def fit(work: Work[B]) -> Outcome:
    """Train until `work.steps` updates are applied or the run is to leave; a leaving run has saved a checkpoint.

    Between two steps the order is: log, save, evaluate, sample, leave; requests are taken with what the cadence asks
    for and answered when they are done. Where a step is refused for good, or an evaluation or a sample fails, the state
    is whole and is saved first. Raises: NumericError after a refused step, as configured; StorageError where a save
    fails.
    """
    session, position = work.session, work.position
    attend(work, set(work.owed))
    while position.step < work.steps:
        if (reason := session.leaving()) is not None:
            return leave(work, reason)
        with session.section("training"):
            micro_batches = work.batches.next_step()
            rate = learning_rate_at(position.step, steps=work.steps, schedule=work.config.schedule)
            result = work.engine.step(micro_batches, work.objective, learning_rate=rate)
        if not result.applied:
            with saving_what_is_there(work):
                refused(work, result)
            continue
        count_step(work, result)
        if position.step % work.config.cadence.log_steps == 0 or position.step == work.steps:
            session.metrics(
                step=position.step,
                tokens=position.tokens,
                values={
                    "train/loss": result.loss,
                    "train/learning_rate": rate,
                    "train/grad_norm": result.grad_norm,
                    "train/tokens_per_second": work.clock.rate(),
                    **result.metrics,
                },
            )
        attend(work, due_at(position.step, work.steps, config=work.config))
    if (reason := session.leaving()) is not None:
        return leave(work, reason)
    return "finished"
