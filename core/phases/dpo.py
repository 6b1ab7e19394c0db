"""Direct preference optimisation and its kin: a policy learns from pairs of answers without a reward model.

The loss compares how much likelier the policy makes the better answer, against the model that training began with, than
the worse one (Rafailov et al. 2023, equation 7). What that model says is computed once, before the first step, and kept
for other runs; or at each step with the adapter switched off. Dropout is off: the policy begins as the reference.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from core.config.adapter import Full
from core.config.phases import DPOConfig
from core.data.manifest import Split
from core.data.prepare import PreparationStopped
from core.model.dropout import switch_off_dropout
from core.model.roles import Role
from core.run.events import Evaluated, Notice, Series
from core.run.session import Outcome, Session
from core.training.batches import Batches
from core.training.beginning import Beginning, Place, begin_attempt
from core.training.engine import Engine
from core.training.held_out import HeldOut, empty_groups, group_series
from core.training.loop import Work, fit
from core.training.pairs import PairRow, References, pack_pairs
from core.training.preference import SHARED_SERIES, dealt_out, prepared_preferences
from core.training.preference_evaluation import Examination, evaluate_preferences
from core.training.preference_objectives import DirectPreferences, with_reference_point
from core.training.reference import ReferenceModel, identity_of, reference_log_probs, references_digest
from core.training.resume import Position
from core.training.sample import sampler
from core.training.setup import export, left_before_training, owed_at, planned_steps
from core.training.trainable import Trainable, trainable_model

SERIES = (
    *SHARED_SERIES,
    Series(name="train/chosen_reward", title="better answers", panel="rewards"),
    Series(name="train/rejected_reward", title="worse answers", panel="rewards"),
    Series(name="eval/chosen_reward", title="held-out, better", panel="rewards"),
    Series(name="eval/rejected_reward", title="held-out, worse", panel="rewards"),
)
KTO_SERIES = (
    Series(name="train/reference_point", title="reference point", unit="nats", panel="reference point"),
    Series(name="eval/reference_point", title="held-out reference point", unit="nats", panel="reference point"),
)

NO_DROPOUT = "dropout is switched off in dpo: the policy is compared with a reference that has none"


def run(config: DPOConfig, session: Session, *, allow_inexact: bool) -> Outcome:
    """Align the policy of `config` to its preferences, from the start or from the newest checkpoint."""
    begin = time.monotonic()
    loss = config.dpo.loss
    # 1. data: prompts with a better and a worse answer as tokens; for kto also answers that were judged
    try:
        preferences = prepared_preferences(config, session, mismatched=loss == "kto")
    except PreparationStopped:
        return left_before_training(session)
    if loss != "kto":
        preferences.check_pairs(f"dpo.loss: {loss}")
    for prompt in config.sampling.prompts:  # one that cannot be asked ends the run now and not after its last step
        preferences.prompt_ids(prompt)
    tokens = preferences.tokens
    steps = planned_steps(config, tokens.manifest.train.documents)

    # 2. the policy, its optimizer, and what the reference says of every answer
    place = Place.of(config)
    with session.section("loading"):
        folder = preferences.model_folder
        trainable = trainable_model(config, tokens.manifest, folder, device=place.device, dtype=place.dtype)
        switched_off = switch_off_dropout(trainable.model)
        engine = Engine(trainable.model, config.optimizer, device=place.device, dtype=place.dtype)
    policy, reference = _roles(config, trainable)
    references: Mapping[Split, References] = {}
    if loss != "orpo" and config.dpo.reference == "cached":
        identity = identity_of(config, trainable, preferences, engine)
        asked = ReferenceModel(engine, reference, policy, dealt_out(config), identity)
        kept = reference_log_probs(asked, {split: preferences.rows(split) for split in preferences.splits}, session)
        if kept is None:
            return left_before_training(session)
        references = kept
    objective = DirectPreferences(trainable.reading, config.dpo, policy, reference)

    # 3. the order of the pairs, and where in it this attempt begins
    rows, held_out = preferences.rows("train", references=references), preferences.held_out(references)
    complete = partial(with_reference_point, engine, objective) if loss == "kto" else list
    batches = Batches(rows, dealt_out(config), pack=pack_pairs, complete=complete)
    series = (*SERIES, *(KTO_SERIES if loss == "kto" else ()), *group_series(held_out))
    facts, notices = preferences.facts(objective.guess_loss), empty_groups(held_out)
    digests = {"reference": references_digest(references)} if references else {}
    beginning = Beginning(tokens, trainable, engine, batches, steps, series, facts, notices, digests)
    position, marks = begin_attempt(config, session, beginning, allow_inexact=allow_inexact)
    if switched_off:
        session.emit(Notice(level="info", code="no_dropout", message=NO_DROPOUT))

    # 4. train
    work = Work(
        session=session, config=config, engine=engine, objective=objective, batches=batches, steps=steps,
        position=position, marks=marks,
        evaluate=_evaluator(session, config, held_out, engine, objective, position),
        sample=sampler(session, config, engine, tokens, position, preferences.prompt_ids),
        owed=owed_at(session, config, step=position.step, steps=steps),
    )  # fmt: skip
    outcome = fit(work)

    # 5. the result
    if outcome == "finished":
        export(session, engine, tokens, trainable, step=position.step, begin=begin)
    return outcome


def _roles(config: DPOConfig, trainable: Trainable) -> tuple[Role, Role]:
    """Return the policy, and the model that it began as: itself with the adapter switched off, where it has one.

    Without one they are the same, and the reference must be asked before the first step. Embeddings that are trained as
    a whole would stay when it is switched off: the configuration refuses them with dpo.reference each_step.
    """
    model, reading = trainable.model, trainable.reading
    if isinstance(config.adapter, Full):
        return Role("policy", model, reading), Role("reference", model, reading)
    return Role("policy", model, reading, "default"), Role("reference", model, reading, "")


def _evaluator(
    session: Session,
    config: DPOConfig,
    held_out: Sequence[HeldOut[PairRow]],
    engine: Engine,
    objective: DirectPreferences,
    position: Position,
) -> Callable[[], Evaluated | None] | None:
    """Return what evaluates the policy as it stands at `position`, None without held-out rows."""

    def evaluate_now() -> Evaluated | None:
        examination = Examination(config, held_out, lambda: session.leaving() is not None)
        return evaluate_preferences(engine, objective, examination, step=position.step)

    return evaluate_now if any(len(part.rows) for part in held_out) else None
