"""Losses and gradients of whole models: TRL's on the same weights, and the same however pairs are dealt out."""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.config.alignment import DirectPreference, RewardModelling
from core.model.reading import Reading
from core.model.roles import Role
from core.training.pairs import PairBatch
from core.training.preference_losses import kto_reference_point
from core.training.preference_objectives import (
    DirectPreferences,
    PairwiseReward,
    answer_log_probs,
    with_reference_point,
)
from tests.core.training.preference_models import (
    JUDGED,
    PAIRS,
    READING,
    batches_of,
    engine_of,
    tiny_model,
)
from tests.core.training.preferences import Document, pair


def step(objective: Any, model: Any, batches: Sequence[PairBatch]) -> tuple[float, dict[str, Tensor], dict[str, float]]:
    """Return loss, gradients and metrics of a step over micro-batches, as the engine divides and adds."""
    counts = [sum(column) for column in zip(*(objective.count(batch) for batch in batches), strict=True)]
    model.zero_grad()
    total = 0.0
    shown: dict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for batch in batches:
        terms = objective(model, batch)
        parts = zip(objective.weights, terms.sums, counts, strict=True)
        loss = torch.stack([weight * term / count for weight, term, count in parts]).sum()
        torch.autograd.backward(loss)
        total += float(loss.detach())
        for name, (value, items) in terms.metrics.items():
            shown[name][0] += float(value)
            shown[name][1] += items
    return total, gradients(model), {name: value / items for name, (value, items) in shown.items() if items}


def gradients(model: Any) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], *, within: float = 1e-5) -> None:
    assert found.keys() == expected.keys()
    for name in found:
        assert (found[name] - expected[name]).abs().max() <= within, name


# As TRL


def stand(trainer: type, model: Any, **attributes: Any) -> Any:
    """Return a trainer of TRL without data and optimizer: with what its loss looks at."""
    from accelerate import Accelerator

    made = object.__new__(trainer)
    made.__dict__ |= {
        "accelerator": Accelerator(cpu=True), "model": model, "aux_loss_enabled": False, "_tp_size": 1,
        "_total_train_tokens": 0, "_metrics": {"train": defaultdict(list), "eval": defaultdict(list)},
        **attributes,
    }  # fmt: skip
    return made


def trl_rows(documents: Sequence[Document]) -> list[dict[str, Any]]:
    rows = []
    for ids, marks in documents:
        split = {mark: [i for i, m in zip(ids, marks, strict=True) if m == mark] for mark in range(4)}
        rows.append({"prompt_ids": split[0], "chosen_ids": split[1], "rejected_ids": split[3]})
    return rows


def trl_direct(
    model: Any, documents: Sequence[Document], loss_types: list[str], **settings: Any
) -> tuple[float, dict[str, list[float]]]:
    dpo = pytest.importorskip("trl.trainer.dpo_trainer")
    from trl.trainer.utils import add_fused_lm_head

    reference, patched = tiny_model(), copy.copy(model)  # a patched forward must not stay on the model
    for each in (reference, patched):
        add_fused_lm_head(each, outputs=("log_probs", "entropy", "mean_logits", "is_top1"))
    trainer = stand(
        dpo.DPOTrainer, patched, ref_model=reference, loss_types=loss_types, precompute_ref_logps=False, ld_alpha=None,
        f_divergence_type="reverse_kl", use_weighting=False,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
        **{"beta": 0.1, "label_smoothing": 0.0, "loss_weights": [1.0] * len(loss_types), **settings},
    )  # fmt: skip
    collated = dpo.DataCollatorForPreference(pad_token_id=0)(trl_rows(documents))
    model.zero_grad()
    loss = trainer._compute_loss(patched, collated, return_outputs=False)
    loss.backward()
    return float(loss.detach()), trainer._metrics["train"]


