"""GRPO's loss, gradients and advantages against TRL's trainer on the same weights, completions and rewards."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.config.alignment import GroupRelative, Rollout
from core.model.batch import IGNORED, packed
from core.model.log_probs import target_log_probs
from core.model.reading import Reading
from core.model.responses import Response
from core.model.roles import Role
from core.training.advantages import group_advantages
from core.training.group_policy import GroupPolicy, group_lessons
from core.training.rewards import Answered
from core.training.rollout import Prompt, ResponseBatch, RolledOut
from tests.core.training.preference_models import tiny_model

LONGEST = 9
READING = Reading("dense", "matrix", chunk=5)


@dataclass(frozen=True)
class Case:
    """Two groups of four: token ids, what they are worth, and three models: in training, older, and the reference."""

    prompts: list[list[int]]
    completions: list[list[int]]
    rewards: list[float]
    policy: Any
    old: Any
    reference: Any

    def rolled(self, numbers: Sequence[int], advantages: Tensor) -> ResponseBatch:
        documents = [self.prompts[n] + self.completions[n] for n in numbers]
        targets = [[IGNORED] * (len(self.prompts[n]) - 1) + self.completions[n] + [IGNORED] for n in numbers]
        batch, lengths = packed(documents, targets), tuple(len(self.completions[n]) for n in numbers)
        with torch.no_grad():
            old, reference = (target_log_probs(m, READING, batch).values for m in (self.old, self.reference))
        each = torch.tensor(lengths)
        shared = advantages[list(numbers)].repeat_interleave(each)
        return ResponseBatch(batch, lengths, old, shared, reference)


@pytest.fixture(scope="module")
def case() -> Case:
    draw = random.Random(3)
    prompts = [[draw.randrange(2, 97) for _ in range(length)] for length in (3, 6)]
    prompts = [prompt for prompt in prompts for _ in range(4)]
    completions = [[draw.randrange(2, 97) for _ in range(length)] for length in (9, 1, 4, 6, 2, 9, 3, 5)]
    old = tiny_model(1)
    policy, reference = copy.deepcopy(old), copy.deepcopy(old)
    for model, size in ((policy, 0.02), (reference, 0.03)):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * size)
    return Case(prompts, completions, [1.0, 0.0, 0.5, 0.25, 2.0, 2.0, -1.0, 3.0], policy, old, reference)


def ours(case: Case, settings: GroupRelative, parts: Sequence[Sequence[int]]) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradients of a step over micro-batches, as the engine divides and adds."""
    advantages = group_advantages(torch.tensor(case.rewards), 4, scale=settings.scale)
    objective = GroupPolicy(Role("policy", case.policy, READING), settings, Rollout(max_new_tokens=LONGEST))
    batches = [case.rolled(part, advantages) for part in parts]
    counts = [sum(column) for column in zip(*(objective.count(batch) for batch in batches), strict=True)]
    case.policy.zero_grad()
    total = 0.0
    for batch in batches:
        terms = objective(case.policy, batch).sums
        loss = torch.stack([w * s / c for w, s, c in zip(objective.weights, terms, counts, strict=True)]).sum()
        torch.autograd.backward(loss)
        total += float(loss.detach())
    return total, gradients(case.policy)


def gradients(model: Any) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


SETTINGS = [
    GroupRelative(loss="sequence", kl_coefficient=0.3),
    GroupRelative(loss="token", kl_coefficient=0.3, clip_high=0.4),
    GroupRelative(loss="constant", kl_coefficient=0.0, scale="none"),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.loss)
def test_the_dealing_over_micro_batches_changes_nothing(case: Case, settings: GroupRelative) -> None:
    whole, whole_gradients = ours(case, settings, [range(8)])
    parts, part_gradients = ours(case, settings, [[5, 0], [1], [7, 6, 4, 3, 2]])
    assert parts == pytest.approx(whole, abs=1e-6)
    assert all(torch.allclose(whole_gradients[name], part_gradients[name], atol=1e-6) for name in whole_gradients)


def test_before_the_first_update_the_ratio_is_one_and_the_loss_is_minus_the_mean_advantage(case: Case) -> None:
    fresh = Case(case.prompts, case.completions, case.rewards, case.old, case.old, case.old)
    advantages = group_advantages(torch.tensor(case.rewards), 4, scale="group")
    role, settings = Role("policy", case.old, READING), GroupRelative(kl_coefficient=1.0)
    objective = GroupPolicy(role, settings, Rollout(max_new_tokens=LONGEST))
    # What was written down comes from another packing than what the step computes.
    apart = [fresh.rolled([number], advantages) for number in range(8)]
    batch = fresh.rolled(range(8), advantages)
    old = torch.cat([one.old for one in apart])
    terms = objective(fresh.policy, replace(batch, old=old, reference=old))
    assert terms.sums[0].item() == pytest.approx(-float(advantages.sum()), abs=1e-4)
    assert terms.sums[1].item() == pytest.approx(0.0, abs=1e-4)
    assert float(terms.metrics["train/clip_fraction"][0]) == 0.0
    assert float(terms.metrics["train/ratio_kl"][0]) == pytest.approx(0.0, abs=1e-6)


def rolled_out(rewards: Sequence[float], lengths: Sequence[int]) -> RolledOut:
    responses = [Response((1,), (5,) * length, ended=True) for length in lengths]
    answered = tuple(Answered((1,), response, "", "", None) for response in responses)
    prompts = tuple(Prompt(number, (1,), ()) for number in range(len(responses)))
    zeros = torch.zeros(sum(lengths))
    return RolledOut(0, 4, prompts, answered, tuple(rewards), zeros, None, None, 1.0, 1.0)


