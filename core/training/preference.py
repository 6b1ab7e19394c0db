"""What training on preferences shares: prepared pairs, how they are dealt out, and what a run says of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from core.config.phases import DPOConfig, RewardConfig
from core.data.manifest import Split
from core.data.tokens.shards import TokenShards
from core.data.tokens.templates import render_prompt
from core.errors import DataError
from core.model.load import resolve_model
from core.run.events import Series
from core.run.session import Session
from core.training.batches import Deal
from core.training.beginning import Facts, quiet_libraries
from core.training.held_out import HeldOut, held_out_parts
from core.training.pairs import PairRow, PairRows, References
from core.training.preference_evaluation import padded_tokens
from core.training.setup import SERIES, Tokens, prepared_tokens

SHARED_SERIES = (
    *(series for series in SERIES if series.panel == "loss"),
    Series(name="train/accuracy", title="accuracy", panel="accuracy"),
    Series(name="eval/accuracy", title="held-out accuracy", panel="accuracy", lower_is_better=False),
    Series(name="train/margin", title="margin", panel="margin"),
    Series(name="eval/margin", title="held-out margin", panel="margin", lower_is_better=False),
    *(series for series in SERIES if series.panel not in ("loss", "perplexity")),
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

    def facts(self, guess_loss: float | None) -> Facts:
        """Return what a run says of its preferences, and the loss where nothing is known of them (None: no guess)."""
        train, held_out = self.tokens.manifest.train, self.tokens.manifest.held_out
        return {
            "train_pairs": train.documents - train.judged,
            "held_out_pairs": held_out.documents - held_out.judged,
            "judged_answers": self.judged,
            "train_tokens": train.tokens,
            **({} if guess_loss is None else {"guess_loss": guess_loss}),
        }

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
    quiet_libraries()
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


def dealt_out(config: RewardConfig | DPOConfig) -> Deal:
    """Return how pairs are dealt out over steps and micro-batches."""
    batch = config.batch
    return Deal(batch.size, batch.micro_size, seed=config.seed, pad_to=padded_tokens(config))