@pytest.mark.parametrize(
    ("settings", "losses", "more", "rows"),
    [
        ({"beta": 0.3}, ["sigmoid"], {"beta": 0.3}, 5),
        ({"loss": "ipo"}, ["ipo"], {}, 5),
        ({"loss": "hinge"}, ["hinge"], {}, 5),
        ({"beta": 2.0, "length_normalised": True}, ["sigmoid_norm"], {"beta": 2.0}, 5),
        ({"likelihood_weight": 0.4}, ["sigmoid", "sft"], {"loss_weights": [1.0, 0.4]}, 5),
        # Of one pair, where there is nothing to sort, TRL's aot is the label-smoothed loss.
        ({"label_smoothing": 0.2}, ["aot"], {"label_smoothing": 0.2}, 1),
    ],
    ids=["sigmoid", "ipo", "hinge", "length_normalised", "likelihood", "label_smoothing"],
)
def test_direct_losses_and_gradients_are_those_of_trl(
    policy: Any, settings: dict[str, Any], losses: list[str], more: dict[str, Any], rows: int
) -> None:
    documents = PAIRS[:rows]
    expected, shown_by_trl = trl_direct(policy, documents, losses, **more)
    by_trl = gradients(policy)
    objective = DirectPreferences(READING, DirectPreference.model_validate(settings))
    found, by_us, shown = step(objective, policy, batches_of(documents, [range(rows)], reference=tiny_model()))
    assert found == pytest.approx(expected, abs=1e-5)
    assert_close(by_us, by_trl)
    if not objective.divides_by_length:  # TRL shows rewards of whole answers also then
        assert shown["train/chosen_reward"] == pytest.approx(shown_by_trl["rewards/chosen"][0], abs=1e-5)
        assert shown["train/rejected_reward"] == pytest.approx(shown_by_trl["rewards/rejected"][0], abs=1e-5)
        assert shown["train/margin"] == pytest.approx(shown_by_trl["rewards/margins"][0], abs=1e-5)


def test_orpo_is_trl_s_with_the_likelihood_of_answers_alone(policy: Any) -> None:
    """TRL's likelihood term counts prompts too, which the paper's equation 2 does not: ours is put in its place."""
    orpo = pytest.importorskip("trl.experimental.orpo.orpo_trainer")
    trainer = stand(orpo.ORPOTrainer, policy, beta=0.25, is_encoder_decoder=False, padding_value=0)
    rows, collated = trl_rows(PAIRS), {}
    for side in ("chosen", "rejected"):
        for part, fill in (("input_ids", 0), ("attention_mask", 0), ("labels", -100)):
            lines = [orpo_part(row["prompt_ids"], row[f"{side}_ids"], part) for row in rows]
            collated[f"{side}_{part}"] = nn.utils.rnn.pad_sequence(lines, batch_first=True, padding_value=fill)
    policy.zero_grad()
    chosen, rejected, *_ = trainer.concatenated_forward(policy, collated)
    losses, *_ = trainer.odds_ratio_loss(chosen, rejected)
    lengths = torch.tensor([len(row["chosen_ids"]) for row in rows])
    expected = -(chosen * lengths).sum() / lengths.sum() - losses.mean()
    torch.autograd.backward(expected)
    by_trl = gradients(policy)
    objective = DirectPreferences(READING, DirectPreference(loss="orpo", beta=0.25))
    found, by_us, _ = step(objective, policy, batches_of(PAIRS, [[0, 1, 2], [3, 4]]))
    assert found == pytest.approx(expected.item(), abs=1e-5)
    assert_close(by_us, by_trl)


def orpo_part(prompt: list[int], answer: list[int], part: str) -> Tensor:
    values = {
        "input_ids": prompt + answer,
        "attention_mask": [1] * len(prompt + answer),
        "labels": [-100] * len(prompt) + answer,
    }
    return torch.tensor(values[part])


def test_kto_is_trl_s_with_the_same_mismatched_answers(policy: Any) -> None:
    kto = pytest.importorskip("trl.trainer.kto_trainer")
    from trl.trainer.utils import add_fused_lm_head

    reference, patched = tiny_model(), copy.copy(policy)
    for each in (reference, patched):
        add_fused_lm_head(each, outputs=("log_probs", "entropy", "mean_logits"))
    (batch,) = batches_of(JUDGED, [range(4)], reference=reference, mismatched=True)
    assert batch.mismatched is not None
    prompts, answers = ([[i for i, m in zip(*row, strict=True) if m & 1 == part] for row in JUDGED] for part in (0, 1))
    rows = [
        {
            "prompt_ids": prompts[number],
            "completion_ids": answers[number],
            "KL_completion_ids": answers[(number + 2) % 4],
            "label": not JUDGED[number][1][0] & 2,
        }
        for number in range(4)
    ]
    collators = [value for name, value in vars(kto).items() if name.startswith("DataCollator") and "Vision" not in name]
    (collator,) = [each for each in collators if each.__module__ == kto.__name__]
    trainer = stand(
        kto.KTOTrainer, patched, ref_model=reference, beta=0.1, loss_type="kto", calculate_KL=True,
        desirable_weight=1.5, undesirable_weight=0.5, precompute_ref_logps=False,
        args=SimpleNamespace(gradient_checkpointing_kwargs=None),
    )  # fmt: skip
    policy.zero_grad()
    expected = trainer._compute_loss(patched, collator(pad_token_id=0)(rows), return_outputs=False)
    expected.backward()
    by_trl = gradients(policy)
    objective = DirectPreferences(READING, DirectPreference(loss="kto", good_weight=1.5, bad_weight=0.5))
    told = with_reference_point(engine_of(policy), objective, [batch])
    found, by_us, shown = step(objective, policy, told)
    assert shown["train/reference_point"] == pytest.approx(trainer._metrics["train"]["kl"][0], abs=1e-5)
    assert shown["train/reference_point"] > 0.1, "it is cut at 0: nothing was tested"
    assert found == pytest.approx(expected.item(), abs=1e-5)
    assert_close(by_us, by_trl)


