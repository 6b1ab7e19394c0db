"""What GRPO minimises: the clipped policy loss of responses whose advantages come from their group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from core.config.alignment import GroupRelative, Rollout
from core.model.batch import PackedBatch
from core.model.log_probs import target_log_probs
from core.model.reading import Reading
from core.training.objectives import Terms
from core.training.policy_losses import clipped_policy, token_weights, weighted_kl_losses


class Responses(Protocol):
    """Responses laid end to end, each with its prompt; the tensors are (targets,), one number a token of a response."""

    @property
    def packed(self) -> PackedBatch:
        """Prompts with responses; the tokens of the responses are the targets."""

    @property
    def lengths(self) -> Sequence[int]:
        """How many tokens each response has."""

    @property
    def old(self) -> Tensor:
        """Log-probabilities under the policy that wrote the responses, in nats."""

    @property
    def reference(self) -> Tensor | None:
        """Log-probabilities under the reference; None where there is none."""

    @property
    def advantages(self) -> Tensor:
        """The advantage of each token: that of its response."""


@dataclass(frozen=True)
class GroupPolicy:
    """Shao et al. 2024, arXiv:2402.03300, equation 3, with the variants of `GroupRelative.loss` and `clip_high`.

    Its terms are the clipped policy loss, and where kl_coefficient is not 0 the KL divergence from the reference by
    that weight: k3 as in equation 4, times the ratio, without which its gradient is that of another divergence
    (`weighted_kl_losses`). Both are averaged in the same way over the whole step.
    """

    reading: Reading
    grpo: GroupRelative
    rollout: Rollout

    @property
    def weights(self) -> tuple[float, ...]:
        """1, and the KL coefficient where there is one."""
        return (1.0, self.grpo.kl_coefficient) if self.grpo.kl_coefficient else (1.0,)

    def count(self, batch: Responses) -> tuple[float, ...]:
        """Return by what each term is divided: the number of responses, or of their tokens."""
        return (self._averaging(batch)[1],) * len(self.weights)

    def __call__(self, model: Any, batch: Responses) -> Terms:
        """Return the sum of each term over the responses, and what a monitor shows."""
        found = target_log_probs(
            model, self.reading, batch.packed, temperature=self.rollout.temperature, entropy="shown"
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

    def _averaging(self, batch: Responses) -> tuple[Tensor, float]:
        return token_weights(batch.lengths, self.grpo.loss, longest=self.rollout.max_new_tokens)
