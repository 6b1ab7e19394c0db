"""What a step minimises: counts of the items that a loss averages over, and the SUM of the loss over them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

import torch
from torch import Tensor

from core.model.batch import PackedBatch
from core.model.reading import Reading, next_token_loss


class Batch(Protocol):
    """What a micro-batch says of itself, whatever it holds."""

    @property
    def tokens(self) -> int:
        """Number of tokens, without padding."""

    @property
    def rows(self) -> tuple[int, ...]:
        """Numbers of the rows inside, for messages."""

    def to(self, device: torch.device) -> Self:
        """Return the same batch on `device`."""


B_contra = TypeVar("B_contra", contravariant=True, bound=Batch)


@dataclass(frozen=True)
class Terms:
    """What an objective found in a micro-batch.

    sums: of each loss term over its items, scalars with their graph. metrics: by series name, the sum over items as a
    scalar without a graph, and how many items there were; a step shows the quotient over all its micro-batches.
    """

    sums: tuple[Tensor, ...]
    metrics: Mapping[str, tuple[Tensor, float]] = field(default_factory=dict)


class Objective(Protocol[B_contra]):
    """A loss of one or more terms; the engine divides each by the count of the whole step and adds them by weight."""

    @property
    def weights(self) -> tuple[float, ...]:
        """The weight of each term."""

    def count(self, batch: B_contra) -> tuple[float, ...]:
        """Return how many items, or how much weight, each term averages over in this micro-batch.

        It is known without the model.
        """

    def __call__(self, model: Any, batch: B_contra) -> Terms:
        """Return the SUM of each term over its items, with the graph, and what else is to be shown."""


@dataclass(frozen=True)
class NextToken:
    """Cross entropy of the next token, over the tokens that count (Radford et al. 2018, equation 1).

    Where batches have weights, the loss of a step is the weighted mean over all of it: sum of weight times cross
    entropy, divided by the sum of the weights. Weights that are all doubled change nothing.
    """

    reading: Reading
    weights: tuple[float, ...] = (1.0,)

    def count(self, batch: PackedBatch) -> tuple[float, ...]:
        """Return the number of target tokens, or the sum of their weights."""
        return (batch.target_weight,)

    def __call__(self, model: Any, batch: PackedBatch) -> Terms:
        """Return the sum of -log p(target) in nats over the target tokens, each by its weight."""
        return Terms((next_token_loss(model, self.reading, batch),))