@pytest.mark.parametrize("centring", [0.0, 0.3])
def test_the_reward_loss_and_its_gradients_are_those_of_trl(scorer: Any, centring: float) -> None:
    reward = pytest.importorskip("trl.trainer.reward_trainer")
    from transformers import LlamaForSequenceClassification

    config = copy.deepcopy(scorer.config)
    config.num_labels = 1
    classifier = LlamaForSequenceClassification(config)
    classifier.model, classifier.score = scorer.model, scorer.score
    trainer = stand(
        reward.RewardTrainer, classifier, args=SimpleNamespace(center_rewards_coefficient=centring or None)
    )
    rows = [
        {"chosen_ids": row["prompt_ids"] + row["chosen_ids"], "rejected_ids": row["prompt_ids"] + row["rejected_ids"]}
        for row in trl_rows(PAIRS)
    ]
    scorer.zero_grad()
    expected = trainer.compute_loss(classifier, reward.DataCollatorForPreference(pad_token_id=0)(rows))
    expected.backward()
    by_trl = gradients(scorer)
    objective = PairwiseReward(READING, RewardModelling(centring=centring))
    found, by_us, shown = step(objective, scorer, batches_of(PAIRS, [[3, 1], [0, 2, 4]]))
    assert found == pytest.approx(expected.item(), abs=1e-5)
    assert_close(by_us, by_trl)
    assert shown["train/margin"] == pytest.approx(trainer._metrics["train"]["margin"][0], abs=1e-5)
    assert shown["train/accuracy"] == pytest.approx(trainer._metrics["train"]["accuracy"][0])


# What must not change a result

SETTINGS = [
    DirectPreference(loss="sigmoid", label_smoothing=0.1, likelihood_weight=0.2),
    DirectPreference(loss="ipo"),
    DirectPreference(loss="orpo"),
    DirectPreference(loss="kto", bad_weight=0.7),
]


def direct(settings: DirectPreference) -> tuple[Callable[..., Any], str]:
    """Return the step of a policy under these settings, as a function of how rows are dealt out and packed."""

    def taken(policy: Any, parts: Any, *, pad_to: int | None = None, reading: Reading = READING) -> Any:
        is_kto = settings.loss == "kto"
        reference = None if settings.loss == "orpo" else tiny_model()
        batches = batches_of([*PAIRS, *JUDGED] if is_kto else PAIRS, parts, reference=reference, mismatched=is_kto,
                             pad_to=pad_to)  # fmt: skip
        objective = DirectPreferences(reading, settings)
        if is_kto:
            batches = with_reference_point(engine_of(policy), objective, batches)
        return step(objective, policy, batches)

    return taken, settings.loss


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.loss)
def test_dealing_padding_and_packing_change_nothing(policy: Any, settings: DirectPreference) -> None:
    taken, loss = direct(settings)
    everything = list(range(9 if loss == "kto" else 5))
    whole, whole_gradients, shown = taken(policy, [everything])
    others = [
        taken(policy, [[number] for number in reversed(everything)]),
        taken(policy, [everything[:2], everything[2:]], pad_to=400),
        taken(policy, [everything], reading=replace(READING, packing="unpacked")),
    ]
    for found, by_us, shown_too in others:
        assert found == pytest.approx(whole, abs=2e-6)
        assert_close(by_us, whole_gradients)
        assert shown_too == pytest.approx(shown, abs=2e-5)


def test_scores_do_not_depend_on_dealing_padding_and_packing(scorer: Any) -> None:
    objective = PairwiseReward(READING, RewardModelling(margin=0.5, centring=0.1))
    whole, whole_gradients, shown = step(objective, scorer, batches_of(PAIRS, [range(5)]))
    others = [
        step(objective, scorer, batches_of(PAIRS, [[4], [3], [2], [1], [0]])),
        step(objective, scorer, batches_of(PAIRS, [range(2), range(2, 5)], pad_to=400)),
        step(replace(objective, reading=replace(READING, packing="unpacked")), scorer, batches_of(PAIRS, [range(5)])),
    ]
    for found, by_us, shown_too in others:
        assert found == pytest.approx(whole, abs=2e-6)
        assert_close(by_us, whole_gradients)
        assert shown_too == pytest.approx(shown, abs=1e-6)