def test_tokens_have_the_advantage_of_their_response_and_flat_groups_are_left_out() -> None:
    nan = float("nan")
    rolled = rolled_out([1.0, 0.0, 0.3, 0.3, nan, 2.0, 4.0, nan], [2, 1, 1, 3, 1, 1, 1, 1])
    found = group_lessons(rolled, GroupRelative(group=2, scale="none"))
    assert found.taught == [0, 1]  # of the last two groups one reward is left, which is equal to itself
    assert found.advantages.tolist() == [0.5, 0.5, -0.5, *[0.0] * 8]
    assert found.metrics == {
        "train/flat_groups": 0.75, "train/advantage_mean": 0.0, "train/advantage_std": pytest.approx(0.5**0.5)
    }  # fmt: skip
    kept = group_lessons(rolled, GroupRelative(group=2, scale="none", drop_flat_groups=False))
    assert kept.taught == [0, 1, 2, 3, 5, 6]


def test_only_flat_groups_teach_nothing_and_divide_by_nothing() -> None:
    found = group_lessons(rolled_out([1.0] * 4, [1, 2, 3, 4]), GroupRelative(group=2))
    assert found.taught == []
    assert found.advantages.tolist() == [0.0] * 10
    assert found.metrics == {"train/flat_groups": 1.0}


# TRL's names of the same: sequence is grpo, token is dapo (over the whole step) and bnpo (in one batch).
TRLS = [
    ("grpo", GroupRelative(loss="sequence")),
    ("grpo", GroupRelative(loss="sequence", kl_coefficient=0.3, clip_high=0.28, scale="none")),
    ("bnpo", GroupRelative(loss="token", kl_coefficient=0.3)),
    ("dapo", GroupRelative(loss="token", clip=0.1, clip_high=0.28)),
    ("dr_grpo", GroupRelative(loss="constant", kl_coefficient=0.04)),
]


@pytest.mark.parametrize(("name", "settings"), TRLS)
def test_loss_gradients_and_advantages_are_those_of_trl(
    case: Case, name: str, settings: GroupRelative, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    trainer = trl_trainer(case, name, settings, tmp_path)
    inputs = trainer._generate_and_score_completions([{"prompt": "t3"}] * 8)
    expected = group_advantages(torch.tensor(case.rewards), 4, scale=settings.scale)
    assert 0.1 < clip_fraction(case, settings, expected) < 0.9
    assert torch.allclose(inputs["advantages"], expected, atol=1e-6)
    inputs["old_per_token_logps"] = padded_log_probs(case.old, inputs)
    if settings.kl_coefficient:
        inputs["ref_per_token_logps"] = padded_log_probs(case.reference, inputs)
    trainer.beta = settings.kl_coefficient  # later than its constructor, which would look for a reference on the hub
    loss = trainer._compute_loss(trainer.model, inputs)
    loss.backward()
    theirs = gradients(trainer.model)
    found, mine = ours(case, settings, [[0, 1, 2], [3, 4], [5, 6, 7]])
    assert found == pytest.approx(loss.item(), abs=1e-5)
    assert mine.keys() == theirs.keys()
    for key in mine:
        assert torch.allclose(mine[key], theirs[key], atol=1e-5), key
    assert max(float(gradient.abs().max()) for gradient in mine.values()) > 1e-3


def clip_fraction(case: Case, settings: GroupRelative, advantages: Tensor) -> float:
    objective = GroupPolicy(Role("policy", case.policy, READING), settings, Rollout(max_new_tokens=LONGEST))
    clipped, tokens = objective(case.policy, case.rolled(range(8), advantages)).metrics["train/clip_fraction"]
    return float(clipped) / tokens


def padded_log_probs(model: Any, inputs: dict[str, Tensor]) -> Tensor:
    """Log-probabilities of the completions, (responses, longest), as anyone would compute them."""
    ids = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], dim=1)
    mask = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], dim=1)
    begin = inputs["prompt_ids"].size(1) - 1
    with torch.no_grad():
        logits = model(input_ids=ids, attention_mask=mask).logits[:, begin:-1]
    return logits.log_softmax(-1).gather(2, inputs["completion_ids"][:, :, None])[:, :, 0]


def trl_trainer(case: Case, name: str, settings: GroupRelative, folder: Path) -> Any:
    """TRL's trainer, which takes completions and rewards of the case where it would generate and judge."""
    from datasets import Dataset
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    words = Tokenizer(models.WordLevel({f"t{number}": number for number in range(97)}, unk_token="t0"))
    args = GRPOConfig(
        output_dir=str(folder), per_device_train_batch_size=8, num_generations=4, loss_type=name, beta=0.0,
        epsilon=settings.clip, epsilon_high=settings.clip_high, max_completion_length=LONGEST,
        scale_rewards=settings.scale, bf16=False, use_cpu=True, report_to=[], save_strategy="no",
        activation_checkpointing=False,
    )  # fmt: skip
    trainer: Any = GRPOTrainer(
        model=copy.deepcopy(case.policy),  # it changes how its model computes
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=args,
        train_dataset=Dataset.from_list([{"prompt": "t3"}]),
        processing_class=PreTrainedTokenizerFast(tokenizer_object=words, pad_token="t0", eos_token="t1"),
    )
    trainer.current_gradient_accumulation_steps = 1
    texts = [""] * 8
    trainer._generate = lambda prompts: (case.prompts, case.completions, None, texts, None, {}, None, None)
    trainer._calculate_rewards = lambda *_: torch.tensor(case.rewards)[:, None]
    return trainer
