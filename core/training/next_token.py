"""What pre-training and supervised fine-tuning share: next-token prediction on rows, from model to export.

The phases differ in where rows come from and which targets count; from there on the work is the same.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from transformers.utils.logging import disable_progress_bar

from core.config.phases import PretrainConfig, SFTConfig
from core.data.tokens.templates import TemplateName, render_prompt
from core.run.events import Evaluated, Notice, Sampled, Started
from core.run.session import Outcome, Session
from core.training.batches import Batches, Deal, Row, Rows
from core.training.device import choose_device, device_name, resolve_dtype
from core.training.engine import Engine
from core.training.evaluate import evaluate
from core.training.held_out import HeldOut, empty_groups, group_series
from core.training.loop import Work, fit
from core.training.objectives import NextToken
from core.training.optimizers import optimizer_words, paging_words, state_bytes
from core.training.resume import Position, fingerprint
from core.training.sample import sample
from core.training.setup import (
    SERIES,
    Tokens,
    check_space,
    export,
    owed_at,
    planned_steps,
    resume,
    seed_everything,
)
from core.training.trainable import Trainable, trainable_model


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
    disable_progress_bar()  # transformers draws bars into the log of a run
    # And bitsandbytes warns, also where nothing is in 4 bits, that a faster product it could fetch is not there.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    tokens, batch = material.tokens, config.batch
    for prompt in config.sampling.prompts:  # one that cannot be asked ends the run now and not after its last step
        material.prompt_ids(prompt)
    steps = planned_steps(config, len(material.train))

    # 1. model, objective, optimizer
    device = choose_device()
    dtype = resolve_dtype(config.precision, device)
    seed_everything(config)
    with session.section("loading"):
        folder = material.model_folder
        trainable = trainable_model(config, tokens.manifest, folder, device=device, dtype=dtype)
        engine = Engine(trainable.model, config.optimizer, device=device, dtype=dtype)
    objective = NextToken(trainable.reading)

    # 2. the order of the data, and where in it this attempt begins
    deal = Deal(batch.size, batch.micro_size, seed=config.seed, pad_to=_pad_to(config))
    batches = Batches(material.train, deal)
    digests = {"data": tokens.manifest.digest, "base": trainable.base_digest}
    marks = fingerprint(config, digests=digests, device=device, dtype=dtype)
    facts = _facts(config, engine, trainable, material)
    series = (*SERIES, *group_series(material.held_out))
    session.start(Started(phase=config.phase, steps=steps, series=series, facts=facts))
    for notice in empty_groups(material.held_out):
        session.emit(notice)
    if words := paging_words(config.optimizer, device):
        session.emit(Notice(level="warning", code="not_paged", message=words))
    position = resume(session, engine, batches, marks, steps=steps, allow_inexact=allow_inexact)
    session.step = position.step
    check_space(session, engine, keep=config.cadence.keep_checkpoints)

    # 3. train
    evaluate_now, sample_now = _examinations(session, config, material, engine, objective, position)
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
            evaluate=evaluate_now if material.held_out_sequences else None,
            sample=sample_now,
            owed=owed_at(session, config, step=position.step, steps=steps),
        )
    )

    # 4. export
    if outcome == "finished":
        export(session, engine, tokens, trainable, step=position.step, begin=begin)
    return outcome


def _examinations(
    session: Session,
    config: PretrainConfig | SFTConfig,
    material: Material,
    engine: Engine,
    objective: NextToken,
    position: Position,
) -> tuple[Callable[[], Evaluated | None], Callable[[], list[Sampled]]]:
    """Return what evaluates, and what samples, the model as it stands at `position`."""

    def is_leaving() -> bool:
        return session.leaving() is not None

    def evaluate_now() -> Evaluated | None:
        return evaluate(
            engine,
            objective,
            material.held_out,
            micro_size=config.batch.micro_size,
            limit=config.cadence.evaluate_sequences,
            step=position.step,
            pad_to=_pad_to(config),
            is_leaving=is_leaving,
        )

    def sample_now() -> list[Sampled]:
        return sample(
            engine,
            material.tokens.folder / "tokenizer",
            config.sampling,
            seed=config.seed,
            step=position.step,
            prompt_ids=material.prompt_ids,
            is_leaving=is_leaving,
        )

    return evaluate_now, sample_now


def _pad_to(config: PretrainConfig | SFTConfig) -> int | None:
    """Return the tokens to which a micro-batch is padded, so that compiled layers see one shape."""
    return config.batch.micro_size * config.batch.sequence_length if config.model.compile else None


def _facts(
    config: PretrainConfig | SFTConfig, engine: Engine, trainable: Trainable, material: Material
) -> Mapping[str, str | int | float | bool]:
    batch = config.batch
    return {
        "device": device_name(engine.device),
        "dtype": engine.dtype,
        "threads": torch.get_num_threads(),
        **trainable.facts,
        "packing": trainable.reading.packing,
        "accumulation": batch.size // batch.micro_size,
        "tokens_per_step": batch.size * batch.sequence_length,
        "train_sequences": len(material.train),
        "held_out_sequences": material.held_out_sequences,
        "train_tokens": material.tokens.manifest.train.tokens,
        "vocabulary_size": material.tokens.manifest.vocabulary_size,
        "max_grad_norm": config.optimizer.max_grad_norm or 0.0,
        "optimizer": optimizer_words(config.optimizer, engine.optimizer, engine.device),
        "optimizer_bytes": state_bytes(engine.optimizer),
        "torch": torch.__version__,
    }
