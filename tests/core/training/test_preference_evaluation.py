"""Held-out pairs by hand: what a reward model's scores say, and that rows count once however they are dealt out."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.config.alignment import DirectPreference, RewardModelling
from core.training.held_out import HeldOut, series_of_group
from core.training.pairs import PairRows
from core.training.preference_evaluation import (
    Examination,
    calibration_words,
    evaluate_preferences,
    evaluate_scores,
    score_statistics,
)
from core.training.preference_objectives import DirectPreferences, PairwiseReward
from tests.core.training.preference_models import JUDGED, LENGTH, PAIRS, READING, batches_of, known, tiny_model
from tests.core.training.preferences import PreferenceShards


def examination(documents: Any, *, micro_size: int, reference: Any = None, limit: int | None = None,
                leaves: bool = False) -> Examination:  # fmt: skip
    config: Any = SimpleNamespace(
        batch=SimpleNamespace(micro_size=micro_size, sequence_length=LENGTH), model=SimpleNamespace(compile=False),
        cadence=SimpleNamespace(evaluate_sequences=limit),
    )  # fmt: skip
    shards: Any = PreferenceShards(documents)
    whole = PairRows(shards, length=LENGTH, mismatched=reference is not None)
    references = None if reference is None else known(whole, reference)

    def part(documents: range) -> PairRows:
        return PairRows(
            shards, length=LENGTH, mismatched=reference is not None, documents=documents, references=references
        )

    split = len(documents) // 2
    parts = [HeldOut("first", part(range(split))), HeldOut(None, part(range(split, len(documents))))]
    return Examination(config, parts, lambda: leaves)


def engine_of(model: Any) -> Any:
    return SimpleNamespace(
        device=torch.device("cpu"), model=model, call=lambda function, *rest: function(model, *rest)
    )


def test_statistics_by_hand() -> None:
    scores = torch.tensor([[2.0, 0.0], [1.0, 1.0], [0.0, 4.0], [3.0, 1.0]], dtype=torch.float64)
    found = score_statistics(scores)
    assert found["eval/accuracy"] == pytest.approx(2.5 / 4)
    assert found["eval/margin"] == pytest.approx(0.0)
    assert (found["eval/chosen_mean"], found["eval/rejected_mean"]) == (1.5, 1.5)
    assert found["eval/score_spread"] == pytest.approx((14 / 8) ** 0.5)  # squares of 0.5, 1.5, 2.5 from 1.5
    assert found["eval/score_p50"] == 1.0
    assert found["eval/confidence"] == pytest.approx((0.880797 * 2 + 0.5 + 0.982014) / 4, abs=1e-6)


@pytest.mark.parametrize(
    ("accuracy", "confidence", "words"),
    [(0.6, 0.9, "too sure"), (0.9, 0.6, "could be surer"), (0.7, 0.71, "about as sure")],
)
def test_calibration_in_words(accuracy: float, confidence: float, words: str) -> None:
    assert words in calibration_words(accuracy, confidence, 0.3)


@pytest.mark.parametrize("micro_size", [1, 3])
def test_scores_of_held_out_pairs(scorer: Any, micro_size: int) -> None:
    objective = PairwiseReward(READING, RewardModelling(centring=0.2))
    found = evaluate_scores(engine_of(scorer), objective, examination(PAIRS, micro_size=micro_size), step=3)
    assert found is not None
    losses = [objective(scorer, batch).sums for batch in batches_of(PAIRS, [[n] for n in range(5)])]
    each = [pairwise.item() + 0.2 * centring.item() for pairwise, centring in losses]
    assert found.values["eval/loss"] == pytest.approx(sum(each) / 5, abs=1e-5)
    assert found.values[series_of_group("first")] == pytest.approx(sum(each[:2]) / 2, abs=1e-5)
    assert (found.step, found.tokens) == (3, sum(len(ids) for ids, _ in PAIRS))


@pytest.mark.parametrize("micro_size", [1, 4])
def test_kto_on_held_out_rows_has_one_reference_point_for_all(policy: Any, micro_size: int) -> None:
    documents = JUDGED
    objective = DirectPreferences(READING, DirectPreference(loss="kto", beta=0.5))
    found, whole = (
        evaluate_preferences(
            engine_of(policy), objective, examination(documents, micro_size=size, reference=tiny_model()), step=1
        )
        for size in (micro_size, 2)
    )
    assert found is not None
    assert whole is not None
    assert found.values == pytest.approx(whole.values, abs=1e-5)
    assert found.values["eval/reference_point"] > 0.01
    assert found.tokens == whole.tokens == sum(len(ids) for ids, _ in documents)


def test_a_run_that_leaves_shows_nothing(scorer: Any, policy: Any) -> None:
    scores = PairwiseReward(READING, RewardModelling())
    assert evaluate_scores(engine_of(scorer), scores, examination(PAIRS, micro_size=2, leaves=True), step=1) is None
    leaving = examination(PAIRS, micro_size=2, reference=tiny_model(), leaves=True)
    objective = DirectPreferences(READING, DirectPreference())
    assert evaluate_preferences(engine_of(policy), objective, leaving, step=1) is None


def test_a_limit_holds_for_each_part(scorer: Any) -> None:
    objective = PairwiseReward(READING, RewardModelling())
    found = evaluate_scores(engine_of(scorer), objective, examination(PAIRS, micro_size=2, limit=1), step=1)
    assert found is not None
    assert found.tokens == len(PAIRS[0][0]) + len(PAIRS[2][0])


def test_a_score_that_is_no_number_is_said_and_ends_nothing() -> None:
    values = score_statistics(torch.tensor([[1.0, 0.0], [float("nan"), 0.0]], dtype=torch.float64))
    assert math.isnan(values["eval/calibration_error"])
    assert values["eval/accuracy"] == 0.5
    found = calibration_words(values["eval/accuracy"], values["eval/confidence"], values["eval/calibration_error"])
    assert "are not numbers" in found
