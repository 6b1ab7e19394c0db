"""Rollout after rollout: the policy writes, is judged, and is updated a few times on what it wrote.

A step is one applied update, and a run goes by steps; but it saves, evaluates, samples and leaves only between two
rollouts, where nothing but parameters, counters and the cursor has to be kept. So a run ends with the rollout in which
it reaches its steps, and a run that was continued with more steps equals one that had them from the start. A run of
epochs ends with the rollout that completes them, also where flat groups or an early stop left updates out.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from core.config.phases import GRPOConfig, PPOConfig
from core.errors import DataError, NumericError, UsageError
from core.run.events import Notice, Series
from core.run.faults import fault
from core.run.session import Outcome
from core.training.batches import Batches
from core.training.course import Course, attend, count_step, due_at, leave, refused, saving_what_is_there
from core.training.engine import StepResult
from core.training.objectives import Objective
from core.training.resume import Position
from core.training.rollout import (
    Lessons,
    Prompt,
    ResponseBatch,
    RolledOut,
    minibatches,
)
from core.training.schedule import learning_rate_at
from core.training.writing import Writing, roll_out

SERIES = (  # in the order of what they say of a run: what there is room for comes first
    Series(name="train/reward", title="reward", panel="reward", lower_is_better=False),
    Series(name="train/kl", title="KL from the reference", unit="nats a response", panel="KL"),
    Series(name="eval/reward", title="held-out reward", panel="reward", lower_is_better=False),
    Series(name="train/ended", title="ended by themselves", panel="ended by themselves"),
    Series(name="train/loss", title="loss", panel="loss"),
    Series(name="train/tokens_per_second", title="tokens per second", unit="tok/s", panel="tokens per second"),
    Series(
        name="eval/ended", title="held-out: ended by themselves", panel="ended by themselves", lower_is_better=False
    ),
    Series(name="train/entropy", title="entropy", unit="nats a token", panel="entropy"),
    Series(name="train/response_length", title="response length", unit="tokens", panel="response length"),
    Series(name="eval/response_length", title="held-out length", unit="tokens", panel="response length"),
    Series(name="train/ratio_kl", title="KL from the writer", unit="nats a token", panel="ratio"),
    Series(name="train/clip_fraction", title="clip fraction", panel="clip fraction"),
    Series(name="train/policy_loss", title="policy loss", panel="loss"),
    Series(name="train/advantage_mean", title="advantage, mean", panel="advantage"),
    Series(name="train/advantage_std", title="advantage, spread", panel="advantage"),
    Series(name="train/learning_rate", title="learning rate", panel="learning rate"),
    Series(name="train/grad_norm", title="gradient norm", panel="gradient norm"),
    Series(name="train/generation_tokens_per_second", title="writing", unit="tok/s", panel="tokens per second"),
    Series(name="train/training_tokens_per_second", title="updating", unit="tok/s", panel="tokens per second"),
)


@dataclass(kw_only=True)
class PolicyWork(Course):
    """A course of rollouts: how the policy writes, what a rollout teaches, and what an update minimises.

    each: responses to a prompt. epochs: how often a rollout is gone through. parts: the models that an update computes
    in turn, see `minibatches`. stop_kl: nats a token after which the remaining updates of a rollout are left out.
    rollouts: how many the configured epochs are, None where steps alone end the run. learn may change position.method.
    """

    writing: Writing
    batches: Batches[list[Prompt]]
    learn: Callable[[RolledOut], Lessons]
    objective: Objective[ResponseBatch]
    each: int
    epochs: int
    stop_kl: float | None
    rollouts: int | None = None
    parts: Sequence[Literal["policy", "value", "both"]] = ("policy",)


def first_memory() -> dict[str, int]:
    """Return what the loop remembers at the start: the number of the next rollout, and the step of the one before."""
    return {"rollout": 0, "since": 0}


def planned_rollouts(config: PPOConfig | GRPOConfig, prompts: int, *, each: int) -> int | None:
    """Return how many rollouts `schedule.epochs` passes over `prompts` are, the last one whole; None for so many steps.

    `each`: responses to a prompt.
    """
    if config.schedule.steps:
        return None
    return max(1, math.ceil(prompts * (config.schedule.epochs or 1) / (config.rollout.responses // each)))


def is_over(position: Position, *, steps: int, rollouts: int | None) -> bool:
    """Tell whether a run at `position` has its steps, or its rollouts where they are counted."""
    return position.step >= steps or (rollouts is not None and position.method["rollout"] >= rollouts)


def planned_updates(config: PPOConfig | GRPOConfig, prompts: int, *, each: int, epochs: int) -> int:
    """Return the number of steps: as configured, or for so many epochs of `prompts`; whole rollouts in either case.

    Of epochs there are fewer where updates are left out; the learning rate falls as if they had been made.
    Raises: DataError without prompts; UsageError where the warm-up is as long as the run.
    """
    if prompts == 0:
        raise DataError("the training split has no prompt", hint="Give more data, or a smaller held_out_fraction.")
    schedule, responses = config.schedule, config.rollout.responses
    updates = epochs * (responses // config.batch.size)
    rollouts = planned_rollouts(config, prompts, each=each) or math.ceil((schedule.steps or 1) / updates)
    steps = rollouts * updates
    if schedule.warmup_steps >= steps:
        raise UsageError(
            f"schedule.warmup_steps is {schedule.warmup_steps}, and the run has {steps} steps",
            hint="The warm-up must be shorter than the run.",
        )
    return steps


def improve(work: PolicyWork) -> Outcome:
    """Roll out and update until the run `is_over` or is to leave, having saved a checkpoint.

    What is due, or asked by a console, is done after a rollout's updates: log, save, evaluate, sample, leave. Asked to
    leave while the policy writes, the run gives that rollout up; asked while it updates, it finishes them first.
    Where many rollouts in a row teach nothing, as once every response has the best reward, the run ends before that.
    Where a rollout fails, as by an error of a reward, the state before it is saved first.
    Raises: NumericError after a refused step, as configured, or where nothing was learned at all: the last checkpoint
    stands, since the state within a rollout is none to go on from.
    """
    session, position = work.session, work.position
    attend(work, set(work.owed))
    while not is_over(position, steps=work.steps, rollouts=work.rollouts):
        if (reason := session.leaving()) is not None:
            return leave(work, reason)
        since, number = position.step, position.method["rollout"]
        with saving_what_is_there(work), session.section("writing"):
            rolled = _rolled_out(work, number)
        if rolled is None:
            continue
        fault("rollout.written")
        _tell_of_dropped(work, rolled)
        with session.section("training"), work.writing.actors.learning():
            lessons = work.learn(rolled)
            _update(work, rolled, lessons)
        position.method |= {"rollout": number + 1, "since": since}
        is_last = not lessons.taught and _is_nothing_left(work, rolled)
        is_last = is_last or is_over(position, steps=work.steps, rollouts=work.rollouts)
        step = work.steps if is_last else position.step
        attend(work, due_at(step, work.steps, config=work.config, since=since))
        if is_last:
            break
    if (reason := session.leaving()) is not None:
        return leave(work, reason)
    return "finished"


def _rolled_out(work: PolicyWork, number: int) -> RolledOut | None:
    """Return the next rollout; where there is none, because of an error too, the cursor stands before it again."""
    cursor, rolled = work.batches.cursor, None
    try:
        (prompts,) = work.batches.next_step()
        rolled = roll_out(work.writing, prompts, number, each=work.each)
    finally:
        if rolled is None:
            work.batches.move_to(cursor)
    return rolled


def _update(work: PolicyWork, rolled: RolledOut, lessons: Lessons) -> None:
    """Go through a rollout `work.epochs` times, an update a minibatch, unless the policy has moved far enough."""
    config = work.writing.config
    planned = max(1, work.epochs * math.ceil(len(lessons.taught) / config.batch.size))
    tried = 0
    for epoch in range(work.epochs):
        for micro_batches in minibatches(config, rolled, lessons, epoch=epoch, parts=work.parts):
            begin = time.monotonic()
            work.session.leaving()  # not asked: it says that the run goes on, to who looks for one that is stuck
            at = work.position.step
            if work.rollouts is not None:  # updates that were left out bring the end no further away
                at = rolled.number * (work.steps // work.rollouts) + tried
            tried += 1
            rate = learning_rate_at(at, steps=work.steps, schedule=config.schedule)
            result = work.engine.step(micro_batches, work.objective, learning_rate=rate)
            if not result.applied:
                refused(work, result)
                continue
            count_step(work, result)
            fault("rollout.updated")
            seconds = time.monotonic() - begin
            values = _values(result, rolled, lessons, rate=rate, seconds=seconds, before=rolled.seconds / planned)
            if work.position.step % config.cadence.log_steps == 0 or work.position.step == work.steps:
                work.session.metrics(step=work.position.step, tokens=work.position.tokens, values=values)
            if work.stop_kl is not None and values["train/ratio_kl"] > work.stop_kl:
                return


def _values(
    result: StepResult, rolled: RolledOut, lessons: Lessons, *, rate: float, seconds: float, before: float
) -> dict[str, float]:
    """Return the row of an update; `before` is its share of the seconds of writing and judging."""
    lengths = rolled.lengths
    return {
        "train/loss": result.loss,
        "train/learning_rate": rate,
        "train/grad_norm": result.grad_norm,
        "train/tokens_per_second": result.tokens / max(seconds + before, 1e-9),
        "train/generation_tokens_per_second": sum(lengths) / max(rolled.writing_seconds, 1e-9),
        "train/training_tokens_per_second": result.tokens / max(seconds, 1e-9),
        **_worth(rolled),
        "train/response_length": fmean(lengths),
        "train/ended": fmean(one.response.ended for one in rolled.answered),
        **lessons.metrics,
        **result.metrics,
    }


def _worth(rolled: RolledOut) -> dict[str, float]:
    """Return the mean reward of a response, and how far its tokens are from the reference (nats, k1)."""
    rewards = [rolled.rewards[number] for number in rolled.judged]
    worth = {"train/reward": fmean(rewards)} if rewards else {}
    if rolled.reference is not None:
        worth["train/kl"] = float((rolled.old - rolled.reference).sum()) / len(rolled.answered)
    return worth


def _tell_of_dropped(work: PolicyWork, rolled: RolledOut) -> None:
    dropped = len(rolled.rewards) - len(rolled.judged)
    if not dropped:
        return
    place = next(number for number in range(len(rolled.rewards)) if number not in set(rolled.judged))
    text = rolled.answered[place].text
    message = (
        f"{dropped} of {len(rolled.rewards)} responses of rollout {rolled.number} are left out: their reward is not a "
        f"finite number; the first begins {text[:80]!r}"
    )
    work.session.emit(Notice(level="warning", code="non_finite_reward", message=message, step=work.position.step))


_SAME_REWARDS = "The policy may always get the best reward or never any: look at the samples, and at the rewards."


def _is_nothing_left(work: PolicyWork, rolled: RolledOut) -> bool:
    """Say that a rollout taught nothing; tell whether it was one too many in a row (cadence.max_skipped_steps).

    Raises: NumericError where that is so before anything was learned.
    """
    position, most = work.position, work.config.cadence.max_skipped_steps
    position.refused_in_a_row += 1
    sources = ", ".join(source.name for source in work.writing.sources)
    why, hint = "no response of it says what is better", _SAME_REWARDS
    if not rolled.judged:
        why = f"all {len(rolled.rewards)} responses were left out, since their reward is not a finite number"
        hint = f"The fault lies in the rewards ({sources}): NaN and infinite values teach nothing."
    message = f"nothing was learned from rollout {rolled.number}: {why}"
    work.session.emit(Notice(level="warning", code="nothing_learned", message=message, step=position.step))
    if position.refused_in_a_row <= most:
        return False
    if position.step == 0:
        raise NumericError(
            f"{position.refused_in_a_row} rollouts in a row taught nothing; the last: {message}",
            hint=hint,
        )
    message = (
        f"{position.refused_in_a_row} rollouts in a row taught nothing, so the run ends at step {position.step} and "
        f"not at {work.steps}: {'responses to a prompt all have the same reward' if rolled.judged else why}"
    )
    work.session.emit(Notice(level="warning", code="nothing_left", message=message, step=position.step))
    return True
