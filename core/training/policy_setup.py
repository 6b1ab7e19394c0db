"""PPO and GRPO from their configuration to the exported policy: what both do around their loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tokenizers import Tokenizer

from core.config.models_in_memory import memory_words
from core.config.phases import GRPOConfig, PPOConfig
from core.data.manifest import TOKENIZER
from core.data.prepare import PreparationStopped
from core.data.tokens.shards import TokenShards
from core.errors import UsageError
from core.model.generate import end_tokens
from core.model.load import resolve_model
from core.run.events import Evaluated, Notice, Sampled, Series
from core.run.session import Outcome, Session
from core.training import policy_examples
from core.training.actors import Actors, actors_of, in_memory
from core.training.batches import Batches, Deal
from core.training.beginning import Beginning, Facts, Place, begin_attempt, quiet_libraries
from core.training.engine import Engine
from core.training.objectives import Objective
from core.training.policy_loop import (
    SERIES,
    PolicyWork,
    first_memory,
    improve,
    is_over,
    planned_rollouts,
    planned_updates,
)
from core.training.resume import Position
from core.training.rewards import reward_sources
from core.training.rollout import (
    Lessons,
    Prompt,
    PromptRows,
    ResponseBatch,
    RolledOut,
    as_they_are,
)
from core.training.setup import Tokens, export, left_before_training, owed_at, prepared_tokens
from core.training.trainable import Trainable, trainable_model
from core.training.writing import Writing, response_seeds


@dataclass(frozen=True)
class Method:
    """What PPO and GRPO have of their own.

    each: responses to a prompt. epochs: how often a rollout is gone through. objective: what an update minimises, made
    once the models are there. learn: what a rollout teaches; it may change the second argument, which is what a
    checkpoint keeps for the method and begins as `memory`. parts, stop_kl: see PolicyWork. series: beside SERIES.
    """

    each: int
    epochs: int
    stop_kl: float | None
    objective: Callable[[Actors], Objective[ResponseBatch]]
    learn: Callable[[RolledOut, dict[str, Any]], Lessons]
    memory: Mapping[str, Any]
    parts: Sequence[Literal["policy", "value", "both"]] = ("policy",)
    series: tuple[Series, ...] = ()


def train_policy(config: PPOConfig | GRPOConfig, session: Session, method: Method, *, allow_inexact: bool) -> Outcome:
    """Improve the policy of `config` on its prompts, from the start or from the newest checkpoint, and export it."""
    begin = time.monotonic()
    quiet_libraries()

    # 1. prompts, each answered as often as the method asks
    try:
        folder = resolve_model(config.model, session.run.home, progress=session.progress, session=session)
        tokens = prepared_tokens(config, session, kind="prompts", model=folder)
    except PreparationStopped:
        return left_before_training(session)
    rows, held_out = _prompts(config, tokens)
    steps = planned_updates(config, len(rows), each=method.each, epochs=method.epochs)
    rollouts = planned_rollouts(config, len(rows), each=method.each)
    batches = _in_order(config, rows, each=method.each)

    # 2. models, optimizer, rewards
    place = Place.of(config)
    with session.section("loading"):
        trainable, writing = _loaded(config, session, tokens, folder, place)
    engine = writing.engine

    # 3. where this attempt begins
    digests = {f"reward.{number}": source.digest for number, source in enumerate(writing.sources)}
    beginning = Beginning(
        tokens, trainable, engine, batches, steps, series=_series(method, writing.actors), facts=_facts(config, tokens),
        notices=_notices(config, writing, rows), digests=digests, method={**first_memory(), **method.memory},
    )  # fmt: skip
    position, marks = begin_attempt(config, session, beginning, allow_inexact=allow_inexact)
    writing.actors.put_away()

    # 4. roll out and update
    end = position.step if is_over(position, steps=steps, rollouts=rollouts) else steps
    evaluate_now, sample_now = _examinations(writing, held_out, batches, position, each=method.each)
    work = PolicyWork(
        session=session, config=config, engine=engine, batches=batches, steps=steps, position=position, marks=marks,
        evaluate=evaluate_now if held_out else None, sample=sample_now,
        owed=owed_at(session, config, step=position.step, steps=end, since=position.method["since"]),
        writing=writing, learn=lambda rolled: method.learn(rolled, position.method),
        objective=method.objective(writing.actors), each=method.each, epochs=method.epochs, stop_kl=method.stop_kl,
        rollouts=rollouts, parts=method.parts,
    )  # fmt: skip
    outcome = improve(work)

    # 5. export: the policy alone
    if outcome == "finished":
        trainable.model._modules.pop("value", None)
        export(session, engine, tokens, trainable, step=position.step, begin=begin)
    return outcome


def _prompts(config: PPOConfig | GRPOConfig, tokens: Tokens) -> tuple[PromptRows, list[Prompt]]:
    """Return the prompts to learn from, and those to evaluate on: evenly from the whole held-out split."""
    longest = config.batch.sequence_length - config.rollout.max_new_tokens
    if longest < 1:
        raise UsageError(
            f"rollout.max_new_tokens is {config.rollout.max_new_tokens}, and batch.sequence_length, which holds the "
            f"prompt too, {config.batch.sequence_length}",
            hint="Raise batch.sequence_length, or lower rollout.max_new_tokens.",
        )
    rows = PromptRows(TokenShards(tokens.folder, "train"), longest=longest)
    held = PromptRows(TokenShards(tokens.folder, "held_out"), longest=longest)
    limit = min(len(held), config.cadence.evaluate_sequences or len(held))
    return rows, [held[number * len(held) // limit] for number in range(limit)]


def _in_order(config: PPOConfig | GRPOConfig, rows: PromptRows, *, each: int) -> Batches[list[Prompt]]:
    """Return what gives the prompts of one rollout after another."""
    size = config.rollout.responses // each
    return Batches(rows, Deal(size, size, seed=config.seed), pack=as_they_are)


def _loaded(
    config: PPOConfig | GRPOConfig, session: Session, tokens: Tokens, model_folder: Path | None, place: Place
) -> tuple[Trainable, Writing]:
    """Return the policy, and with what it writes and is judged."""
    device, dtype = place.device, place.dtype
    trainable = trainable_model(config, tokens.manifest, model_folder, device=device, dtype=dtype)
    actors = actors_of(config, trainable, home=session.run.home, device=device)
    engine = Engine(actors.module, config.optimizer, device=device, dtype=dtype)
    folder = tokens.folder / TOKENIZER
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    sources = reward_sources(
        config.rewards,
        home=session.run.home,
        tokenizer_folder=folder,
        manifest=tokens.manifest,
        device=device,
        dtype=dtype,
        roles=actors.rewards,
    )
    if isinstance(config, PPOConfig) and "reward" in config.ppo.offload:
        actors.away["reward"] = [source.model for source in sources if source.model is not None]
    ends = end_tokens(actors.policy.model, folder, tokenizer) | set(tokens.manifest.stop_token_ids)
    return trainable, Writing(config, engine, actors, sources, tokenizer, ends, lambda: session.leaving() is not None)


def _notices(config: PPOConfig | GRPOConfig, writing: Writing, rows: PromptRows) -> Iterator[Notice]:
    """Yield what a person should know before the first step: the models in memory, and what is not as asked."""
    judges = [source.model for source in writing.sources if source.model is not None]
    words = memory_words(in_memory(config, writing.actors, judges))
    yield Notice(level="info", code="models_in_memory", message=words)
    if writing.actors.away and writing.engine.device.type == "cpu":
        message = "ppo.offload does nothing here: without a GPU every model is in the main memory anyway"
        yield Notice(level="warning", code="not_offloaded", message=message)
    if rows.shortened:
        message = (
            f"{rows.shortened} of {len(rows)} prompts lose their start: batch.sequence_length minus "
            f"rollout.max_new_tokens leaves {config.batch.sequence_length - config.rollout.max_new_tokens} tokens"
        )
        yield Notice(level="warning", code="prompts_shortened", message=message)


def _series(method: Method, actors: Actors) -> tuple[Series, ...]:
    """Return what a run of this method shows; without a reference nothing is far from it."""
    shown = (*SERIES, *method.series)
    return shown if actors.reference is not None else tuple(one for one in shown if one.name != "train/kl")


def _facts(config: PPOConfig | GRPOConfig, tokens: Tokens) -> Facts:
    return {
        "responses_per_rollout": config.rollout.responses,
        "train_prompts": tokens.manifest.train.documents,
        "held_out_prompts": tokens.manifest.held_out.documents,
    }


def _examinations(
    writing: Writing, held_out: Sequence[Prompt], batches: Batches[list[Prompt]], position: Position, *, each: int
) -> tuple[Callable[[], Evaluated | None], Callable[[], list[Sampled]]]:
    """Return what evaluates, and what samples, the policy as it stands at `position`."""

    def evaluate_now() -> Evaluated | None:
        return policy_examples.evaluate(writing, held_out, step=position.step)

    def sample_now() -> list[Sampled]:
        # The first responses of the rollout that comes next, written for this alone: so nothing is kept for them.
        cursor = batches.cursor
        (prompts,) = batches.next_step()
        batches.move_to(cursor)
        shown = prompts[: policy_examples.SAMPLES]
        seeds = response_seeds(writing.config.seed, position.method["rollout"], len(shown) * each)[::each]
        return policy_examples.sample(writing, shown, seeds=seeds, step=position.step)

    return evaluate_now, sample_now
