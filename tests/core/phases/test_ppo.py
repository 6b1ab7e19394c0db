"""A step of PPO against an independent loop in float64, written from the papers over padded rows with full logits."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from core.config.phases import PPOConfig
from core.phases.ppo import ClippedLosses, first_memory, lessons
from core.training.advantages import RunningMoments
from core.training.rollout import Lessons, ResponseBatch, RolledOut, minibatches, response_batch
from core.training.writing import Writing, roll_out
from tests.core.training.policies import PROMPTS, ppo_config, share_of_ones, tiny_model, writing_of

EVERYTHING: dict[str, Any] = {
    "epochs": 2, "clip": 0.1, "value_clip": 0.05, "gamma": 0.97, "gae_lambda": 0.9, "entropy_weight": 0.03,
    "kl_coefficient": 0.2, "value_weight": 0.7,
}  # fmt: skip


def rolled_out(writing: Writing, number: int = 0) -> RolledOut:
    rolled = roll_out(writing, PROMPTS, number, each=1)
    assert rolled is not None
    return rolled


def objective_of(writing: Writing) -> ClippedLosses:
    assert isinstance(writing.config, PPOConfig)
    return ClippedLosses(writing.actors, writing.config.ppo, temperature=writing.config.rollout.temperature)


def learned(writing: Writing, rolled: RolledOut) -> Lessons:
    assert isinstance(writing.config, PPOConfig)
    return lessons(rolled, writing.config.ppo, first_memory(writing.config.ppo))


def updates(writing: Writing, rolled: RolledOut, taught: Lessons, epochs: int = 1) -> list[list[ResponseBatch]]:
    assert isinstance(writing.config, PPOConfig)
    parts = ("both",) if writing.actors.is_shared else ("policy", "value")
    return [
        batches
        for epoch in range(epochs)
        for batches in minibatches(writing.config, rolled, taught, epoch=epoch, parts=parts)
    ]


class Plain:
    """The step of the papers on rows that are padded on the right, in float64, token by token."""

    def __init__(self, writing: Writing, rolled: RolledOut) -> None:
        assert isinstance(writing.config, PPOConfig)
        self.ppo, self.temperature = writing.config.ppo, writing.config.rollout.temperature
        self.prompts = [list(one.prompt_ids) for one in rolled.answered]
        self.responses = [list(one.response.tokens) for one in rolled.answered]

    def forward(self, model: Any, head: Tensor, numbers: list[int]) -> list[tuple[Tensor, Tensor, Tensor]]:
        """Return log p, entropy and value at each token of the responses of these numbers."""
        rows = [self.prompts[n] + self.responses[n] for n in numbers]
        width = max(map(len, rows)) + 3  # and more padding than needed
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        body, hidden = model
        logits = body(input_ids=ids, attention_mask=mask).logits / self.temperature
        states = hidden.model(input_ids=ids, attention_mask=mask).last_hidden_state
        found = []
        for row, n in enumerate(numbers):
            start, tokens = len(self.prompts[n]), self.responses[n]
            where = [start - 1 + t for t in range(len(tokens))]
            log_p = torch.log_softmax(logits[row, where], -1)
            value = (states[row, where] * head).sum(-1)
            found.append((log_p[range(len(tokens)), tokens], -(log_p.exp() * log_p).sum(-1), value))
        return found

    def advantages(self, old: list[Any], reference: list[Any], scores: list[float]) -> tuple[list[Any], list[Any]]:
        """Return advantages, whitened over the rollout, and returns."""
        ppo = self.ppo
        every, returns = [], []
        for (log_p, _, value), (of_reference, _, _), score in zip(old, reference, scores, strict=True):
            length = len(log_p)
            rewards = [0.0] * length
            for t in range(length):
                if ppo.kl == "reward":
                    rewards[t] = -ppo.kl_coefficient * (log_p[t] - of_reference[t]).item()
            rewards[-1] += score
            values = [*value.tolist(), 0.0]
            found, later = [0.0] * length, 0.0
            for t in reversed(range(length)):
                delta = rewards[t] + ppo.gamma * values[t + 1] - values[t]
                later = delta + ppo.gamma * ppo.gae_lambda * later
                found[t] = later
            every.append(found)
            returns.append([a + v for a, v in zip(found, values, strict=False)])
        flat = [a for found in every for a in found]
        mean = sum(flat) / len(flat)
        spread = math.sqrt(sum((a - mean) ** 2 for a in flat) / (len(flat) - 1) + 1e-8)
        return [[(a - mean) / spread for a in found] for found in every], returns

    def loss(self, now: list[Any], old: list[Any], reference: list[Any], taught: Any, numbers: list[int]) -> Tensor:
        """Return equation 9 of Schulman et al. 2017 as a loss: the mean over the tokens of the minibatch."""
        ppo, (advantages, returns) = self.ppo, taught
        total, count = torch.zeros((), dtype=torch.float64), 0
        for (log_p, entropy, value), n in zip(now, numbers, strict=True):
            before, _, old_value = (part.detach() for part in old[n])
            for t in range(len(log_p)):
                ratio, a = torch.exp(log_p[t] - before[t]), advantages[n][t]
                total = total - torch.minimum(ratio * a, ratio.clamp(1 - ppo.clip, 1 + ppo.clip) * a)
                error = (value[t] - returns[n][t]) ** 2
                if ppo.value_clip is not None:
                    held = old_value[t] + (value[t] - old_value[t]).clamp(-ppo.value_clip, ppo.value_clip)
                    error = torch.maximum(error, (held - returns[n][t]) ** 2)
                total = total + ppo.value_weight * error / 2 - ppo.entropy_weight * entropy[t]
                if ppo.kl == "loss":
                    d = reference[n][0][t].detach() - log_p[t]
                    total = total + ppo.kl_coefficient * (torch.exp(d) - 1 - d)
                count += 1
        return total / count


def in_float64(writing: Writing) -> tuple[tuple[Any, Any], Tensor]:
    """Return copies of policy and value function, and the value head with a graph."""
    actors = writing.actors
    policy = copy.deepcopy(actors.policy.model).double().eval()
    if actors.is_shared:
        return (policy, policy), policy.value.weight
    assert actors.value is not None
    value = copy.deepcopy(actors.value.model).double().eval()
    return (policy, value), value.value.weight


def gradients_of(writing: Writing, models: tuple[Any, Any]) -> dict[str, Tensor]:
    policy, value = models
    if writing.actors.is_shared:
        return {name: p.grad for name, p in policy.named_parameters() if p.grad is not None}
    named = {f"policy.{name}": p.grad for name, p in policy.named_parameters()}
    named |= {f"value.{name}": p.grad for name, p in value.named_parameters()}
    return {name: gradient for name, gradient in named.items() if gradient is not None}


@pytest.mark.parametrize(
    "ppo",
    [
        EVERYTHING,
        {**EVERYTHING, "value": "shared"},
        {**EVERYTHING, "kl": "loss", "kl_estimator": "k3", "value_clip": None},
    ],
    ids=["separate", "shared", "kl-in-loss"],
)
def test_losses_and_gradients_equal_a_plain_loop_in_float64(ppo: dict[str, Any]) -> None:
    """At the first update, where all ratios are 1, and at the third, where some are clipped."""
    config = ppo_config(ppo=ppo, rollout={"temperature": 1.3}, schedule={"peak_learning_rate": 3e-2})
    writing = writing_of(config, tiny_model(dropout=0.3))
    rolled = rolled_out(writing)
    plain = Plain(writing, rolled)
    models, head = in_float64(writing)
    everyone = list(range(len(PROMPTS)))
    old = reference = plain.forward(models, head, everyone)
    scores = [share_of_ones(one.response.tokens) for one in rolled.answered]
    taught = plain.advantages(old, reference, scores)
    gradients: dict[str, Tensor] = {}
    writing.engine.optimizer.register_step_pre_hook(
        lambda *_: gradients.update({n: p.grad.clone() for n, p in writing.engine.parameters.items()})
    )
    clipped = []
    for batches in updates(writing, rolled, learned(writing, rolled), epochs=2)[:3]:
        models, head = in_float64(writing)
        numbers = [row for batch in batches if batch.part != "value" for row in batch.rows]
        loss = plain.loss(plain.forward(models, head, numbers), old, reference, taught, numbers)
        loss.backward()
        result = writing.engine.step(batches, objective_of(writing), learning_rate=3e-2)
        assert result.loss == pytest.approx(loss.item(), rel=2e-5, abs=2e-6)
        expected = gradients_of(writing, models)
        assert expected.keys() == gradients.keys()
        for name, gradient in gradients.items():
            largest = float(expected[name].abs().max())
            assert torch.allclose(gradient.double(), expected[name], atol=2e-4 * largest + 1e-7), name
        clipped.append(result.metrics["train/clip_fraction"])
    assert clipped[0] == 0
    assert clipped[2] > 0, "no ratio was clipped: the clip was not tested"


@pytest.mark.parametrize("adapter", [{"kind": "full"}, {"kind": "lora", "rank": 4, "embeddings": "frozen"}])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_at_the_start_every_ratio_is_one_and_stays_so_without_a_learning_rate(
    adapter: dict[str, Any], checkpointing: bool
) -> None:
    """Also with dropout in the model and in the adapter, and at another temperature than 1."""
    if adapter["kind"] == "lora":
        adapter = {**adapter, "dropout": 0.2}
    config = ppo_config(adapter=adapter, rollout={"temperature": 0.7})
    writing = writing_of(config, tiny_model(checkpointing=checkpointing, dropout=0.3))
    rolled = rolled_out(writing)
    assert rolled.reference is not None
    assert torch.equal(rolled.old, rolled.reference), "the policy begins as the reference"
    objective = objective_of(writing)
    for batches in updates(writing, rolled, learned(writing, rolled), epochs=2):
        for batch in batches:
            assert not any(t.requires_grad for t in (batch.old, batch.advantages, batch.returns, batch.values))
        result = writing.engine.step(batches, objective, learning_rate=0.0)
        assert result.metrics["train/ratio"] == pytest.approx(1.0, abs=1e-6)
        assert result.metrics["train/ratio_kl"] == pytest.approx(0.0, abs=1e-9)
        assert result.metrics["train/clip_fraction"] == 0
    batch = response_batch(rolled, learned(writing, rolled), [2, 0])
    found = writing.engine.call(objective, batch)
    assert found.metrics["train/ratio"][0] == pytest.approx(found.metrics["train/ratio"][1], abs=1e-4)


def stepped(config: PPOConfig, *, packing: str | None = None) -> tuple[float, dict[str, Tensor]]:
    """Return the loss and the gradients of a step over all responses."""
    writing = writing_of(config)
    if packing is not None:  # rows of their own, padded to the longest
        actors = writing.actors
        for name in ("policy", "value", "reference"):
            role = getattr(actors, name)
            setattr(actors, name, replace(role, reading=replace(role.reading, packing=packing)))
    gradients: dict[str, Tensor] = {}
    writing.engine.optimizer.register_step_pre_hook(
        lambda *_: gradients.update({n: p.grad.clone() for n, p in writing.engine.parameters.items()})
    )
    rolled = rolled_out(writing)
    (batches,) = updates(writing, rolled, learned(writing, rolled))
    return writing.engine.step(batches, objective_of(writing), learning_rate=1e-3).loss, gradients


@pytest.mark.parametrize("change", [{"micro_size": 1}, {"micro_size": 4}, "unpacked"], ids=str)
def test_micro_batches_and_padding_change_no_result(change: Any) -> None:
    ppo = {"entropy_weight": 0.1}
    loss, gradients = stepped(ppo_config(batch={"size": 4, "micro_size": 2}, ppo=ppo))
    batch = {"size": 4, "micro_size": 2} | (change if isinstance(change, dict) else {})
    other, found = stepped(ppo_config(batch=batch, ppo=ppo), packing=change if isinstance(change, str) else None)
    assert other == pytest.approx(loss, rel=1e-5)
    for name, gradient in gradients.items():
        assert torch.allclose(found[name], gradient, atol=1e-5 * float(gradient.abs().max()) + 1e-8), name


def rolled_by_hand(rewards: list[float], **more: Any) -> RolledOut:
    writing = writing_of(ppo_config())
    return replace(rolled_out(writing), rewards=tuple(rewards), **more)


def test_a_response_without_a_finite_reward_is_no_lesson_and_counts_in_no_mean() -> None:
    rolled = rolled_by_hand([1.0, math.nan, 0.5, -1.0])
    ppo = ppo_config().ppo
    taught = lessons(rolled, ppo, first_memory(ppo))
    assert taught.taught == [0, 2, 3]
    assert taught.metrics["train/score"] == pytest.approx(0.5 / 3)
    ends = torch.tensor(rolled.lengths).cumsum(0)
    own = torch.cat([taught.advantages[: ends[0]], taught.advantages[ends[1] :]])
    assert float(own.mean()) == pytest.approx(0, abs=1e-6)
    assert float(own.var()) == pytest.approx(1, abs=1e-4)


def test_rewards_are_normalised_by_all_seen_and_then_clipped() -> None:
    rolled = rolled_by_hand([1.0, 2.0, 3.0, 10.0], reference=None)
    ppo = ppo_config(ppo={"normalise_rewards": True, "reward_clip": 1.0, "whiten_advantages": False}).ppo
    memory = first_memory(ppo)
    lessons(rolled, ppo, memory)
    seen = RunningMoments().including([1.0, 2.0, 3.0, 10.0])
    assert float.fromhex(memory["reward_mean"]) == seen.mean == 4.0
    taught = lessons(replace(rolled, rewards=(4.0, 4.0, 4.0, 100.0)), ppo, memory)
    assert memory["rewards_seen"] == 8
    mean = float.fromhex(memory["reward_mean"])
    deviation = seen.including([4.0, 4.0, 4.0, 100.0]).deviation
    assert taught.metrics["train/reward"] == pytest.approx((3 * (4 - mean) / deviation + 1.0) / 4)


def test_the_coefficient_adapts_to_the_divergence_of_a_response() -> None:
    """As in the vector of Ziegler et al.: 0.2 with a KL of 12 nats and a target of 6 over 4 of 1e4 responses."""
    rolled = rolled_by_hand([0.0] * 4)
    shift = torch.cat([torch.full((n,), 12.0 / n) for n in rolled.lengths])
    ppo = ppo_config(ppo={"kl_coefficient": 0.2, "kl_target": 6.0, "kl_horizon": 10_000}).ppo
    memory = first_memory(ppo)
    taught = lessons(replace(rolled, reference=rolled.old - shift), ppo, memory)
    assert taught.metrics["train/kl_coefficient"] == 0.2
    assert float.fromhex(memory["kl_coefficient"]) == pytest.approx(0.2 * (1 + 0.2 * 4 / 10_000), rel=1e-6)
    assert taught.metrics["train/reward"] == pytest.approx(-0.2 * 12, rel=1e-5)
