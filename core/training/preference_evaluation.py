"""Held-out pairs: how a policy and a reward model tell better answers from worse ones."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from core.config.phases import DPOConfig, RewardConfig
from core.model.dropout import evaluating
from core.model.scalar_head import document_scores
from core.run.events import Evaluated
from core.training.batches import in_order
from core.training.engine import Engine
from core.training.held_out import HeldOut, series_of_group
from core.training.objectives import Terms
from core.training.pairs import PairBatch, PairRow, pack_pairs
from core.training.preference_losses import calibration_error, kto_reference_point, preferred
from core.training.preference_objectives import DirectPreferences, PairwiseReward

_QUANTILES = (0.05, 0.5, 0.95)


@dataclass
class Examination:
    """Held-out pairs in parts by group, and how they are taken: as `config` says, until `is_leaving` turns true."""

    config: RewardConfig | DPOConfig
    parts: Sequence[HeldOut[PairRow]]
    is_leaving: Callable[[], bool]
    tokens: int = field(default=0, init=False)

    def batches(self, part: HeldOut[PairRow]) -> Iterator[PairBatch]:
        """Yield the rows of a part in order, and count their tokens. Raises: LeftError."""
        batch, limit = self.config.batch, self.config.cadence.evaluate_sequences
        pad_to = padded_tokens(self.config)
        for found in in_order(part.rows, micro_size=batch.micro_size, limit=limit, pad_to=pad_to, pack=pack_pairs):
            if self.is_leaving():
                raise LeftError
            self.tokens += found.tokens
            yield found


class LeftError(Exception):
    """The run is to leave before its held-out pairs are gone through."""


def padded_tokens(config: RewardConfig | DPOConfig) -> int | None:
    """Return the tokens to which a micro-batch of pairs is padded, so that compiled layers see one shape."""
    batch = config.batch
    return 2 * batch.micro_size * batch.sequence_length if config.model.compile else None


def evaluate_preferences(
    engine: Engine, objective: DirectPreferences, examination: Examination, *, step: int
) -> Evaluated | None:
    """Return loss, accuracy, margin and implied rewards over all held-out rows, and the loss of each group.

    Each pair counts as much as any other. KTO's reference point is that of all the rows that are taken.
    Returns None where the run is to leave on the way.
    """
    begin = time.monotonic()
    total = _Sums()
    values: dict[str, float] = {}
    with torch.no_grad(), evaluating(engine.model):
        try:
            point = _reference_point(engine, objective, examination)
            for part in examination.parts:
                of_part = _Sums()
                for batch in examination.batches(part):
                    told = batch if point is None else replace(batch, reference_point=point)
                    found = engine.call(objective, told.to(engine.device))
                    of_part.add(found, objective.count(batch))
                total.merge(of_part)
                if part.group is not None and of_part.counts and of_part.counts[0]:
                    values[series_of_group(part.group)] = of_part.loss(objective.weights)
        except LeftError:
            return None
    values = {"eval/loss": total.loss(objective.weights), **total.means(), **values}
    return Evaluated(step=step, values=values, tokens=examination.tokens, seconds=time.monotonic() - begin)


def _reference_point(engine: Engine, objective: DirectPreferences, examination: Examination) -> Tensor | None:
    if objective.settings.loss != "kto":
        return None
    ratios = [
        engine.call(objective.mismatched_log_ratios, batch.to(engine.device))
        for part in examination.parts
        for batch in examination.batches(part)
    ]
    examination.tokens = 0
    return kto_reference_point(torch.cat(ratios))


@dataclass
class _Sums:
    """Sums of loss terms with their counts, and of what is shown besides."""

    terms: list[float] = field(default_factory=list)
    counts: list[float] = field(default_factory=list)
    shown: dict[str, tuple[float, float]] = field(default_factory=dict)

    def add(self, found: Terms, counts: Sequence[float]) -> None:
        shown = {name: (float(total), items) for name, (total, items) in found.metrics.items()}
        self.merge(_Sums([float(term) for term in found.sums], list(counts), shown))

    def merge(self, other: _Sums) -> None:
        self.terms = _added(self.terms, other.terms)
        self.counts = _added(self.counts, other.counts)
        for name, (total, items) in other.shown.items():
            before = self.shown.get(name, (0.0, 0.0))
            self.shown[name] = before[0] + total, before[1] + items

    def loss(self, weights: Sequence[float]) -> float:
        if not any(self.counts):
            return math.nan
        parts = zip(weights, self.terms, self.counts, strict=True)
        return math.fsum(weight * term / (count or 1) for weight, term, count in parts)

    def means(self) -> dict[str, float]:
        """Return what is shown, under the names of held-out series."""
        return {
            name.replace("train/", "eval/", 1): total / items for name, (total, items) in self.shown.items() if items
        }


def _added(one: list[float], other: list[float]) -> list[float]:
    return [a + b for a, b in zip(one or [0.0] * len(other), other or [0.0] * len(one), strict=True)]


def evaluate_scores(
    engine: Engine, objective: PairwiseReward, examination: Examination, *, step: int
) -> Evaluated | None:
    """Return loss, accuracy, margin, calibration and the distribution of scores over all held-out pairs.

    And the loss of each group. Returns None where the run is to leave on the way.
    """
    begin = time.monotonic()
    of_parts: list[tuple[str | None, Tensor]] = []
    with torch.no_grad(), evaluating(engine.model):
        try:
            for part in examination.parts:
                pairs = [_pair_scores(engine, objective, batch) for batch in examination.batches(part)]
                of_parts.append((part.group, torch.cat(pairs) if pairs else torch.empty(0, 2)))
        except LeftError:
            return None
    scores = torch.cat([found.cpu() for _, found in of_parts]).double()
    values = {"eval/loss": _mean_loss(objective, scores), **score_statistics(scores)}
    for group, found in of_parts:
        if group is not None and len(found):
            values[series_of_group(group)] = _mean_loss(objective, found.cpu().double())
    return Evaluated(step=step, values=values, tokens=examination.tokens, seconds=time.monotonic() - begin)


def _pair_scores(engine: Engine, objective: PairwiseReward, batch: PairBatch) -> Tensor:
    """Return the scores of the better and of the worse answers: (pairs, 2)."""
    there = batch.to(engine.device)
    scores = engine.call(document_scores, objective.reading, there.packed)
    return torch.stack([scores[there.better], scores[there.worse]], 1)


def _mean_loss(objective: PairwiseReward, scores: Tensor) -> float:
    terms = objective.terms(scores[:, 0], scores[:, 1])
    return math.fsum(weight * float(term.mean()) for weight, term in zip(objective.weights, terms, strict=True))


def score_statistics(scores: Tensor) -> dict[str, float]:
    """Return what held-out scores (pairs, 2) of better and worse answers say of a reward model, by series.

    confidence: the mean probability that it gives to the answer it prefers. The spread is the standard deviation of all
    scores, the quantiles are theirs too.
    """
    better, worse = scores[:, 0], scores[:, 1]
    differences = better - worse
    every = scores.flatten()
    quantiles = torch.quantile(every, torch.tensor(_QUANTILES, dtype=every.dtype)) if len(every) else [math.nan] * 3
    return {
        "eval/accuracy": float(preferred(better, worse).mean()),
        "eval/margin": float(differences.mean()),
        "eval/confidence": float(torch.sigmoid(differences.abs()).mean()),
        "eval/calibration_error": calibration_error(differences),
        "eval/chosen_mean": float(better.mean()),
        "eval/rejected_mean": float(worse.mean()),
        "eval/score_spread": float(every.std(correction=0)),
        **{f"eval/score_p{round(q * 100):02d}": float(v) for q, v in zip(_QUANTILES, quantiles, strict=True)},
    }


def calibration_words(accuracy: float, confidence: float, error: float) -> str:
    """Return in a sentence whether a reward model is as sure as it is right."""
    if math.isnan(confidence):
        return "some scores of held-out answers are not numbers: nothing can be said of how sure it is"
    match round(100 * (confidence - accuracy)):
        case much if much > 2:
            judged = "it is too sure of itself"
        case little if little < -2:
            judged = "it could be surer of itself"
        case _:
            judged = "it is about as sure as it is right"
    return (
        f"of the held-out pairs it tells {accuracy:.0%} right, and gives the answer that it prefers a probability of "
        f"{confidence:.0%} on average: {judged} (expected calibration error {error:.3f})"
    )
