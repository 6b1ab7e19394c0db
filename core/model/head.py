"""The output head on the positions where the loss counts, in chunks, so that the full logits never stand in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.utils import ModelOutput

HeadKind = Literal["matrix", "stub", "linear", "keep"]
"""matrix: the logits are hidden states times one matrix and nothing else, which has a faster way of its own. stub: the
model's own forward over a body that hands on what it is given, so that soft caps and scales of the logits are the
model's own. linear: the output embedding as a module. keep: `logits_to_keep`, not in chunks."""

Logits = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Targets:
    """What positions are to predict, and what each counts (None: 1). Shapes: (positions,) int64, (positions,)."""

    tokens: Tensor
    weights: Tensor | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    def part(self, start: int, size: int) -> Targets:
        """Return the targets of `size` positions."""
        stop = start + size
        return Targets(self.tokens[start:stop], None if self.weights is None else self.weights[start:stop])


def weighted_cross_entropy_sum(logits: Tensor, targets: Targets) -> Tensor:
    """Return the sum of the cross entropies, each times its weight, in float32 (float64 for float64).

    Shapes: logits (positions, vocabulary).
    """
    logits = logits.to(_loss_dtype(logits.dtype))
    if targets.weights is None:
        return F.cross_entropy(logits, targets.tokens, reduction="sum")
    return (F.cross_entropy(logits, targets.tokens, reduction="none") * targets.weights.to(logits.dtype)).sum()


def head_logits(model: Any, kind: Literal["matrix", "stub", "linear"]) -> Logits:
    """Return the function from hidden states (positions, width) to logits (positions, vocabulary)."""
    if kind != "stub":
        head: nn.Module = model.get_output_embeddings()
        return head
    stub = copy.copy(model)
    stub.__dict__["_modules"] = dict(model._modules)
    stub._modules[model.base_model_prefix] = _Body(model.base_model)

    def logits(hidden: Tensor) -> Tensor:
        result: Tensor = stub(inputs_embeds=hidden[None], use_cache=False).logits.squeeze(0)
        return result

    return logits


def head_parameters(model: Any) -> list[nn.Parameter]:
    """Return the trainable parameters that stand outside the body, tied ones included."""
    outside = [child for name, child in model._modules.items() if name != model.base_model_prefix and child is not None]
    found = [*model._parameters.values(), *(parameter for child in outside for parameter in child.parameters())]
    unique = {id(parameter): parameter for parameter in found if parameter is not None and parameter.requires_grad}
    return list(unique.values())


def cross_entropy_sum(
    logits: Logits, hidden: Tensor, targets: Targets, parameters: list[nn.Parameter], *, chunk: int
) -> Tensor:
    """Return the sum of the cross entropies at all positions by their weights, in float32 (float64 for float64).

    Shapes: hidden (positions, width). `parameters` are those that `logits` uses: their gradients
    are made chunk by chunk together with the loss, so no logits are kept or computed a second time.
    """
    loss: Tensor = _ChunkedCrossEntropy.apply(logits, chunk, hidden, targets, *parameters)  # type: ignore[no-untyped-call]
    return loss


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, logits: Logits, chunk: int, hidden: Tensor, targets: Targets, *parameters: nn.Parameter
    ) -> Tensor:
        total = hidden.new_zeros((), dtype=_loss_dtype(hidden.dtype))
        needs_gradient = any(context.needs_input_grad)
        if not needs_gradient:
            for part, wanted in _chunks(hidden, targets, chunk):
                total += weighted_cross_entropy_sum(logits(part), wanted)
            return total
        by_hidden = torch.empty_like(hidden)
        by_parameters = [torch.zeros_like(parameter) for parameter in parameters]
        start = 0
        for part, wanted in _chunks(hidden, targets, chunk):
            with torch.enable_grad():
                leaf = part.detach().requires_grad_()
                loss = weighted_cross_entropy_sum(logits(leaf), wanted)
            # Not all that stands outside the body is behind the logits: a head of scores or values is not.
            by_leaf, *further = torch.autograd.grad(loss, [leaf, *parameters], materialize_grads=True)
            total += loss.detach()
            by_hidden[start : start + len(part)] = by_leaf
            for sum_, gradient in zip(by_parameters, further, strict=True):
                sum_ += gradient
            start += len(part)
        context.gradients = by_hidden, by_parameters
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # Taken out, not saved: each tensor is handed on to autograd, which may then keep it as `.grad` without a copy.
        by_hidden, by_parameters = context.gradients
        del context.gradients
        return None, None, by_hidden.mul_(gradient), None, *(each.mul_(gradient) for each in by_parameters)


def _chunks(hidden: Tensor, targets: Targets, chunk: int) -> Iterator[tuple[Tensor, Targets]]:
    for number, part in enumerate(torch.split(hidden, chunk)):
        yield part, targets.part(number * chunk, chunk)


def _loss_dtype(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype is torch.float64 else torch.float32


class _Body(nn.Module):
    """Stands where a model's body was and returns the hidden states that it is given."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.__dict__["body"] = body  # not registered: its parameters are not this module's

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["body"], name)

    def forward(self, *_: Any, inputs_embeds: Tensor, **__: Any) -> _BodyOutput:
        return _BodyOutput(last_hidden_state=inputs_embeds)


@dataclass
class _BodyOutput(ModelOutput):  # type: ignore[misc]  # transformers carries no types for mypy here
    """What a body returns: the hidden states, and None for whatever else a model's forward looks for."""

    last_hidden_state: Tensor | None = None

    def __getattr__(self, name: str) -> None:
        if name.startswith("_"):
            raise AttributeError(name)
