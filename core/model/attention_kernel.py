"""Causal attention inside each document of a packed row, as one operator that a compiler need not look into.

Boundaries are a tensor, so that a row with other documents needs no other graph (a Python list of lengths recompiles
until dynamo's limit and then runs eagerly). On a CPU each document goes through the flash kernel that
`scaled_dot_product_attention` would choose.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

_flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
_SHORT_ELEMENTS = 1 << 14
"""Up to so many numbers a head (256 tokens of width 64) the backward kernel is faster in float32 than in half
precision, casts included: 0.4 against 0.9 ms for 128 tokens in 4 heads, even at 256, 14 against 9 ms at 1,024
(torch 2.13)."""
_flash_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward


@torch.library.custom_op("footplate::documents_attention", mutates_args=(), device_types="cpu")
def documents_attention(
    query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    """Return the attention output of every document, and the log of each query's sum of exponentials.

    Shapes: query and output (tokens, heads, width); key and value (tokens, key_value_heads, width); boundaries
    (documents + 1,), from 0 to tokens; the logarithms (tokens, heads) in float32 (float64 for float64). All of query,
    key and value have one dtype. heads is a multiple of key_value_heads: neighbouring heads share one.
    """
    groups = query.shape[1] // key.shape[1]
    output = query.new_empty(query.shape)
    logarithms = query.new_empty(query.shape[:2], dtype=_accumulator(query.dtype))
    for start, stop in _spans(boundaries):
        span = slice(start, stop)
        document, logarithm = _flash(
            _heads_first(query[span]),
            _shared(_heads_first(key[span]), groups),
            _shared(_heads_first(value[span]), groups),
            0.0,
            True,
            scale=scale,
        )
        output[span] = document[0].transpose(0, 1)
        logarithms[span] = logarithm[0].transpose(0, 1)
    return output, logarithms


@documents_attention.register_fake
def _documents_attention_shapes(
    query: Tensor, key: Tensor, value: Tensor, boundaries: Tensor, scale: float
) -> tuple[Tensor, Tensor]:
    return query.new_empty(query.shape), query.new_empty(query.shape[:2], dtype=_accumulator(query.dtype))


@torch.library.custom_op("footplate::documents_attention_backward", mutates_args=(), device_types="cpu")
def documents_attention_backward(
    gradient: Tensor, saved: list[Tensor], boundaries: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of query, key and value; `saved` is query, key, value, output and logarithms."""
    *parts, logarithms = gradient, *saved
    _, query, key, value, _ = parts
    groups = query.shape[1] // key.shape[1]
    is_half = query.dtype in (torch.bfloat16, torch.float16)
    gradients = query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)
    for start, stop in _spans(boundaries):
        span = slice(start, stop)
        widens = is_half and (stop - start) * query.shape[2] <= _SHORT_ELEMENTS
        heads = (_heads_first(part[span]) for part in parts)
        by_output, queries, keys, values, outputs = (part.float() for part in heads) if widens else heads
        by_query, by_key, by_value = _flash_backward(
            by_output,
            queries,
            _shared(keys, groups),
            _shared(values, groups),
            outputs,
            logarithms[span].transpose(0, 1)[None],
            0.0,
            True,
            scale=scale,
        )
        gradients[0][span] = by_query[0].transpose(0, 1)
        gradients[1][span] = _summed(by_key[0].transpose(0, 1), groups)
        gradients[2][span] = _summed(by_value[0].transpose(0, 1), groups)
    return gradients


@documents_attention_backward.register_fake
def _documents_attention_backward_shapes(
    gradient: Tensor, saved: list[Tensor], boundaries: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value, _, _ = saved
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, boundaries, scale = inputs
    ctx.save_for_backward(query, key, value, *output, boundaries)
    ctx.scale = scale


def _backward(context: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *saved, boundaries = context.saved_tensors
    return (*documents_attention_backward(gradient, saved, boundaries, context.scale), None, None)


documents_attention.register_autograd(_backward, setup_context=_save)


def _spans(boundaries: Tensor) -> Iterator[tuple[int, int]]:
    return ((start, stop) for start, stop in pairwise(boundaries.tolist()) if stop > start)


def _heads_first(rows: Tensor) -> Tensor:
    return rows.transpose(0, 1)[None]  # (length, heads, width) → (1, heads, length, width)


def _shared(heads: Tensor, groups: int) -> Tensor:
    return heads if groups == 1 else heads.repeat_interleave(groups, dim=1)


def _summed(rows: Tensor, groups: int) -> Tensor:
    return rows if groups == 1 else rows.view(rows.shape[0], -1, groups, rows.shape[2]).sum(2)


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype is torch.float64 else torch.float32
