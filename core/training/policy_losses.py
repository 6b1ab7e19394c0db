"""Losses of a policy and a value function, and what is shown of them: pure functions on flat (targets,) tensors.

Log-probabilities are in nats, of the token that stands there under the model's whole distribution. What belongs to the
model in training has a graph; old and reference log-probabilities, advantages and returns have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from torch import Tensor

KLEstimator = Literal["k1", "k2", "k3"]

LARGEST_LOG_RATIO = 20.0
"""Log-ratios are held below this before exp: e^20 still has a finite square, e^88 is infinite in float32."""


def kl_divergences(log_probs: Tensor, reference: Tensor, estimator: KLEstimator) -> Tensor:
    """Estimate KL(policy || reference) from one token drawn from the policy, at each target: (targets,) nats.

    With d = reference - log_probs (http://joschu.net/blog/kl-approx.html): k1 = -d, unbiased, often negative;
    k2 = d^2 / 2, biased, little variance; k3 = e^d - 1 - d, unbiased and never negative. As a number only: for a loss
    see `kl_losses`.
    """
    d = reference - log_probs
    match estimator:
        case "k1":
            return -d
        case "k2":
            return d.square() / 2
        case "k3":
            # All of d is held, not only what goes into exp: else the gradient out there had the wrong sign.
            d = d.clamp(max=LARGEST_LOG_RATIO)
            return torch.expm1(d) - d
        case _:
            assert_never(estimator)


def kl_losses(log_probs: Tensor, reference: Tensor, estimator: KLEstimator) -> Tensor:
    """Return the same estimates with a gradient that moves the policy to the reference: (targets,) nats.

    The gradient of k1 is that of log_probs alone. Its expectation over the policy's own tokens is 0 whatever the
    reference: it is noise. The gradient of the true divergence is E[(log_probs - reference) * grad log_probs], which is
    k2's (Tang and Munos 2025, arXiv:2506.09477). So k1 keeps its value here and has
    k2's gradient. k3's is E[(1 - e^d) * grad log_probs], the gradient of KL(reference || policy), which also is 0 at
    the reference and bounded by 1 where the policy is the likelier.
    """
    if estimator == "k1":
        leading = kl_divergences(log_probs, reference, "k2")
        return leading + (kl_divergences(log_probs, reference, "k1") - leading).detach()
    return kl_divergences(log_probs, reference, estimator)


def weighted_kl_losses(log_probs: Tensor, old: Tensor, reference: Tensor) -> Tensor:
    """Return r * k3 with r = e^(log_probs - old), which has a graph too: (targets,) nats.

    The tokens were drawn by the old policy; the weight makes the mean over them an unbiased estimate of
    KL(policy || reference), after any number of updates, and its gradient the true one, which is not so of k3 alone
    (DeepSeek-AI 2025, arXiv:2512.02556). Before the first update r is 1, and still changes the gradient.
    """
    return _ratios(log_probs, old) * kl_divergences(log_probs, reference, "k3")


def _ratios(log_probs: Tensor, old: Tensor) -> Tensor:
    return (log_probs - old).clamp(-LARGEST_LOG_RATIO, LARGEST_LOG_RATIO).exp()


@dataclass(frozen=True)
class ClippedPolicy:
    """The policy loss of each target, and how it came about; all (targets,).

    losses has the graph. ratios: new over old probability. clipped: whether the clip decided the loss, so that its
    gradient is 0; the mean over targets is the clip fraction. divergences: KL(old || new), k3, in nats, from the
    tokens that the old policy drew.
    """

    losses: Tensor
    ratios: Tensor
    clipped: Tensor
    divergences: Tensor


def clipped_policy(log_probs: Tensor, old: Tensor, advantages: Tensor, *, low: float, high: float) -> ClippedPolicy:
    """Return max(-r A, -clip(r, 1 - low, 1 + high) A) at each target, with r = e^(log_probs - old).

    Schulman et al. 2017, arXiv:1707.06347, equation 7, as a loss; low and high apart: Yu et al. 2025,
    arXiv:2503.14476, section 3.1.
    """
    ratios = _ratios(log_probs, old)
    free = -ratios * advantages
    held = -ratios.clamp(1 - low, 1 + high) * advantages
    shown = log_probs.detach()
    # The k3 of the old policy: its tokens are those at hand.
    divergences = kl_divergences(old, shown, "k3")
    return ClippedPolicy(torch.maximum(free, held), ratios.detach(), (held > free).detach(), divergences)


def value_losses(values: Tensor, old: Tensor, returns: Tensor, *, clip: float | None) -> Tensor:
    """Return half the squared error of the value at each target, clipped: (targets,).

    The larger of (V - R)^2 / 2 and (clip(V, old - clip, old + clip) - R)^2 / 2: the clip is about the values of the
    rollout, so one update cannot move far (as the code of Schulman et al. 2017 does; the paper has no clip).
    """
    errors = (values - returns).square()
    if clip is not None:
        held = torch.maximum(torch.minimum(values, old + clip), old - clip)
        errors = torch.maximum(errors, (held - returns).square())
    return errors / 2


@torch.no_grad()
def explained_variance(values: Tensor, returns: Tensor) -> float:
    """Return 1 - Var(returns - values) / Var(returns): 1 is perfect, 0 as good as their mean, NaN where all are equal.

    values, returns: (targets,).
    """
    spread = returns.var(correction=0)
    return float(1 - (returns - values).var(correction=0) / spread) if spread > 0 else float("nan")


LossKind = Literal["sequence", "token", "constant"]


def token_weights(lengths: Sequence[int], kind: LossKind, *, longest: int) -> tuple[Tensor, float]:
    """Return what each token counts in a loss, (targets,) float32, and the count to divide the step's weighted sum by.

    Summed over the micro-batches of a step, sum of weight * loss / sum of counts is, for `sequence`, the mean over
    responses of the mean over their tokens (Shao et al. 2024, arXiv:2402.03300, equation 3); for `token`, the mean over
    all tokens (Yu et al. 2025, arXiv:2503.14476, equation 8); for `constant`, the mean over responses of the sum over
    tokens / `longest`, the most tokens that a response can have (Liu et al. 2025, arXiv:2503.20783, section 3.2).
    """
    sizes = torch.tensor(lengths, dtype=torch.int64)
    match kind:
        case "sequence":
            return (1.0 / sizes).repeat_interleave(sizes), float(len(lengths))
        case "token":
            return torch.ones(sum(lengths)), float(sum(lengths))
        case "constant":
            return torch.full((sum(lengths),), 1.0 / longest), float(len(lengths))
        case _:
            assert_never(kind)
