"""Reward models: which of two answers to a prompt people would rather have, as a score of each.

The model reads prompt and answer; a head gives one number at the last token, the end of turn included. The loss is that
of Bradley and Terry on the scores of a pair; both answers, and those of other pairs, lie in one packed row without
seeing one another. No number of it is sampled, and evaluation is without dropout: the same answer has the same score.
"""

from __future__ import annotations

import time

from core.config.phases import RewardConfig
from core.data.prepare import PreparationStopped
from core.model.reward_model import begin_reward_model, save_reward_model
from core.model.reward_record import RewardRecord, tokenizer_digest
from core.run.events import Evaluated, Notice, Series
from core.run.session import Outcome, Session
from core.training.batches import Batches
from core.training.beginning import Beginning, Place, begin_attempt
from core.training.engine import Engine
from core.training.held_out import empty_groups, group_series
from core.training.loop import Work, fit
from core.training.pairs import pack_pairs
from core.training.preference import SHARED_SERIES, dealt_out, prepared_preferences
from core.training.preference_evaluation import Examination, calibration_words, evaluate_scores
from core.training.preference_objectives import PairwiseReward
from core.training.setup import (
    Tokens,
    by_its_run,
    finish,
    last_evaluation,
    left_before_training,
    owed_at,
    planned_steps,
)
from core.training.trainable import Trainable, trainable_model

SERIES = (
    *SHARED_SERIES,
    Series(name="eval/confidence", title="held-out confidence", panel="accuracy"),
    Series(
        name="eval/calibration_error", title="calibration error", panel="calibration", lower_is_better=True
    ),
    Series(name="eval/chosen_mean", title="better answers", panel="scores"),
    Series(name="eval/rejected_mean", title="worse answers", panel="scores"),
    Series(name="eval/score_p05", title="5 % quantile", panel="scores"),
    Series(name="eval/score_p50", title="median", panel="scores"),
    Series(name="eval/score_p95", title="95 % quantile", panel="scores"),
    Series(name="eval/score_spread", title="spread of scores", panel="spread of scores"),
)


def run(config: RewardConfig, session: Session, *, allow_inexact: bool) -> Outcome:
    """Train the reward model of `config` on its pairs, from the start or from the newest checkpoint."""
    begin = time.monotonic()
    # 1. data: prompts with a better and a worse answer as tokens
    try:
        preferences = prepared_preferences(config, session)
    except PreparationStopped:
        return left_before_training(session)
    preferences.check_pairs("a reward model")
    rows, held_out, tokens = preferences.rows("train"), preferences.held_out(), preferences.tokens
    steps = planned_steps(config, len(rows))

    # 2. the model with a head that scores, the loss, the optimizer
    place = Place.of(config)
    with session.section("loading"):
        folder = preferences.model_folder
        trainable = trainable_model(config, tokens.manifest, folder, device=place.device, dtype=place.dtype)
        begin_reward_model(trainable.model, seed=config.seed)
        engine = Engine(trainable.model, config.optimizer, device=place.device, dtype=place.dtype)
    objective = PairwiseReward(trainable.reading, config.reward)

    # 3. the order of the pairs, and where in it this attempt begins
    batches = Batches(rows, dealt_out(config), pack=pack_pairs)
    series, facts = (*SERIES, *group_series(held_out)), preferences.facts(objective.guess_loss)
    beginning = Beginning(tokens, trainable, engine, batches, steps, series, facts, empty_groups(held_out))
    position, marks = begin_attempt(config, session, beginning, allow_inexact=allow_inexact)

    # 4. train
    def evaluate_now() -> Evaluated | None:
        examination = Examination(config, held_out, lambda: session.leaving() is not None)
        return evaluate_scores(engine, objective, examination, step=position.step)

    work = Work(
        session=session, config=config, engine=engine, objective=objective, batches=batches, steps=steps,
        position=position, marks=marks, evaluate=evaluate_now if any(len(part.rows) for part in held_out) else None,
        sample=list, owed=owed_at(session, config, step=position.step, steps=steps),
    )  # fmt: skip
    outcome = fit(work)

    # 5. the result: a model that scores, and how far its scores can be trusted
    if outcome == "finished":
        _save(session, trainable, tokens)
        if found := last_evaluation(session):
            words = calibration_words(
                found["eval/accuracy"], found["eval/confidence"], found["eval/calibration_error"]
            )
            session.emit(Notice(level="info", code="calibration", message=words, step=position.step))
        finish(session, engine, tokens, step=position.step, begin=begin)
    return outcome


def _save(session: Session, trainable: Trainable, tokens: Tokens) -> None:
    """Write the model with its head, its tokenizer, and what it was trained to read."""
    tokenizer, manifest = tokens.folder / "tokenizer", tokens.manifest
    record = RewardRecord(
        template=manifest.template,
        code_tokens=manifest.code_tokens,
        tokenizer_digest=tokenizer_digest(tokenizer),
        base_digest=trainable.base_digest,
    )
    with session.section("saving"):
        save_reward_model(
            trainable.model,
            session.run.model,
            record=record,
            tokenizer=tokenizer,
            stop_token_ids=manifest.stop_token_ids,
            adapter=None if trainable.record is None else by_its_run(trainable.record, session),
        )
