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
    query: Tensor,
    key: Tensor,
    value: Tensor,
    boundaries: Tensor,
    scale: float,
    places: Tensor | None = None,
    key_boundaries: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return the attention output of every document, and the log of each query's sum of exponentials.

    Shapes: query and output (tokens, heads, width); key and value (tokens, key_value_heads, width); boundaries
    (documents + 1,), from 0 to tokens; the logarithms (tokens, heads) in float32 (float64 for float64). All of query,
    key and value have one dtype. heads is a multiple of key_value_heads: neighbouring heads share one. places and
    key_boundaries are those of `SharedPrefixes`, None where no document has its prefix elsewhere.
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
    for span, prefix in _prefixed(boundaries, places, key_boundaries):
        behind, logarithm = _flash(
            _heads_first(query[span]),
            _shared(_heads_first(key[prefix]), groups),
            _shared(_heads_first(value[prefix]), groups),
            0.0,
            False,
            scale=scale,
        )
        _merge(output[span], logarithms[span], behind[0].transpose(0, 1), logarithm[0].transpose(0, 1))
    return output, logarithms


def _merge(output: Tensor, logarithms: Tensor, further: Tensor, further_logarithms: Tensor) -> None:
    """Make attention over some keys that over further ones as well (Dao 2022, arXiv:2205.14135, section 3.1)."""
    both = torch.logaddexp(logarithms, further_logarithms)
    share, rest = ((part - both).exp()[..., None] for part in (logarithms, further_logarithms))
    output.copy_(output * share + further * rest)
    logarithms.copy_(both)


@documents_attention.register_fake
def _documents_attention_shapes(query: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
    return query.new_empty(query.shape), query.new_empty(query.shape[:2], dtype=_accumulator(query.dtype))


@torch.library.custom_op("footplate::documents_attention_backward", mutates_args=(), device_types="cpu")
def documents_attention_backward(
    gradient: Tensor,
    saved: list[Tensor],
    boundaries: Tensor,
    scale: float,
    places: Tensor | None = None,
    key_boundaries: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of query, key and value; `saved` is query, key, value, output and logarithms.

    What a document sees of its prefix has its gradient by the output and logarithms over all keys, so the two add up.
    """
    query, key, value, _, _ = saved
    gradients = query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)
    for start, stop in _spans(boundaries):
        span = slice(start, stop)
        for whole, part in zip(gradients, _by_span(gradient, saved, span, span, scale), strict=True):
            whole[span] = part
    for span, prefix in _prefixed(boundaries, places, key_boundaries):
        by_query, by_key, by_value = _by_span(gradient, saved, span, prefix, scale)
        gradients[0][span] += by_query
        gradients[1][prefix] += by_key
        gradients[2][prefix] += by_value
    return gradients


def _by_span(
    gradient: Tensor, saved: list[Tensor], span: slice, keys: slice, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the queries of `span` and of the keys and values of `keys`: itself, or a prefix."""
    query, key, value, output, logarithms = saved
    groups = query.shape[1] // key.shape[1]
    parts = gradient[span], query[span], key[keys], value[keys], output[span]
    longest = max(span.stop - span.start, keys.stop - keys.start)
    widens = query.dtype in (torch.bfloat16, torch.float16) and longest * query.shape[2] <= _SHORT_ELEMENTS
    heads = (_heads_first(part.float() if widens else part) for part in parts)
    by_output, queries, own_keys, own_values, outputs = heads
    by_query, by_key, by_value = _flash_backward(
        by_output,
        queries,
        _shared(own_keys, groups),
        _shared(own_values, groups),
        outputs,
        logarithms[span].transpose(0, 1)[None],
        0.0,
        keys == span,
        scale=scale,
    )
    return (
        by_query[0].transpose(0, 1),
        _summed(by_key[0].transpose(0, 1), groups),
        _summed(by_value[0].transpose(0, 1), groups),
    )


@documents_attention_backward.register_fake
def _documents_attention_backward_shapes(_: Tensor, saved: list[Tensor], *__: Any) -> tuple[Tensor, Tensor, Tensor]:
    query, key, value, _, _ = saved
    return query.new_empty(query.shape), key.new_empty(key.shape), value.new_empty(value.shape)


def _save(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    query, key, value, boundaries, scale, *prefixes = inputs
    ctx.save_for_backward(query, key, value, *output, boundaries, *prefixes)
    ctx.scale = scale


def _backward(context: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
    *saved, boundaries, places, key_boundaries = context.saved_tensors
    found = documents_attention_backward(gradient, saved, boundaries, context.scale, places, key_boundaries)
    return (*found, None, None, None, None)


documents_attention.register_autograd(_backward, setup_context=_save)


def _spans(boundaries: Tensor) -> Iterator[tuple[int, int]]:
    return ((start, stop) for start, stop in pairwise(boundaries.tolist()) if stop > start)


def _prefixed(
    boundaries: Tensor, places: Tensor | None, key_boundaries: Tensor | None
) -> Iterator[tuple[slice, slice]]:
    """Yield each document that sees a prefix, and that prefix.

    One by one, although neighbours may see the same: so a document's result does not depend on who is beside it.
    """
    if places is None or key_boundaries is None:
        return
    begins = places[key_boundaries[:-1].long()].tolist()
    lengths = (key_boundaries.diff() - boundaries.diff()).tolist()
    for (start, stop), begin, length in zip(pairwise(boundaries.tolist()), begins, lengths, strict=True):
        if length:
            yield slice(start, stop), slice(begin, begin + length)


def _heads_first(rows: Tensor) -> Tensor:
    return rows.transpose(0, 1)[None]  # (length, heads, width) → (1, heads, length, width)


def _shared(heads: Tensor, groups: int) -> Tensor:
    return heads if groups == 1 else heads.repeat_interleave(groups, dim=1)


def _summed(rows: Tensor, groups: int) -> Tensor:
    return rows if groups == 1 else rows.view(rows.shape[0], -1, groups, rows.shape[2]).sum(2)


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    return torch.float64 if dtype is torch.float64 else torch.float32
