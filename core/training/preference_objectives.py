"""What a reward model and a policy that is aligned to preferences minimise, on packed pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

import torch
from torch import Tensor

from core.config.alignment import DirectPreference, RewardModelling
from core.model.batch import PackedBatch
from core.model.dropout import evaluating
from core.model.log_probs import sums_by_document, target_log_probs
from core.model.reading import Reading
from core.model.roles import Role, activate
from core.model.scalar_head import document_scores
from core.training.engine import Engine
from core.training.objectives import Terms
from core.training.pairs import PairBatch
from core.training.preference_losses import (
    centring_loss,
    hinge_loss,
    ipo_loss,
    kto_loss,
    kto_reference_point,
    length_normalised,
    odds_ratio_loss,
    pairwise_loss,
    preferred,
    sigmoid_loss,
)


@dataclass(frozen=True)
class PairwiseReward:
    """The better answer's score above the worse one's; a second term keeps scores around zero where it has weight."""

    reading: Reading
    settings: RewardModelling

    @property
    def weights(self) -> tuple[float, ...]:
        """1, and the weight of the centring where there is one."""
        return (1.0, self.settings.centring) if self.settings.centring else (1.0,)

    @property
    def guess_loss(self) -> float:
        """The loss in nats where every score is zero: ln 2, more with a margin."""
        return math.log1p(math.exp(self.settings.margin))

    def count(self, batch: PairBatch) -> tuple[float, ...]:
        """Return the number of pairs, for each term."""
        return (batch.pairs,) * len(self.weights)

    def __call__(self, model: Any, batch: PairBatch) -> Terms:
        """Return the SUM of each term over pairs, and how many pairs are told right and by how much."""
        scores = document_scores(model, self.reading, batch.packed)
        better, worse = scores[batch.better], scores[batch.worse]
        return Terms(tuple(term.sum() for term in self.terms(better, worse)), _shown(better, worse))

    def terms(self, better: Tensor, worse: Tensor) -> list[Tensor]:
        """Return each term of each pair, (pairs,)."""
        terms = [pairwise_loss(better, worse, margin=self.settings.margin)]
        return [*terms, centring_loss(better, worse)] if self.settings.centring else terms


@dataclass(frozen=True)
class DirectPreferences:
    """DPO and its kin on the log-probabilities of answers; a second term is the likelihood of the better ones.

    reference: the model that training began with, for batches that do not know its log-probabilities; policy: how the
    trained model is reached again then. Both None where batches know.
    """

    reading: Reading
    settings: DirectPreference
    policy: Role | None = None
    reference: Role | None = None

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of the preference, and that of the likelihood where there is one."""
        if self.settings.loss == "orpo":  # L = L_SFT + lambda L_OR: equation 6
            return (self.settings.beta, 1.0)
        return (1.0, self.settings.likelihood_weight) if self.settings.likelihood_weight else (1.0,)

    @property
    def guess_loss(self) -> float | None:
        """The loss in nats of a policy that prefers neither answer: ln 2 for sigmoid alone, None for others."""
        return math.log(2) if self.settings.loss == "sigmoid" and len(self.weights) == 1 else None

    def count(self, batch: PairBatch) -> tuple[float, ...]:
        """Return the number of pairs, of answers for kto; and of tokens of better answers."""
        items = batch.documents if self.settings.loss == "kto" else batch.pairs
        return (items, batch.better_tokens)[: len(self.weights)]

    def __call__(self, model: Any, batch: PairBatch) -> Terms:
        """Return the SUM of each term over its items, and the implied rewards of the answers.

        A reward is beta times what the loss compares: the log-ratio to the reference, of a token where the loss divides
        by length; for orpo the mean log-probability.
        """
        reference = self._reference(batch)
        sums = answer_log_probs(model, self.reading, batch.packed)
        compared = self._compared(sums, reference, batch.packed)
        terms = [self._losses(compared, batch).sum()]
        if len(self.weights) == 2:
            terms.append(-torch.where(batch.is_good, sums, 0).sum())
        rewards = self.settings.beta * compared.detach()
        metrics: dict[str, tuple[Tensor, float]] = {
            "train/chosen_reward": (torch.where(batch.is_good, rewards, 0).sum(), batch.good),
            "train/rejected_reward": (torch.where(batch.is_good, 0, rewards).sum(), batch.documents - batch.good),
        }
        if batch.pairs:
            metrics.update(_shown(rewards[batch.better], rewards[batch.worse]))
        if batch.reference_point is not None:
            metrics["train/reference_point"] = (batch.reference_point * batch.documents, batch.documents)
        return Terms(tuple(terms), metrics)

    def _losses(self, compared: Tensor, batch: PairBatch) -> Tensor:
        settings, better, worse = self.settings, compared[batch.better], compared[batch.worse]
        match settings.loss:
            case "sigmoid":
                return sigmoid_loss(better - worse, beta=settings.beta, label_smoothing=settings.label_smoothing)
            case "ipo":
                return ipo_loss(better - worse, beta=settings.beta)
            case "hinge":
                return hinge_loss(better - worse, beta=settings.beta)
            case "orpo":
                return odds_ratio_loss(better, worse)
            case "kto":
                assert batch.reference_point is not None, "batches of kto carry the reference point of their step"
                weights = {"good_weight": settings.good_weight, "bad_weight": settings.bad_weight}
                return kto_loss(compared, batch.is_good, batch.reference_point, beta=settings.beta, **weights)
            case _ as never:
                assert_never(never)

    def _compared(self, sums: Tensor, reference: Tensor | None, packed: PackedBatch) -> Tensor:
        """Return what the loss compares of each answer: log-ratios, of a token where it divides by length."""
        compared = sums if reference is None else sums - reference
        return length_normalised(compared, answer_lengths(packed)) if self.divides_by_length else compared

    @property
    def divides_by_length(self) -> bool:
        """Whether log-probabilities are means over tokens: ipo's as its authors have it, orpo's by its equation 2."""
        return self.settings.length_normalised or self.settings.loss in ("ipo", "orpo")

    def _reference(self, batch: PairBatch) -> Tensor | None:
        if self.settings.loss == "orpo":
            return None
        return batch.references if batch.references is not None else self._asked(batch.packed)

    def _asked(self, packed: PackedBatch) -> Tensor:
        assert self.policy is not None
        assert self.reference is not None
        try:
            with torch.no_grad(), evaluating(self.reference.model):
                return answer_log_probs(activate(self.reference), self.reading, packed)
        finally:
            activate(self.policy)

    def mismatched_log_ratios(self, model: Any, batch: PairBatch) -> Tensor:
        """Return what kto's loss compares of answers to prompts that are not their own, (documents,), no gradient."""
        packed = batch.mismatched
        assert packed is not None, "rows of kto carry other rows' answers"
        known = batch.mismatched_references
        reference = self._asked(packed) if known is None else known
        with torch.no_grad(), evaluating(model):
            return self._compared(answer_log_probs(model, self.reading, packed), reference, packed)


