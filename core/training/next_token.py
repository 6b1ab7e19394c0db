"""What pre-training and supervised fine-tuning share: next-token prediction on rows, from model to export.

The phases differ in where rows come from and which targets count; from there on the work is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.config.phases import PretrainConfig, SFTConfig
from core.data.tokens.templates import TemplateName, render_prompt
from core.run.events import Evaluated
from core.run.session import Outcome, Session
from core.training.batches import Batches, Deal, Row, Rows
from core.training.beginning import Beginning, Facts, Place, begin_attempt, quiet_libraries
from core.training.engine import Engine
from core.training.evaluate import evaluate
from core.training.held_out import HeldOut, empty_groups, group_series
from core.training.loop import Work, fit
from core.training.objectives import NextToken
from core.training.resume import Position
from core.training.sample import sampler
from core.training.setup import SERIES, Tokens, export, owed_at, planned_steps
from core.training.trainable import trainable_model


@dataclass(frozen=True)
class Material:
    """What a phase brings: its tokens on disk, its rows, and how a sampling prompt becomes tokens."""

    tokens: Tokens
    train: Rows[Row]
    held_out: tuple[HeldOut[Row], ...]
    template: Literal["none"] | TemplateName
    model_folder: Path | None

    def prompt_ids(self, prompt: str) -> list[int]:
        """Return the tokens of a prompt, as training laid them. Raises: DataError where it cannot be asked so."""
        code_tokens = self.tokens.manifest.code_tokens
        return render_prompt(self.tokens.folder / "tokenizer", self.template, prompt, code_tokens)

    @property
    def held_out_sequences(self) -> int:
        """How many sequences an evaluation without a limit takes."""
        return sum(len(part.rows) for part in self.held_out)


def train(config: PretrainConfig | SFTConfig, session: Session, material: Material, *, allow_inexact: bool) -> Outcome:
    """Train on the rows of `material`, from the start or from the newest checkpoint, and export the model."""
    begin = time.monotonic()
    quiet_libraries()
    tokens, batch = material.tokens, config.batch
    for prompt in config.sampling.prompts:  # one that cannot be asked ends the run now and not after its last step
        material.prompt_ids(prompt)
    steps = planned_steps(config, len(material.train))

    # 1. model, objective, optimizer
    place = Place.of(config)
    with session.section("loading"):
        folder = material.model_folder
        trainable = trainable_model(config, tokens.manifest, folder, device=place.device, dtype=place.dtype)
        engine = Engine(trainable.model, config.optimizer, device=place.device, dtype=place.dtype)
    objective = NextToken(trainable.reading)

    # 2. the order of the data, and where in it this attempt begins
    deal = Deal(batch.size, batch.micro_size, seed=config.seed, pad_to=_pad_to(config))
    batches = Batches(material.train, deal)
    series, notices = (*SERIES, *group_series(material.held_out)), empty_groups(material.held_out)
    facts = _facts(config, material)
    beginning = Beginning(tokens, trainable, engine, batches, steps, series, facts, notices)
    position, marks = begin_attempt(config, session, beginning, allow_inexact=allow_inexact)

    # 3. train
    outcome = fit(
        Work(
            session=session,
            config=config,
            engine=engine,
            objective=objective,
            batches=batches,
            steps=steps,
            position=position,
            marks=marks,
            evaluate=_evaluator(session, config, material, engine, objective, position),
            sample=sampler(session, config, engine, tokens, position, material.prompt_ids),
            owed=owed_at(session, config, step=position.step, steps=steps),
        )
    )

    # 4. export
    if outcome == "finished":
        export(session, engine, tokens, trainable, step=position.step, begin=begin)
    return outcome


def _evaluator(
    session: Session,
    config: PretrainConfig | SFTConfig,
    material: Material,
    engine: Engine,
    objective: NextToken,
    position: Position,
) -> Callable[[], Evaluated | None] | None:
    """Return what evaluates the model as it stands at `position`, None without held-out rows."""

    def evaluate_now() -> Evaluated | None:
        return evaluate(
            engine,
            objective,
            material.held_out,
            micro_size=config.batch.micro_size,
            limit=config.cadence.evaluate_sequences,
            step=position.step,
            pad_to=_pad_to(config),
            is_leaving=lambda: session.leaving() is not None,
        )

    return evaluate_now if material.held_out_sequences else None


def _pad_to(config: PretrainConfig | SFTConfig) -> int | None:
    """Return the tokens to which a micro-batch is padded, so that compiled layers see one shape."""
    return config.batch.micro_size * config.batch.sequence_length if config.model.compile else None


def _facts(config: PretrainConfig | SFTConfig, material: Material) -> Facts:
    return {
        "tokens_per_step": config.batch.size * config.batch.sequence_length,
        "train_sequences": len(material.train),
        "held_out_sequences": material.held_out_sequences,
        "train_tokens": material.tokens.manifest.train.tokens,
    }
