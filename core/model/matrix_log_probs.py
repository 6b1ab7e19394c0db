"""Log-probabilities behind a head that is one matrix: the logits of a chunk stand once, in a buffer used again.

Where only the hidden states get a gradient (the head is frozen), the gradient of each log-probability by its hidden
state is made with it, and the backward pass is a product by row. Where the matrix gets one too, the backward pass
computes the logits of a chunk once more and turns them into their gradient in place; those of the last chunk, which
stand in the buffer anyway, are kept for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from core.model.log_softmax import Rows, become_gradient, exact_dtype, read_rows


def matrix_log_probs(
    head: nn.Linear, hidden: Tensor, tokens: Tensor, *, temperature: float, entropy: str, chunk: int
) -> tuple[Tensor, Tensor]:
    """Return log p(tokens) under softmax(head(hidden) / temperature) and entropies, both (targets,).

    Shapes: hidden (targets, width), tokens (targets,). Products are in autocast's type where autocast is on, everything
    behind them and sums over chunks in float32 (float64 for float64). entropy: none gives an empty tensor, shown one
    without a gradient, trained one with.
    """
    values, entropies = _MatrixLogProbs.apply(  # type: ignore[no-untyped-call]
        hidden, head.weight, head.bias, tokens, temperature, entropy, chunk
    )
    return values, entropies


class _MatrixLogProbs(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        tokens: Tensor,
        temperature: float,
        entropy: str,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        kind = hidden.device.type
        product = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        by_hidden, by_weight, by_bias, *_ = context.needs_input_grad
        is_unit = by_hidden and not by_weight and not by_bias and entropy != "trained"
        with torch.autocast(kind, enabled=False):
            head = _Head(weight.to(product), None if bias is None else bias.to(product), chunk)
            rows = Rows.empty(len(tokens), head.weight, with_entropies=entropy != "none")
            units = head.weight.new_empty(hidden.shape) if is_unit else None
            for part, logits in head.chunks(hidden):
                into = rows.part(part.start, len(logits))
                read_rows(logits, tokens[part], into, temperature=temperature, to_gradient=is_unit)
                if units is not None:
                    torch.mm(logits, head.weight, out=units[part])
        entropies = rows.values.new_empty(0) if rows.entropies is None else rows.entropies
        context.settings = temperature, chunk, hidden.dtype, entropy
        context.kept = None
        if units is not None:
            context.save_for_backward(units)
        elif by_hidden or by_weight or by_bias:
            # The matrix in the type of the products: to make it again takes longer than to keep it.
            context.save_for_backward(hidden, head.weight, head.bias, tokens, rows.values, rows.normalisers, entropies)
            context.kept = head.last
        if entropy != "trained":
            context.mark_non_differentiable(entropies)
        context.weight_dtype = weight.dtype
        return rows.values, entropies

    @staticmethod
    def backward(context: Any, by_values: Tensor, by_entropies: Tensor) -> tuple[Tensor | None, ...]:
        temperature, chunk, dtype, entropy = context.settings
        if len(context.saved_tensors) == 1:
            (units,) = context.saved_tensors
            return (units * by_values[:, None]).to(dtype), None, None, None, None, None, None
        hidden, weight, bias, tokens, values, normalisers, entropies = context.saved_tensors
        known = Rows(values, normalisers, entropies if entropy == "trained" else None)
        with torch.autocast(hidden.device.type, enabled=False):
            head = _Head(weight, bias, chunk)
            sums = _Sums(head, context.needs_input_grad, hidden)
            kept, context.kept = context.kept, None  # it becomes the gradient: another backward pass computes it again
            for part, logits in head.chunks(hidden, kept):
                become_gradient(
                    logits,
                    tokens[part],
                    known.part(part.start, len(logits)),
                    by_values[part],
                    by_entropies[part] if entropy == "trained" else None,
                    temperature=temperature,
                )
                sums.add(part, logits)
        by_weight = None if sums.by_weight is None else sums.by_weight.to(context.weight_dtype)
        return sums.by_hidden, by_weight, sums.by_bias, None, None, None, None


class _Head:
    """The matrix in the type of the products, and one buffer for the logits of a chunk."""

    def __init__(self, weight: Tensor, bias: Tensor | None, chunk: int) -> None:
        self.weight, self.bias, self._chunk = weight, bias, chunk
        self.last: Tensor | None = None
        """The buffer, in which the logits of the last chunk stand."""

    def chunks(self, hidden: Tensor, kept: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
        """Yield rows and their logits (rows, vocabulary), which are the caller's until the next chunk.

        kept: the buffer of a pass over the same hidden states, whose last chunk comes first then.
        """
        starts = list(range(0, len(hidden), self._chunk))
        buffer = kept
        if buffer is None:
            buffer = self.weight.new_empty(min(self._chunk, len(hidden)), len(self.weight))
        elif starts:
            start = starts.pop()
            yield slice(start, len(hidden)), buffer[: len(hidden) - start]
        for start in starts:
            rows = hidden[start : start + self._chunk].to(self.weight.dtype)
            logits = torch.mm(rows, self.weight.T, out=buffer[: len(rows)])
            if self.bias is not None:
                logits += self.bias
            yield slice(start, start + len(rows)), logits
        self.last = buffer


class _Sums:
    """The gradients over the chunks so far, of those that need one."""

    def __init__(self, head: _Head, needs: tuple[bool, ...], hidden: Tensor) -> None:
        needs_hidden, needs_weight, needs_bias, *_ = needs
        self._weight, self._hidden = head.weight, hidden
        self._exact = exact_dtype(head.weight.dtype)
        self.by_hidden = torch.empty_like(hidden) if needs_hidden else None
        self.by_weight = torch.zeros_like(head.weight, dtype=self._exact) if needs_weight else None
        self.by_bias = head.weight.new_zeros(len(head.weight), dtype=self._exact) if needs_bias else None
        self._product = head.weight.new_empty(0)

    def add(self, part: slice, gradient: Tensor) -> None:
        """Add the gradient of a chunk's logits, (rows, vocabulary)."""
        if self.by_hidden is not None:
            self.by_hidden[part] = gradient @ self._weight
        if self.by_bias is not None:
            self.by_bias += gradient.sum(0, dtype=self._exact)
        if self.by_weight is None:
            return
        rows = self._hidden[part].to(self._weight.dtype)
        if self._weight.dtype is self._exact:
            self.by_weight.addmm_(gradient.T, rows)
            return
        if not self._product.numel():
            self._product = torch.empty_like(self._weight)
        self.by_weight += torch.mm(gradient.T, rows, out=self._product)