# What must be so by itself


def test_two_equal_answers_pull_the_head_nowhere(scorer: Any) -> None:
    objective = PairwiseReward(READING, RewardModelling())
    found, by_us, shown = step(objective, scorer, batches_of([pair([3, 4], [5, 6], [5, 6])], [[0]]))
    assert found == pytest.approx(math.log(2), abs=1e-6)
    assert by_us["score.weight"].abs().max() <= 1e-7
    assert shown["train/margin"] == pytest.approx(0, abs=1e-6)


def test_a_swap_turns_the_margin_round(scorer: Any) -> None:
    objective = PairwiseReward(READING, RewardModelling())
    margins = [
        step(objective, scorer, batches_of([pair([3, 4], *answers)], [[0]]))[2]["train/margin"]
        for answers in ([[5, 6], [7]], [[7], [5, 6]])
    ]
    assert margins[0] == pytest.approx(-margins[1], abs=1e-6)
    assert abs(margins[0]) > 1e-3


def test_a_policy_begins_with_margin_0_and_loss_ln_2() -> None:
    model = tiny_model()
    objective = DirectPreferences(READING, DirectPreference())
    found, _, shown = step(objective, model, batches_of(PAIRS, [[2, 0], [1, 4, 3]], reference=model))
    assert found == pytest.approx(math.log(2), abs=1e-6)
    assert shown["train/margin"] == pytest.approx(0, abs=1e-6)
    assert shown["train/chosen_reward"] == pytest.approx(0, abs=1e-6)


def test_a_step_of_one_row_has_a_reference_point_that_is_not_its_own_ratio(policy: Any) -> None:
    """TRL takes the batch's own answers in turn: of one row that is its own, and the loss is flat at 0.5."""
    (batch,) = batches_of(JUDGED, [[1]], reference=tiny_model(), mismatched=True)
    objective = DirectPreferences(READING, DirectPreference(loss="kto"))
    (told,) = with_reference_point(engine_of(policy), objective, [batch])
    assert batch.mismatched is not None
    assert batch.mismatched.input_ids[0].tolist() == [10, 11, 20, 21, 22]
    with torch.no_grad():
        ratio = answer_log_probs(policy, READING, batch.mismatched) - answer_log_probs(
            tiny_model(), READING, batch.mismatched
        )
    assert told.reference_point == pytest.approx(kto_reference_point(ratio).item(), abs=1e-5)


def test_references_asked_at_each_step_are_those_of_the_adapter_switched_off(policy: Any) -> None:
    from core.config.adapter import LoRA
    from core.model.adapters import attach

    base = tiny_model()
    model = attach(copy.deepcopy(base), LoRA(kind="lora", rank=2), seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    settings = DirectPreference(loss="kto")
    roles = Role("policy", model, READING, "default"), Role("reference", model, READING, "")
    results = []
    for reference, objective in (
        (base, DirectPreferences(READING, settings)),
        (None, DirectPreferences(READING, settings, *roles)),
    ):
        batches = batches_of(PAIRS, [[0, 1], [2, 3, 4]], reference=reference, mismatched=True)
        results.append(step(objective, model, with_reference_point(engine_of(model), objective, batches)))
    (kept, by_kept, shown), (asked, by_asked, shown_too) = results
    assert asked == pytest.approx(kept, abs=1e-6)
    assert shown_too == pytest.approx(shown, abs=1e-5)
    assert_close(by_asked, by_kept)
    assert all("lora_" in name for name in by_asked)
    assert abs(shown["train/margin"]) > 1e-3, "the adapter does nothing: nothing was tested"


def test_what_a_guess_costs() -> None:
    """A reward model that scores all alike, and a policy that is its reference; other losses say nothing by it."""
    alike = torch.zeros(1)
    for margin in (0.0, 2.0):
        reward = PairwiseReward(READING, RewardModelling(margin=margin, centring=0.1))
        assert reward.guess_loss == pytest.approx(float(reward.terms(alike, alike)[0]))
    said = {loss: DirectPreferences(READING, DirectPreference(loss=loss)).guess_loss for loss in ("sigmoid", "kto")}
    assert said == {"sigmoid": pytest.approx(math.log(2)), "kto": None}
    assert DirectPreferences(READING, DirectPreference(likelihood_weight=1.0)).guess_loss is None