def with_reference_point(engine: Engine, objective: DirectPreferences, batches: Sequence[PairBatch]) -> list[PairBatch]:
    """Return the micro-batches of a step, each with KTO's reference point of the whole step.

    So it does not depend on how rows are dealt out over micro-batches, and a step of one row has one too.
    """
    ratios = [engine.call(objective.mismatched_log_ratios, batch.to(engine.device)) for batch in batches]
    point = kto_reference_point(torch.cat(ratios))
    return [replace(batch, reference_point=point) for batch in batches]


def answer_log_probs(model: Any, reading: Reading, packed: PackedBatch) -> Tensor:
    """Return log p(answer | prompt) in nats of each document, the sum over its targets: (documents,)."""
    return sums_by_document(target_log_probs(model, reading, packed).values, packed)


def answer_lengths(packed: PackedBatch) -> Tensor:
    """Return the number of targets of each document, (documents,) float32."""
    count = packed.targets.new_ones(packed.target_tokens, dtype=torch.float32)
    return sums_by_document(count, packed)


def _shown(better: Tensor, worse: Tensor) -> dict[str, tuple[Tensor, float]]:
    better, worse = better.detach(), worse.detach()
    return {
        "train/accuracy": (preferred(better, worse).sum(), len(better)),
        "train/margin": ((better - worse).sum(), len(better)),
    }
