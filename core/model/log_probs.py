"""Log-probabilities of the targets of packed documents, in chunks, so that the full logits never stand in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.model.batch import IGNORED, PackedBatch
from core.model.head import Logits, head_logits, head_parameters
from core.model.log_softmax import Rows, become_gradient, exact_dtype, read_rows
from core.model.matrix_log_probs import matrix_log_probs
from core.model.reading import Reading, hidden_states, kept_logits

Entropy = Literal["none", "shown", "trained"]
"""none: not computed. shown: computed, without a gradient. trained: with one."""


@dataclass(frozen=True)
class TargetLogProbs:
    """What a model thinks of the targets of a batch, one number a target, in the order of the row.

    Shapes: both (targets,), float32 (float64 for float64), in nats. values: log p(target), with its graph. entropies:
    of the distribution that the target was drawn from, None where not asked for.
    """

    values: Tensor
    entropies: Tensor | None = None


def target_log_probs(
    model: Any, reading: Reading, batch: PackedBatch, *, temperature: float = 1.0, entropy: Entropy = "none"
) -> TargetLogProbs:
    """Return log p(target) at each position that has one, from the logits over `temperature`.

    The full logits never stand in memory, but for a head of kind keep. A backward pass computes those of a chunk again
    where the head is trained; without gradients nothing is computed twice.
    """
    positions = target_positions(batch)
    if reading.head == "keep":
        logits = kept_logits(model, reading, batch, positions)
        return _whole(logits, batch.targets[0][positions], temperature, entropy)
    hidden = hidden_states(model, reading, batch)[positions]
    return log_probs_behind(model, reading, hidden, batch.targets[0][positions], temperature, entropy)


def log_probs_behind(
    model: Any, reading: Reading, hidden: Tensor, tokens: Tensor, temperature: float, entropy: Entropy
) -> TargetLogProbs:
    """Return log p(tokens) from the hidden states (targets, width) that predict them; not for a head of kind keep."""
    assert reading.head != "keep"
    if reading.head == "matrix":
        values, entropies = matrix_log_probs(
            model.get_output_embeddings(), hidden, tokens,
            temperature=temperature, entropy=entropy, chunk=reading.chunk,
        )  # fmt: skip
    else:
        logits, parameters = head_logits(model, reading.head), head_parameters(model)
        values, entropies = _ChunkedLogProbs.apply(  # type: ignore[no-untyped-call]
            logits, hidden, tokens, temperature, entropy, reading.chunk, *parameters
        )
    return TargetLogProbs(values, None if entropy == "none" else entropies)


def target_positions(batch: PackedBatch) -> Tensor:
    """Return where the row has a target, (targets,) int64."""
    return (batch.targets[0] != IGNORED).nonzero()[:, 0]


def target_documents(batch: PackedBatch) -> Tensor:
    """Return the number of the document that each target belongs to, (targets,) int64."""
    return torch.bucketize(target_positions(batch), batch.boundaries[1:], right=True)


def sums_by_document(values: Tensor, batch: PackedBatch) -> Tensor:
    """Return the sum of `values` (targets,) over each document, (documents,); 0 for one without targets."""
    return values.new_zeros(batch.documents).index_add(0, target_documents(batch), values)


def _whole(logits: Tensor, tokens: Tensor, temperature: float, entropy: Entropy) -> TargetLogProbs:
    """Return what `target_log_probs` does from all logits (targets, vocabulary), by torch's own graph."""
    log_p = (logits.to(exact_dtype(logits.dtype)) / temperature).log_softmax(-1)
    values = log_p.gather(1, tokens[:, None])[:, 0]
    if entropy == "none":
        return TargetLogProbs(values)
    with torch.set_grad_enabled(entropy == "trained" and torch.is_grad_enabled()):
        entropies = -(log_p.exp() * log_p).sum(-1)
    return TargetLogProbs(values, entropies)


class _ChunkedLogProbs(torch.autograd.Function):
    """The same as matrix_log_probs for any head: a function of hidden states, and the parameters that it uses."""

    @staticmethod
    def forward(
        context: Any,
        logits: Logits,
        hidden: Tensor,
        tokens: Tensor,
        temperature: float,
        entropy: str,
        chunk: int,
        *parameters: nn.Parameter,
    ) -> tuple[Tensor, Tensor]:
        rows = Rows.empty(len(tokens), hidden, with_entropies=entropy != "none")
        kind = hidden.device.type
        context.autocast = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
        for start in range(0, len(tokens), chunk):
            part = slice(start, start + chunk)
            found = logits(hidden[part])
            read_rows(found, tokens[part], rows.part(start, len(found)), temperature=temperature)
        entropies = rows.values.new_empty(0) if rows.entropies is None else rows.entropies
        context.save_for_backward(hidden, tokens, rows.values, rows.normalisers, entropies, *parameters)
        context.settings = logits, temperature, entropy, chunk
        if entropy != "trained":
            context.mark_non_differentiable(entropies)
        return rows.values, entropies

    @staticmethod
    def backward(context: Any, by_values: Tensor, by_entropies: Tensor) -> tuple[Tensor | None, ...]:
        logits, temperature, entropy, chunk = context.settings
        hidden, tokens, values, normalisers, entropies, *parameters = context.saved_tensors
        known = Rows(values, normalisers, entropies if entropy == "trained" else None)
        by_hidden = torch.empty_like(hidden)
        by_parameters = [torch.zeros_like(parameter) for parameter in parameters]
        enabled, dtype = context.autocast
        with torch.enable_grad(), torch.autocast(hidden.device.type, dtype, enabled=enabled):
            for start in range(0, len(tokens), chunk):
                part = slice(start, start + chunk)
                leaf = hidden[part].detach().requires_grad_()
                found = logits(leaf)
                gradient = found.detach().clone()  # the head's own backward pass may need its result
                become_gradient(
                    gradient,
                    tokens[part],
                    known.part(start, len(gradient)),
                    by_values[part],
                    by_entropies[part] if entropy == "trained" else None,
                    temperature=temperature,
                )
                by_leaf, *further = torch.autograd.grad(found, [leaf, *parameters], gradient, allow_unused=True)
                by_hidden[part] = by_leaf
                for total, one in zip(by_parameters, further, strict=True):
                    if one is not None:  # another head stands outside the body too
                        total += one
        return None, by_hidden, None, None, None, None, *by_parameters
