"""What training phases do before their first step and after their last."""

from __future__ import annotations

import math
import random
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from core.config.data import PreparedData
from core.config.phases import TrainingConfig
from core.data.cleaning.clean import Means
from core.data.fingerprints import cache_key, with_known_tokenizer
from core.data.manifest import Manifest
from core.data.prepare import is_prepared, prepare
from core.data.progress import Work
from core.data.tokens.shards import verify
from core.errors import CheckpointError, DataError, StorageError, UsageError
from core.evaluation.perplexity import scorer_for
from core.model.base_record import AdapterRecord
from core.model.load import save_model
from core.run.event_log import EventReader
from core.run.events import CheckpointSaved, Evaluated, Finished, Notice, Resumed, Sampled, Series, Stopped
from core.run.preset_run import chosen_run
from core.run.runs import find_run
from core.run.session import Outcome, Session
from core.training.checkpoint import list_checkpoints, load_newest, step_of
from core.training.course import due_at
from core.training.device import peak_memory_bytes
from core.training.engine import Engine
from core.training.optimizers import state_bytes
from core.training.refusal import refusal
from core.training.resume import HasCursor, Position, changes, missing_pieces, restore, settings_at_default
from core.training.trainable import Trainable

SERIES = (
    Series(name="train/loss", title="loss", unit="nats", panel="loss", lower_is_better=True),
    Series(name="eval/loss", title="held-out loss", unit="nats", panel="loss", lower_is_better=True),
    Series(name="train/learning_rate", title="learning rate", panel="learning rate"),
    Series(name="train/grad_norm", title="gradient norm", panel="gradient norm"),
    Series(name="train/tokens_per_second", title="tokens per second", unit="tok/s", panel="tokens per second"),
    Series(name="eval/perplexity", title="held-out perplexity", panel="perplexity", lower_is_better=True),
)


def seed_everything(config: TrainingConfig) -> None:
    """Seed every generator, and choose algorithms that repeat."""
    random.seed(config.seed)
    np.random.seed(config.seed)
    torch.manual_seed(config.seed)
    torch.use_deterministic_algorithms(config.precision.deterministic)
    # It is for finding bugs, and costs a pass over memory. (A property of the module, which its types do not show.)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def left_before_training(session: Session) -> Outcome:
    """Say that the run left while it waited for its model or prepared its data, and why."""
    reason = session.leaving() or "asked"
    kept = list_checkpoints(session.run)
    step = step_of(kept[-1]) if kept else 0
    session.emit(Stopped(step=step, reason=reason, message="left before training began; nothing was trained"))
    return reason


@dataclass(frozen=True)
class Tokens:
    """Prepared data of a training phase: its folder and its manifest."""

    folder: Path
    manifest: Manifest


def prepared_tokens(config: TrainingConfig, session: Session, *, kind: str, model: Path | None) -> Tokens:
    """Return the data of an earlier run, or prepare the sources now into a cache named by all that changes the result.

    `model` is the folder of the phase's model, whose tokenizer `tokenizer: {kind: model}` takes.
    Raises: PreparationStopped where the run is to leave meanwhile; DataError, UsageError.
    """

    def should_stop() -> bool:
        return session.leaving() is not None

    if isinstance(config.data, PreparedData):
        run = find_run(session.run.home, config.data.run)
        if not is_prepared(run.data):
            raise UsageError(f"data.run: {run.name} has no prepared data", hint="It must be a finished prepare run.")
        folder = run.data
    else:
        data = with_known_tokenizer(config.data, session.run.home.fetched)
        with session.section("preparing"):
            key = cache_key(data, config.seed, model, should_stop=should_stop)
            folder = session.run.home.cache / "data" / key
            if not is_prepared(folder):
                prepare(
                    data,
                    folder,
                    seed=config.seed,
                    model_tokenizer=model,
                    work=Work(session.progress, should_stop),
                    means=Means(lambda asked: scorer_for(asked, session.run.home)),
                )
    with session.section("preparing"):
        # A token that was flipped on the disk would be trained on without a word.
        manifest = verify(folder, should_stop=should_stop)
    if manifest.kind != kind:
        raise DataError(f"{folder} holds {manifest.kind}, this phase needs {kind}")
    return Tokens(folder, manifest)


