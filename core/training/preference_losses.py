"""What preferences minimise, as pure functions on tensors: one loss an item, without its mean.

Scores have no unit. Log-probabilities are in nats: of a whole response, the sum over its tokens, or the mean where a
loss divides by length. All shapes are (items,), float32 or wider.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def pairwise_loss(better: Tensor, worse: Tensor, *, margin: float = 0.0) -> Tensor:
    """Return -log sigmoid(better - worse - margin) of two scores, as softplus, which never overflows.

    Source: Bradley and Terry 1952; Ouyang et al. 2022, arXiv:2203.02155, equation 1; with a margin Touvron et al. 2023,
    arXiv:2307.09288, equation 2.
    """
    return F.softplus(-(better - worse - margin))


def centring_loss(better: Tensor, worse: Tensor) -> Tensor:
    """Return (better + worse)^2, which keeps scores around zero: the pairwise loss knows their difference alone.

    Source: Eisenstein et al. 2023, arXiv:2312.09244, section 3.1.
    """
    return (better + worse) ** 2


def preferred(better: Tensor, worse: Tensor) -> Tensor:
    """Return 1 where the better one has more, 0 where it has less, and 0.5 for a tie: its mean is the accuracy."""
    return ((better > worse).to(better.dtype) + (better >= worse).to(better.dtype)) / 2


def calibration_error(differences: Tensor, *, bins: int = 10) -> float:
    """Return the expected calibration error of sigmoid(difference) as the probability that the better one is better.

    A pair has no order of its own, so each is told in both: p is sigmoid(|difference|), at least a half, and what came
    true is whether the one with the higher score was the better one (a tie half so). Bins of equal width over 0.5 to 1;
    the error is the mean over pairs of |share that came true - mean p| of their bin. 0 is best; NaN without pairs, and
    where a difference is NaN.
    Source: Naeini et al. 2015, https://ojs.aaai.org/index.php/AAAI/article/view/9602.
    """
    if not len(differences) or differences.isnan().any():
        return math.nan
    differences = differences.double()
    said = torch.sigmoid(differences.abs())
    came_true = preferred(differences, torch.zeros_like(differences))
    numbers = ((said - 0.5) * 2 * bins).long().clamp(max=bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64, device=said.device).index_add(0, numbers, came_true - said)
    return float(gaps.abs().sum()) / len(differences)


def sigmoid_loss(margins: Tensor, *, beta: float, label_smoothing: float = 0.0) -> Tensor:
    """Return -(1 - e) log sigmoid(beta m) - e log sigmoid(-beta m), with e the label smoothing.

    m is the policy's log-ratio to the reference of the better response minus that of the worse one.
    Source: DPO, Rafailov et al. 2023, arXiv:2305.18290, equation 7; smoothed Mitchell 2023,
    https://ericmitchell.ai/cdpo.pdf, equation 3.
    """
    logits = beta * margins
    return (1 - label_smoothing) * F.softplus(-logits) + label_smoothing * F.softplus(logits)


def ipo_loss(margins: Tensor, *, beta: float) -> Tensor:
    """Return (m - 1 / (2 beta))^2, of log-ratios a token.

    Source: IPO, Azar et al. 2023, arXiv:2310.12036, equation 17, whose tau is beta.
    """
    return (margins - 1 / (2 * beta)) ** 2


def hinge_loss(margins: Tensor, *, beta: float) -> Tensor:
    """Return max(0, 1 - beta m).

    Source: SLiC, Zhao et al. 2023, arXiv:2305.10425, equation 1, on log-ratios (Liu et al. 2023, arXiv:2309.06657,
    equation 11).
    """
    return F.relu(1 - beta * margins)


def odds_ratio_loss(better: Tensor, worse: Tensor) -> Tensor:
    """Return -log sigmoid(log odds(better) - log odds(worse)), with odds(p) = p / (1 - p) and p the mean a token.

    `better` and `worse` are mean log-probabilities, below 0.
    Source: ORPO, Hong et al. 2024, arXiv:2403.07691, equations 4 and 7.
    """
    return F.softplus(-(log_odds(better) - log_odds(worse)))


def log_odds(log_probabilities: Tensor) -> Tensor:
    """Return log(p / (1 - p)) of log p, with 1 - p by expm1: 1 - e^x loses everything near x = 0.

    (Where p is so small that expm1 in its turn says nothing of it, log p alone is the answer.) At p = 1, where the odds
    are infinite, the largest p below 1 that the type has stands for it.
    """
    x = log_probabilities.clamp(max=-torch.finfo(log_probabilities.dtype).eps)
    return x - torch.log(-torch.expm1(x))


def kto_loss(
    log_ratios: Tensor,
    is_good: Tensor,
    reference_point: Tensor,
    *,
    beta: float,
    good_weight: float = 1.0,
    bad_weight: float = 1.0,
) -> Tensor:
    """Return weight (1 - sigmoid(beta (r - z))) of a good response, weight (1 - sigmoid(beta (z - r))) of a bad one.

    r is the policy's log-ratio to the reference, z the reference point: a scalar, without gradient, not below 0 (see
    `kto_reference_point`). is_good is (items,) bool.
    Source: KTO, Ethayarajh et al. 2024, arXiv:2402.01306, equation 8.
    """
    above = beta * (log_ratios - reference_point)
    return torch.where(is_good, good_weight * torch.sigmoid(-above), bad_weight * torch.sigmoid(above))


def kto_reference_point(log_ratios: Tensor) -> Tensor:
    """Return z = max(0, mean log-ratio of responses to prompts not their own), which estimates the KL divergence.

    Source: KTO, arXiv:2402.01306, section 4.1. A scalar without gradient.
    """
    return log_ratios.detach().mean().clamp(min=0)


def length_normalised(sums: Tensor, lengths: Tensor) -> Tensor:
    """Return the mean of each item's tokens from the sum over them; an item without tokens has 0."""
    return sums / lengths.clamp(min=1)
