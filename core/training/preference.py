"""What training on preferences shares: prepared pairs, where an attempt begins, what a run says of itself."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from core.config.phases import DPOConfig, RewardConfig
from core.data.manifest import Split
from core.data.tokens.shards import TokenShards
from core.data.tokens.templates import render_prompt
from core.errors import DataError
from core.model.load import resolve_model
from core.run.events import Notice, Series, Started
from core.run.session import Session
from core.training.batches import Batches, Deal
from core.training.device import choose_device, device_name, resolve_dtype
from core.training.engine import Engine
from core.training.held_out import HeldOut, empty_groups, group_series, held_out_parts
from core.training.optimizers import optimizer_words, paging_words, state_bytes
from core.training.pairs import PairBatch, PairRow, PairRows, References
from core.training.preference_evaluation import padded_tokens
from core.training.resume import Position, fingerprint
from core.training.setup import SERIES, Tokens, check_space, prepared_tokens, resume, seed_everything
from core.training.trainable import Trainable

SHARED_SERIES = (
    *(series for series in SERIES if series.name != "eval/perplexity"),
    Series(name="train/accuracy", title="accuracy", panel="accuracy"),
    Series(name="train/margin", title="margin", panel="margin"),
    Series(name="eval/accuracy", title="held-out accuracy", panel="accuracy", lower_is_better=False),
    Series(name="eval/margin", title="held-out margin", panel="margin", lower_is_better=False),
)
"""Of every phase that tells better answers from worse ones. A margin has no unit: it is a difference of rewards."""


@dataclass(frozen=True)
class Preferences:
    """Prepared preferences of a phase, and how they become rows: sides of at most `length` tokens.

    mismatched: each prompt stands also before other rows' answers.
    """

    tokens: Tokens
    model_folder: Path | None
    length: int
    mismatched: bool = False

    def rows(
        self, split: Split, *, documents: range | None = None, references: Mapping[Split, References] | None = None
    ) -> PairRows:
        """Return the documents of a split, or these of it, as rows with what is known of them."""
        shards = TokenShards(self.tokens.folder, split)
        known = None if references is None else references.get(split)
        return PairRows(
            shards, length=self.length, documents=documents, mismatched=self.mismatched, references=known
        )

    def held_out(self, references: Mapping[Split, References] | None = None) -> tuple[HeldOut[PairRow], ...]:
        """Return the held-out rows in parts by group."""
        return held_out_parts(
            self.tokens.manifest.held_out,
            lambda documents: self.rows("held_out", documents=documents, references=references),
        )

    @property
    def splits(self) -> tuple[Split, ...]:
        """The splits that have documents."""
        return tuple(split for split, record in self.tokens.manifest.splits.items() if record.documents)

    @property
    def judged(self) -> int:
        """Number of documents, in both splits, that are one answer judged good or bad and no pair."""
        return sum(record.judged for record in self.tokens.manifest.splits.values())

    def prompt_ids(self, prompt: str) -> list[int]:
        """Return the tokens of a prompt, as training laid them. Raises: DataError where it cannot be asked so."""
        manifest = self.tokens.manifest
        return render_prompt(self.tokens.folder / "tokenizer", manifest.template, prompt, manifest.code_tokens)

    def check_pairs(self, wanted: str) -> None:
        """Raise DataError where a document is no pair: `wanted` says what needs pairs."""
        if self.judged:
            raise DataError(
                f"{self.tokens.folder}: {self.judged} rows are one answer that was judged good or bad, and {wanted} "
                f"compares two answers to a prompt",
                hint="Give rows with a better and a worse answer, or train with phase dpo and dpo.loss: kto.",
            )


def prepared_preferences(
    config: RewardConfig | DPOConfig, session: Session, *, mismatched: bool = False
) -> Preferences:
    """Return the preferences of `config`, prepared now unless they lie in the cache or an earlier run made them.

    Raises: PreparationStopped where the run is to leave meanwhile; DataError where a side is longer than a sequence;
    UsageError.
    """
    disable_progress_bar()  # transformers draws bars into the log of a run
    # And bitsandbytes warns, also where nothing is in 4 bits, that a faster product it could fetch is not there.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    folder = resolve_model(
        config.model,
        session.run.home,
        progress=session.progress,
        session=session,
        scoring=isinstance(config, RewardConfig),  # one reward model may begin with another
    )
    tokens = prepared_tokens(config, session, kind="preferences", model=folder)
    found = Preferences(tokens, folder, config.batch.sequence_length, mismatched)
    for split in found.splits:
        found.rows(split).check_length()
    return found


@dataclass(frozen=True)
class Place:
    """Where a run computes: its device, and the type of its products."""

    device: torch.device
    dtype: Any

    @classmethod
    def of(cls, config: RewardConfig | DPOConfig) -> Place:
        """Choose the device, and seed every generator."""
        device = choose_device()
        dtype = resolve_dtype(config.precision, device)
        seed_everything(config)
        return cls(device, dtype)


def dealt_out(config: RewardConfig | DPOConfig) -> Deal:
    """Return how pairs are dealt out over steps and micro-batches."""
    batch = config.batch
    return Deal(batch.size, batch.micro_size, seed=config.seed, pad_to=padded_tokens(config))


@dataclass(frozen=True)
class Beginning:
    """What an attempt at a run on preferences begins with.

    series: all that the phase shows, but for those of groups. digests: of what the run reads besides data and base.
    guess_loss: what the loss is where nothing is known of the answers, None where that says nothing.
    """

    preferences: Preferences
    trainable: Trainable
    engine: Engine
    batches: Batches[PairBatch]
    held_out: tuple[HeldOut[PairRow], ...]
    steps: int
    series: tuple[Series, ...]
    digests: Mapping[str, str] = field(default_factory=dict)
    guess_loss: float | None = None


def begin_attempt(
    config: RewardConfig | DPOConfig, session: Session, beginning: Beginning, *, allow_inexact: bool
) -> tuple[Position, Mapping[str, Any]]:
    """Say what is trained, put back the newest checkpoint, and return where the run stands and what must stay so.

    Raises: what `resume` and `check_space` raise.
    """
    engine, manifest = beginning.engine, beginning.preferences.tokens.manifest
    digests = {"data": manifest.digest, "base": beginning.trainable.base_digest, **beginning.digests}
    marks = fingerprint(config, digests=digests, device=engine.device, dtype=engine.dtype)
    series = (*beginning.series, *group_series(beginning.held_out))
    session.start(
        Started(phase=config.phase, steps=beginning.steps, series=series, facts=_facts(config, beginning))
    )
    for notice in empty_groups(beginning.held_out):
        session.emit(notice)
    if words := paging_words(config.optimizer, engine.device):
        session.emit(Notice(level="warning", code="not_paged", message=words))
    position = resume(session, engine, beginning.batches, marks, steps=beginning.steps, allow_inexact=allow_inexact)
    session.step = position.step
    check_space(session, engine, keep=config.cadence.keep_checkpoints)
    return position, marks


def _facts(config: RewardConfig | DPOConfig, beginning: Beginning) -> dict[str, str | int | float | bool]:
    batch, engine, manifest = config.batch, beginning.engine, beginning.preferences.tokens.manifest
    return {
        "device": device_name(engine.device),
        "dtype": engine.dtype,
        "threads": torch.get_num_threads(),
        **beginning.trainable.facts,
        "trainable_parameters": sum(parameter.numel() for parameter in engine.parameters.values()),
        "packing": beginning.trainable.reading.packing,
        "accumulation": batch.size // batch.micro_size,
        "train_pairs": manifest.train.documents - manifest.train.judged,
        "held_out_pairs": manifest.held_out.documents - manifest.held_out.judged,
        "judged_answers": beginning.preferences.judged,
        "train_tokens": manifest.train.tokens,
        "vocabulary_size": manifest.vocabulary_size,
        **({} if beginning.guess_loss is None else {"guess_loss": beginning.guess_loss}),
        "max_grad_norm": config.optimizer.max_grad_norm or 0.0,
        "optimizer": optimizer_words(config.optimizer, engine.optimizer, engine.device),
        "optimizer_bytes": state_bytes(engine.optimizer),
        "torch": torch.__version__,
    }