def check_space(session: Session, engine: Engine, *, keep: int) -> None:
    """Refuse to start where the checkpoints that are to be kept could not be written.

    Raises: StorageError with what is needed and what is there.
    """
    trained = sum(p.numel() * p.element_size() for p in engine.parameters.values())
    more = max(1, keep + 1 - len(list_checkpoints(session.run)))
    need, have = (trained + state_bytes(engine.optimizer)) * more + trained, shutil.disk_usage(session.run.path).free
    if need > have:
        raise StorageError(
            f"{more} more checkpoints and the model take {need / 1e9:.2f} GB, the disk has {have / 1e9:.2f} GB",
            hint="Free some space, or lower cadence.keep_checkpoints.",
        )


def resume(
    session: Session,
    engine: Engine,
    batches: HasCursor,
    marks: Mapping[str, Any],
    *,
    steps: int,
    allow_inexact: bool,
    method: Mapping[str, Any] | None = None,
) -> Position:
    """Return where to begin: at 0, or where the newest whole checkpoint says, which is then put back.

    `method` is what the phase itself must remember, as it is at the start.
    Raises: CheckpointError where the continuation would not be exact and that was not allowed, or where checkpoints
    that the log names are gone; UsageError where the run is to have fewer steps than it has.
    """
    first = Position(method=dict(method or {}))
    if session.attempt == 1:
        return first
    loaded = load_newest(session.run)
    if loaded is None and (lost := _last_saved(session)):
        raise CheckpointError(
            f"the log says that {lost} was saved, and no checkpoint is there",
            hint=f"Put it back into {session.run.checkpoints}, or start a new run from the preset.",
        )
    if loaded is None:
        session.emit(Resumed(step=0, checkpoint="", notes=("no checkpoint was made before; begins again at step 0",)))
        return first
    breaking, extending = changes(loaded.snapshot.fingerprint, marks, settings_at_default(session.config))
    # What was changed says more than which tensors do not fit because of it.
    missing = [] if breaking and not allow_inexact else missing_pieces(loaded.snapshot, engine, first.method)
    missing = [f"missing: {name}" for name in missing]
    if (breaking or missing) and not allow_inexact:
        raise refusal(
            loaded.path.name, loaded.snapshot.fingerprint, marks, breaking + missing,
            config=session.config, run=session.run.name,
        )  # fmt: skip
    if loaded.snapshot.step > steps:
        raise UsageError(
            f"schedule.steps is {steps}, and step {loaded.snapshot.step} was reached already",
            hint="A run cannot go back: give more steps, or start a new run.",
        )
    position = restore(loaded.snapshot, engine, batches)
    position.method = {**first.method, **position.method}
    if breaking or missing:
        position.inexact_since = position.inexact_since if position.inexact_since is not None else position.step
    notes = (*loaded.set_aside, *breaking, *missing, *extending)
    exact = position.inexact_since is None
    session.emit(Resumed(step=position.step, checkpoint=loaded.path.name, exact=exact, notes=notes))
    for words in loaded.set_aside:
        session.emit(Notice(level="warning", code="checkpoint_set_aside", message=words, step=position.step))
    if position.inexact_since is not None:
        message = f"this run is not exact since step {position.inexact_since}"
        session.emit(Notice(level="warning", code="inexact", message=message, step=position.step))
    return position


