"""Proximal policy optimisation of a language model (Schulman et al. 2017, arXiv:1707.06347; Ouyang et al. 2022).

The textbook's step: the policy answers prompts (rollout), every token gets its old log-probability, every response a
reward, every token an advantage; then a few epochs of minibatches lower the clipped policy loss. In full: a value
function and generalised advantages, the KL divergence from the reference in the reward or in the loss, a coefficient
for it that adapts, an entropy bonus, rewards clipped and normalised, and an early stop of the updates of a rollout.

Here stand what a rollout teaches and what an update minimises. How the policy writes and is judged is in
core/training/writing.py, the loop around both in core/training/policy_loop.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from core.config.alignment import ProximalPolicy
from core.config.phases import PPOConfig
from core.model.log_probs import Entropy, TargetLogProbs, target_log_probs
from core.model.roles import activate
from core.model.scalar_head import log_probs_and_values, target_values
from core.run.events import Series
from core.run.session import Outcome, Session
from core.training.actors import Actors
from core.training.advantages import (
    RunningMoments,
    adapted_coefficient,
    generalised_advantages,
    moments,
    response_sums,
    token_owners,
    token_rewards,
    whitened,
)
from core.training.objectives import Terms
from core.training.policy_losses import (
    clipped_policy,
    explained_variance,
    kl_divergences,
    kl_losses,
    value_losses,
)
from core.training.policy_setup import Method, train_policy
from core.training.rollout import Lessons, ResponseBatch, RolledOut

SERIES = (
    Series(name="train/score", title="score before the KL", panel="reward", lower_is_better=False),
    Series(name="train/kl_coefficient", title="KL coefficient", panel="KL coefficient"),
    Series(name="train/ratio", title="ratio, mean", panel="ratio of probabilities"),
    Series(name="train/value_loss", title="value loss", panel="value loss", lower_is_better=True),
    Series(name="train/explained_variance", title="explained variance", panel="explained variance"),
)


def run(config: PPOConfig, session: Session, *, allow_inexact: bool) -> Outcome:
    """Improve the policy of `config` on its prompts, from the start or from the newest checkpoint."""
    ppo = config.ppo
    method = Method(
        # 1. rollout: one response to each prompt; log-probabilities, values and rewards of it
        each=1,
        # 2. from rewards to advantages
        learn=lambda rolled, memory: lessons(rolled, ppo, memory),
        memory=first_memory(ppo),
        # 3. updates: epochs of minibatches on the clipped losses
        objective=lambda actors: ClippedLosses(actors, ppo, temperature=config.rollout.temperature),
        epochs=ppo.epochs,
        stop_kl=ppo.stop_kl,
        # Two models are computed one after the other, so that the graph of one alone stands in memory.
        parts=("both",) if ppo.value == "shared" else ("policy", "value"),
        series=SERIES,
    )
    return train_policy(config, session, method, allow_inexact=allow_inexact)


def first_memory(ppo: ProximalPolicy) -> dict[str, Any]:
    """Return what a checkpoint keeps for PPO, as it is at the start: the KL coefficient and the rewards seen."""
    return _remembered(ppo.kl_coefficient, RunningMoments())


def _remembered(coefficient: float, seen: RunningMoments) -> dict[str, Any]:
    return {
        "kl_coefficient": coefficient.hex(),
        "rewards_seen": seen.count,
        "reward_mean": seen.mean.hex(),
        "reward_squares": seen.squares.hex(),
    }


def lessons(rolled: RolledOut, ppo: ProximalPolicy, memory: dict[str, Any]) -> Lessons:
    """Return the advantage and the return of each token, and move `memory` on.

    A response whose reward is not finite is no lesson, and counts in no mean.
    """
    assert rolled.values is not None, "PPO has a value function"
    lengths, taught = rolled.lengths, rolled.judged
    is_taught = torch.zeros(len(lengths), dtype=torch.bool)
    is_taught[taught] = True
    counts = is_taught[token_owners(lengths)]  # (targets,) bool
    coefficient = float.fromhex(memory["kl_coefficient"])

    # Scores of whole responses: normalised by all that were seen so far, then clipped.
    finite = [rolled.rewards[number] for number in taught]
    seen = _seen(memory).including(finite)
    scores = torch.zeros(len(lengths))
    scores[is_taught] = torch.tensor(seen.normalised(finite) if ppo.normalise_rewards else finite)
    if ppo.reward_clip is not None:
        scores = scores.clamp(-ppo.reward_clip, ppo.reward_clip)

    # Rewards of tokens: minus the KL divergence at each, and the score at the last.
    divergences = torch.zeros_like(rolled.old)
    if rolled.reference is not None and ppo.kl == "reward":
        divergences = kl_divergences(rolled.old, rolled.reference, ppo.kl_estimator)
    rewards = token_rewards(scores, divergences, lengths, coefficient=coefficient)

    # Advantages and returns, against the values of before the first update.
    advantages, returns = generalised_advantages(
        rewards, rolled.values, lengths, gamma=ppo.gamma, decay=ppo.gae_lambda
    )
    metrics = {"train/kl_coefficient": coefficient}
    if taught:
        mean, variance = moments(advantages, counts)
        metrics |= {
            "train/score": fmean(finite),
            "train/reward": float(response_sums(rewards, lengths)[is_taught].mean()),
            "train/advantage_mean": float(mean),
            "train/advantage_std": float(variance.sqrt()),
            "train/explained_variance": explained_variance(rolled.values[counts], returns[counts]),
        }
    if ppo.whiten_advantages:
        advantages = whitened(advantages, counts)
    memory |= _remembered(_adapted(rolled, is_taught, ppo, coefficient), seen)
    return Lessons(advantages=advantages, returns=returns, taught=taught, metrics=metrics)


def _seen(memory: dict[str, Any]) -> RunningMoments:
    mean, squares = float.fromhex(memory["reward_mean"]), float.fromhex(memory["reward_squares"])
    return RunningMoments(memory["rewards_seen"], mean, squares)


def _adapted(rolled: RolledOut, is_taught: Tensor, ppo: ProximalPolicy, coefficient: float) -> float:
    """Return the KL coefficient of the next rollout."""
    if ppo.kl_target is None or rolled.reference is None or not is_taught.any():
        return coefficient
    divergence = float(response_sums(rolled.old - rolled.reference, rolled.lengths)[is_taught].mean())
    if not math.isfinite(divergence):
        return coefficient
    responses = int(is_taught.sum())
    return adapted_coefficient(
        coefficient, divergence, target=ppo.kl_target, responses=responses, horizon=ppo.kl_horizon
    )


@dataclass(frozen=True)
class ClippedLosses:
    """What an update minimises, each a mean over the tokens of responses in the whole step.

    Clipped policy loss + value_weight * clipped value loss - entropy_weight * entropy + coefficient * KL divergence
    from the reference, the last where `kl: loss` asks for it (Schulman et al. 2017, equation 9).
    """

    actors: Actors
    ppo: ProximalPolicy
    temperature: float

    @property
    def weights(self) -> tuple[float, ...]:
        """Of the policy loss, the value loss, the entropy and the KL divergence."""
        in_loss = self.ppo.kl_coefficient if self.ppo.kl == "loss" else 0.0
        return (1.0, self.ppo.value_weight, -self.ppo.entropy_weight, in_loss)

    def count(self, batch: ResponseBatch) -> tuple[float, ...]:
        """Return the number of tokens that each term averages over here."""
        tokens = float(sum(batch.lengths))
        for_policy = 0.0 if batch.part == "value" else tokens
        for_value = 0.0 if batch.part == "policy" else tokens
        return (for_policy, for_value, for_policy, for_policy)

    def __call__(self, model: Any, batch: ResponseBatch) -> Terms:
        """Return the sum of each term over tokens of responses, and what a monitor shows.

        `model` is all that is trained; which part of it computes, and under which adapter, the roles say.
        """
        policy, entropy = self.actors.policy, self._entropy
        match batch.part:
            case "policy":
                found = target_log_probs(
                    activate(policy), policy.reading, batch.packed, temperature=self.temperature, entropy=entropy
                )
                return self._terms(batch, found=found)
            case "value":
                assert self.actors.value is not None
                values = target_values(activate(self.actors.value), self.actors.value.reading, batch.packed)
                return self._terms(batch, values=values)
            case "both":
                found, values = log_probs_and_values(
                    activate(policy), policy.reading, batch.packed, temperature=self.temperature, entropy=entropy
                )
                return self._terms(batch, found=found, values=values)

    @property
    def _entropy(self) -> Entropy:
        return "trained" if self.ppo.entropy_weight else "shown"

    def _terms(
        self, batch: ResponseBatch, *, found: TargetLogProbs | None = None, values: Tensor | None = None
    ) -> Terms:
        zero = torch.zeros((), device=batch.old.device)
        tokens = float(sum(batch.lengths))
        policy_loss, value_loss, entropy, divergence = zero, zero, zero, zero
        metrics: dict[str, tuple[Tensor, float]] = {}
        if found is not None:
            assert found.entropies is not None
            policy = clipped_policy(
                found.values, batch.old, batch.advantages, low=self.ppo.clip, high=self.ppo.clip
            )
            policy_loss, entropy = policy.losses.sum(), found.entropies.sum()
            if self.ppo.kl == "loss" and batch.reference is not None:
                divergence = kl_losses(found.values, batch.reference, self.ppo.kl_estimator).sum()
            metrics |= {
                "train/policy_loss": (policy_loss.detach(), tokens),
                "train/ratio": (policy.ratios.sum(), tokens),
                "train/ratio_kl": (policy.divergences.sum(), tokens),
                "train/clip_fraction": (policy.clipped.float().sum(), tokens),
                "train/entropy": (entropy.detach(), tokens),
            }
        if values is not None:
            assert batch.values is not None
            assert batch.returns is not None
            value_loss = value_losses(values, batch.values, batch.returns, clip=self.ppo.value_clip).sum()
            metrics["train/value_loss"] = (value_loss.detach(), tokens)
        return Terms((policy_loss, value_loss, entropy, divergence), metrics)
