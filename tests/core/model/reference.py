"""The loss by the longest way: each document alone through the model's own forward, float64 cross entropy by hand."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from core.model.batch import IGNORED, PackedBatch


def apart(model: Any, batch: PackedBatch) -> Tensor:
    """Return the logits of each document alone, (tokens, vocabulary)."""
    parts = torch.split(batch.input_ids, list(batch.lengths), dim=1)
    return torch.cat([model(input_ids=part, use_cache=False).logits[0] for part in parts])


def loss_apart(model: Any, batch: PackedBatch) -> Tensor:
    """Return the sum of -log p(target) over the targets, each times its weight where the batch has weights."""
    logits = apart(model, batch)
    weights = [1.0] * logits.shape[0] if batch.weights is None else batch.weights[0].tolist()
    total = logits.new_zeros(())
    for position, target in enumerate(batch.targets[0].tolist()):
        if target != IGNORED:
            total = total + weights[position] * (logits[position].logsumexp(0) - logits[position, target])
    return total


def gradients(model: Any, loss: Tensor) -> dict[str, Tensor]:
    """Return the gradient of every parameter, and leave none behind."""
    model.zero_grad(set_to_none=True)
    loss.backward()
    found = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    model.zero_grad(set_to_none=True)
    return found