def owed_at(
    session: Session, config: TrainingConfig, *, step: int, steps: int, since: int | None = None
) -> frozenset[str]:
    """Return what the cadence asks for before the next step, but for what an earlier attempt came to at this one.

    `since` as for `due_at`.
    """
    if step == 0:
        asked = {"evaluate"} if config.cadence.evaluate_first else set()
    else:
        asked = due_at(step, steps, config=config, since=since) - {"save"}
    if session.attempt == 1:
        return frozenset(asked)
    done: set[str] = set()
    reader = EventReader(session.run.events)
    while events := reader.read():
        for event in events:
            if isinstance(event, Resumed) and event.step < step:
                done.clear()  # what came before was trained again
            if isinstance(event, Evaluated | Sampled) and event.step == step:
                done.add("evaluate" if isinstance(event, Evaluated) else "sample")
    return frozenset(asked - done)


def planned_steps(config: TrainingConfig, rows: int) -> int:
    """Return the number of steps: as configured, or for so many epochs of `rows` sequences.

    Raises: DataError without rows; UsageError where the warm-up is as long as the run.
    """
    if rows == 0:
        raise DataError("the training split has no sequence", hint="Give more data, or a smaller held_out_fraction.")
    schedule = config.schedule
    steps = schedule.steps or max(1, math.ceil(rows * (schedule.epochs or 1) / config.batch.size))
    if schedule.warmup_steps >= steps:
        raise UsageError(
            f"schedule.warmup_steps is {schedule.warmup_steps}, but {schedule.epochs} epochs are {steps} steps",
            hint="The warm-up must be shorter than the run.",
        )
    return steps


def export(session: Session, engine: Engine, tokens: Tokens, trainable: Trainable, *, step: int, begin: float) -> None:
    """Write the model with its tokenizer in the Hugging Face layout, and say that the run is finished.

    Of a low-rank run the adapter alone, in peft's layout, with the record of its base.
    """
    tokenizer, stops = tokens.folder / "tokenizer", tokens.manifest.stop_token_ids
    with session.section("saving"):
        if trainable.record is None:
            save_model(trainable.model, tokenizer, session.run.model, stop_token_ids=stops)
        else:
            from core.model.adapters import save_adapter

            record = by_its_run(trainable.record, session)
            save_adapter(trainable.model, session.run.model, record=record, tokenizer=tokenizer, stop_token_ids=stops)
    finish(session, engine, tokens, step=step, begin=begin)


def finish(session: Session, engine: Engine, tokens: Tokens, *, step: int, begin: float) -> None:
    """Say that the run is finished and its result written, with the last evaluation."""
    facts: dict[str, str | int | float | bool] = {
        "model": str(session.run.model),
        "data": str(tokens.folder),
        "seconds": round(time.monotonic() - begin, 1),
        "peak_memory_bytes": peak_memory_bytes(engine.device),
        "vocabulary_size": tokens.manifest.vocabulary_size,
    }
    facts.update(last_evaluation(session))
    session.emit(Finished(step=step, facts=facts))


def by_its_run(record: AdapterRecord, session: Session) -> AdapterRecord:
    """Return the record with the base named by its run where the configuration names a preset, which may change."""
    if record.model["kind"] != "preset":
        return record
    run = chosen_run(session.run, record.model["preset"])
    if run is None:
        return record
    kept = {name: value for name, value in record.model.items() if name != "preset"}
    return record.model_copy(update={"model": {**kept, "kind": "run", "run": run.name}})


def _last_saved(session: Session) -> str:
    """Return the name of the last checkpoint that the log says was saved, "" for none."""
    reader, last = EventReader(session.run.events), ""
    while events := reader.read():
        for event in events:
            if isinstance(event, CheckpointSaved):
                last = event.name
    return last


def last_evaluation(session: Session) -> dict[str, float]:
    """Return the values of the last evaluation of this run, none where there was none."""
    reader, last = EventReader(session.run.events), {}
    while events := reader.read():
        for event in events:
            if isinstance(event, Evaluated):
                last = event.values
    return dict(last)
