"""Cross entropy behind a head that is one matrix: loss and gradients of a chunk in one pass, in buffers used again.

The logits of a chunk stand once, in the type of the matrix product, and become their own gradient in place; float32
copies of them exist only for as many rows as fit a core's cache. That matters more than the arithmetic: every large
tensor that is allocated anew is zeroed page by page by the kernel first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from core.model.head import Targets

_BLOCK_ELEMENTS = 1 << 19
"""Elements turned into float32 at once on a CPU: 2 MB, about a core's second-level cache."""


def matrix_cross_entropy_sum(head: nn.Linear, hidden: Tensor, targets: Targets, *, chunk: int) -> Tensor:
    """Return the sum of the cross entropies of `head(hidden)` by their weights, in float32 (float64 for float64).

    Shapes: hidden (positions, width). Products are in autocast's type where autocast is on, the
    softmax and the sums over chunks in float32. The gradients come with the forward pass, so a second backward pass is
    an error.
    """
    loss: Tensor = _MatrixCrossEntropy.apply(chunk, hidden, targets, head.weight, head.bias)  # type: ignore[no-untyped-call]
    return loss


class _MatrixCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, chunk: int, hidden: Tensor, targets: Targets, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        kind = hidden.device.type
        product = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        with torch.autocast(kind, enabled=False):
            sums = _Sums(weight.to(product), None if bias is None else bias.to(product), context.needs_input_grad)
            for start in range(0, len(targets), chunk):
                sums.add(hidden[start : start + chunk], targets.part(start, chunk))
        context.gradients = sums.gradients(hidden, weight)
        return sums.loss.to(torch.float64 if hidden.dtype is torch.float64 else torch.float32)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        # Taken out, not saved: each tensor is handed on to autograd, which may then keep it as `.grad` without a copy.
        by_hidden, by_weight, by_bias = (None if one is None else one.mul_(gradient) for one in context.gradients)
        del context.gradients
        return None, by_hidden, None, by_weight, by_bias


class _Sums:
    """Loss and gradients over the chunks so far. `weight` and `bias` are in the type of the products."""

    def __init__(self, weight: Tensor, bias: Tensor | None, needs: tuple[bool, ...]) -> None:
        self._weight, self._bias = weight, bias
        _, self._needs_hidden, _, self._needs_weight, self._needs_bias = needs
        self._exact = torch.float64 if weight.dtype is torch.float64 else torch.float32
        self.loss = weight.new_zeros((), dtype=torch.float64)
        self._by_hidden: list[Tensor] = []
        self._by_weight: Tensor | None = None
        self._by_bias: Tensor | None = None
        self._logits = weight.new_empty(0)
        self._product = weight.new_empty(0)

    def add(self, hidden: Tensor, targets: Targets) -> None:
        rows, width = len(targets), self._weight.shape[0]
        if self._logits.numel() < rows * width:
            self._logits = self._weight.new_empty(rows, width)
        hidden = hidden.to(self._weight.dtype)
        logits = self._logits[:rows]
        torch.mm(hidden, self._weight.T, out=logits)
        if self._bias is not None:
            logits += self._bias
        self.loss += _become_gradient(logits, targets, self._exact)
        if self._needs_hidden:
            self._by_hidden.append(logits @ self._weight)
        if self._needs_weight:
            self._by_weight = self._added(self._by_weight, logits, hidden)
        if self._needs_bias:
            by_bias = logits.sum(0, dtype=self._exact)
            self._by_bias = by_bias if self._by_bias is None else self._by_bias + by_bias

    def gradients(self, hidden: Tensor, weight: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        by_hidden = torch.cat(self._by_hidden).to(hidden.dtype) if self._by_hidden else None
        if by_hidden is None and self._needs_hidden:
            by_hidden = torch.zeros_like(hidden)
        by_weight = self._by_weight
        if by_weight is None and self._needs_weight:
            by_weight = torch.zeros_like(weight)
        return by_hidden, None if by_weight is None else by_weight.to(weight.dtype), self._by_bias

    def _added(self, sum_: Tensor | None, logits: Tensor, hidden: Tensor) -> Tensor:
        if self._weight.dtype is self._exact:
            if sum_ is None:
                return logits.T @ hidden
            return sum_.addmm_(logits.T, hidden)
        if not self._product.numel():
            self._product = torch.empty_like(self._weight)
        torch.mm(logits.T, hidden, out=self._product)
        return self._product.to(self._exact) if sum_ is None else sum_.add_(self._product)


def _become_gradient(logits: Tensor, targets: Targets, exact: torch.dtype) -> Tensor:
    """Turn logits into the gradient of their cross entropy in place, and return the sum of the cross entropies.

    The gradient is softmax minus one at the target; both are times the weight of their row.
    """
    rows, width = logits.shape
    block = max(1, _BLOCK_ELEMENTS // width) if logits.device.type == "cpu" else rows
    wide = logits.new_empty(min(block, rows), width, dtype=exact)
    logarithms = torch.empty_like(wide)
    total = logits.new_zeros((), dtype=torch.float64)
    for start in range(0, rows, block):
        part = logits[start : start + block]
        size = len(part)
        wide[:size].copy_(part)
        log_softmax = torch.ops.aten._log_softmax.out(wide[:size], 1, False, out=logarithms[:size])
        wanted = targets.part(start, block)
        index = wanted.tokens[:, None]
        logarithm = log_softmax.gather(1, index)
        gradient = log_softmax.exp_().scatter_add_(1, index, logarithm.new_full(index.shape, -1.0))
        if wanted.weights is not None:
            scale = wanted.weights[:, None].to(exact)
            logarithm, gradient = logarithm.double() * scale, gradient.mul_(scale)
        total -= logarithm.sum(dtype=torch.float64)
        part.copy_(gradient)
    return total
