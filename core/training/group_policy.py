"""What GRPO minimises: the clipped policy loss of responses whose advantages come from their group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from core.config.alignment import GroupRelative, Rollout
from core.model.log_probs import target_log_probs
from core.model.roles import Role, activate
from core.training.advantages import flat_groups, group_advantages, moments
from core.training.objectives import Terms
from core.training.policy_losses import clipped_policy, token_weights, weighted_kl_losses
from core.training.rollout import Lessons, ResponseBatch, RolledOut


@dataclass(frozen=True)
class GroupPolicy:
    """Shao et al. 2024, arXiv:2402.03300, equation 3, with the variants of `GroupRelative.loss` and `clip_high`.

    Its terms are the clipped policy loss, and where kl_coefficient is not 0 the KL divergence from the reference by
    that weight: k3 as in equation 4, times the ratio, without which its gradient is that of another divergence
    (`weighted_kl_losses`). Both are averaged in the same way over the whole step.
    """

    policy: Role
    grpo: GroupRelative
    rollout: Rollout

    @property
    def weights(self) -> tuple[float, ...]:
        """1, and the KL coefficient where there is one."""
        return (1.0, self.grpo.kl_coefficient) if self.grpo.kl_coefficient else (1.0,)

    def count(self, batch: ResponseBatch) -> tuple[float, ...]:
        """Return by what each term is divided: the number of responses, or of their tokens."""
        return (self._averaging(batch)[1],) * len(self.weights)

    def __call__(self, model: Any, batch: ResponseBatch) -> Terms:
        """Return the sum of each term over the responses, and what a monitor shows."""
        model = activate(self.policy)  # the reference may have been at work, on the same base
        temperature = self.rollout.temperature
        found = target_log_probs(
            model, self.policy.reading, batch.packed, temperature=temperature, entropy="shown"
        )
        high = self.grpo.clip if self.grpo.clip_high is None else self.grpo.clip_high
        policy = clipped_policy(found.values, batch.old, batch.advantages, low=self.grpo.clip, high=high)
        shares, count = self._averaging(batch)
        shares = shares.to(policy.losses.device)
        sums = [(policy.losses * shares).sum()]
        if self.grpo.kl_coefficient:
            assert batch.reference is not None, "a KL divergence needs a reference"
            sums.append((weighted_kl_losses(found.values, batch.old, batch.reference) * shares).sum())
        assert found.entropies is not None
        tokens = float(found.values.numel())
        metrics = {
            "train/policy_loss": (sums[0].detach(), count),
            "train/ratio_kl": (policy.divergences.sum(), tokens),
            "train/clip_fraction": (policy.clipped.float().sum(), tokens),
            "train/entropy": (found.entropies.sum().detach(), tokens),
        }
        return Terms(tuple(sums), metrics)

    def _averaging(self, batch: ResponseBatch) -> tuple[Tensor, float]:
        return token_weights(batch.lengths, self.grpo.loss, longest=self.rollout.max_new_tokens)


def group_lessons(rolled: RolledOut, grpo: GroupRelative) -> Lessons:
    """Return what a rollout teaches: each token has the advantage of its response within its group.

    A response without a reward teaches nothing, nor does a group whose rewards are all equal where `drop_flat_groups`
    says so. Where nothing is left, `taught` is empty: there is no update.
    """
    rewards = torch.tensor(rolled.rewards)
    advantages = group_advantages(rewards, grpo.group, scale=grpo.scale)
    flat = flat_groups(rewards, grpo.group)
    is_taught = rewards.isfinite()
    if grpo.drop_flat_groups:
        is_taught &= ~flat.repeat_interleave(grpo.group)
    metrics = {"train/flat_groups": float(flat.float().mean())}
    if is_taught.any():
        mean, variance = moments(advantages, is_taught)
        metrics |= {"train/advantage_mean": float(mean), "train/advantage_std": float(variance.sqrt())}
    return Lessons(
        advantages=advantages.repeat_interleave(torch.tensor(rolled.lengths)),
        returns=None,
        taught=is_taught.nonzero()[:, 0].tolist(),
        metrics=metrics,
    )
