"""Log-probabilities and entropies of rows of logits, and the gradient that the logits get, in cache-sized blocks.

Everything is in float32 (float64 for float64) whatever the type of the logits. With z = logits / temperature,
log p = z - logsumexp(z) and H = -sum p log p:

    d log p(target) / d logits = (onehot - p) / temperature
    d H / d logits = -p (log p + H) / temperature
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_BLOCK_ELEMENTS = 1 << 19
"""Elements turned into float32 at once on a CPU: 2 MB, about a core's second-level cache."""


@dataclass(frozen=True)
class Rows:
    """What is known of some rows of logits. Shapes: all (rows,), in float32 (float64 for float64).

    values: log p(target), nats. normalisers: logsumexp of the logits over the temperature. entropies: nats, None where
    they were not asked for.
    """

    values: Tensor
    normalisers: Tensor
    entropies: Tensor | None

    @classmethod
    def empty(cls, rows: int, like: Tensor, *, with_entropies: bool) -> Rows:
        """Return room for so many rows, in the type in which sums over `like` are taken."""
        exact = exact_dtype(like.dtype)
        values, normalisers = (like.new_empty(rows, dtype=exact) for _ in range(2))
        return cls(values, normalisers, like.new_empty(rows, dtype=exact) if with_entropies else None)

    def part(self, start: int, size: int) -> Rows:
        """Return some of the rows, which share their memory with these."""
        stop = start + size
        entropies = None if self.entropies is None else self.entropies[start:stop]
        return Rows(self.values[start:stop], self.normalisers[start:stop], entropies)


def exact_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the type in which sums over numbers of `dtype` are taken."""
    return torch.float64 if dtype is torch.float64 else torch.float32


def read_rows(logits: Tensor, tokens: Tensor, into: Rows, *, temperature: float, to_gradient: bool = False) -> None:
    """Fill `into` from logits (rows, vocabulary) and the targets (rows,).

    With `to_gradient` the logits become the gradient of each row's log p(target), in place.
    """
    for start, part, wide in _blocks(logits):
        rows = into.part(start, len(part))
        index = tokens[start : start + len(part), None]
        scaled = wide[0].copy_(part)
        if temperature != 1.0:
            scaled.div_(temperature)
        log_p = torch.ops.aten._log_softmax.out(scaled, 1, False, out=wide[1])
        rows.values.copy_(log_p.gather(1, index)[:, 0])
        rows.normalisers.copy_(scaled.gather(1, index)[:, 0] - rows.values)
        if rows.entropies is not None:
            rows.entropies.copy_(torch.exp(log_p, out=scaled).mul_(log_p).sum(1).neg_())
        if to_gradient:
            gradient = log_p.exp_().mul_(-1 / temperature)
            part.copy_(gradient.scatter_add_(1, index, gradient.new_full(index.shape, 1 / temperature)))


def become_gradient(
    logits: Tensor, tokens: Tensor, known: Rows, by_values: Tensor, by_entropies: Tensor | None, *, temperature: float
) -> None:
    """Turn logits (rows, vocabulary) into their gradient, in place.

    `by_values` and `by_entropies` (rows,) are the gradients of log p(target) and of the entropy.
    """
    by_values = by_values.to(known.values.dtype) / temperature
    for start, part, wide in _blocks(logits):
        rows, stop = known.part(start, len(part)), start + len(part)
        index, gradient = tokens[start:stop, None], by_values[start:stop, None]
        log_p = wide[0].copy_(part)
        if temperature != 1.0:
            log_p.div_(temperature)
        log_p.sub_(rows.normalisers[:, None])
        if by_entropies is None or rows.entropies is None:
            result = log_p.exp_().mul_(-gradient)
        else:
            by_entropy = by_entropies[start:stop, None].to(log_p.dtype) / temperature
            p = torch.exp(log_p, out=wide[1])
            result = log_p.add_(rows.entropies[:, None]).mul_(-by_entropy).sub_(gradient).mul_(p)
        part.copy_(result.scatter_add_(1, index, gradient))


def _blocks(logits: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Yield the first row, the rows themselves, and two buffers of their size (2, rows, vocabulary)."""
    rows, width = logits.shape
    size = max(1, _BLOCK_ELEMENTS // width) if logits.device.type == "cpu" else max(1, rows)
    buffers = logits.new_empty(2, min(size, rows), width, dtype=exact_dtype(logits.dtype))
    for start in range(0, rows, size):
        part = logits[start : start + size]
        yield start, part, buffers[:, : len(part)]
