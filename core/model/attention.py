"""The attention called "documents": packed rows without a mask, everything else through sdpa.

It goes in through the seam that transformers keeps for this, so no model class is touched. A packed row carries the
official keywords (`cu_seq_lens_q` and its kin); a mask that is asked for such a row comes back empty, which is the mark
by which the attention function knows that the boundaries stand for the mask. Padding, sliding windows, and generation
get an ordinary mask and ordinary sdpa. Whatever this function would have to ignore (soft caps, sinks, biases) it
refuses: silence there would be wrong numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.model.attention_kernel import documents_attention
from core.model.batch import SharedPrefixes

NAME = "documents"
_HARMLESS = {
    *("position_ids", "cu_seq_lens_k", "max_length_q", "max_length_k", "seq_idx", "is_causal", "sliding_window"),
    *("use_cache", "cache", "past_key_values", "layer_idx", "encoder_hidden_states"),
    *("output_attentions", "output_router_logits", "output_hidden_states"),
}
_VARLEN_DTYPES = (torch.bfloat16, torch.float16)


def register_documents_attention() -> None:
    """Make "documents" a name that `model.set_attn_implementation` knows. Calling it again changes nothing."""
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(NAME, attend_within_documents)
    AttentionMaskInterface.register(NAME, documents_mask)


def documents_mask(*arguments: Any, **keywords: Any) -> Tensor | None:
    """Return an empty mask where document boundaries say it all, else the mask that sdpa takes.

    transformers forbids skipping the mask exactly where it found restarting positions in a call without padding and
    without cache: that is a packed row. A window shorter than the row still needs a mask.
    """
    from transformers.masking_utils import sdpa_mask

    is_packed = (
        keywords.get("attention_mask") is None
        and not keywords.get("allow_is_causal_skip", True)
        and not keywords.get("use_vmap")
        and keywords["q_length"] == keywords["kv_length"]
    )
    window = keywords.get("local_size")
    if is_packed and (window is None or window >= keywords["kv_length"]):
        return torch.empty(1, 1, 1, 0, dtype=torch.bool, device=keywords["device"])
    mask: Tensor | None = sdpa_mask(*arguments, **keywords)
    return mask


def attend_within_documents(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: Tensor | None = None,
    prefixes: SharedPrefixes | None = None,
    **keywords: Any,
) -> tuple[Tensor, None]:
    """Return causal attention inside each document, as transformers calls an attention function.

    With `prefixes` a document sees its own before itself.

    Shapes: query (batch, heads, tokens, width), key and value (batch, key_value_heads, tokens, width), the result
    (batch, tokens, heads, width).
    Raises: NotImplementedError for a model whose attention needs what this function would ignore.
    """
    strange = {name for name, value in keywords.items() if value is not None} - _HARMLESS
    if strange:
        raise NotImplementedError(f"documents attention does not know {', '.join(sorted(strange))}")
    is_packed = attention_mask is not None and attention_mask.numel() == 0
    if is_packed and cu_seq_lens_q is None:
        raise NotImplementedError(f"{type(module).__name__} drops the boundaries of packed documents")
    if prefixes is not None and not is_packed:
        raise NotImplementedError(f"{type(module).__name__} asks for a mask, which knows of no shared prefixes")
    if not is_packed and (attention_mask is not None or cu_seq_lens_q is None):
        return _ordinary(module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **keywords)
    if keywords.get("is_causal") is False or getattr(module, "is_causal", True) is False:
        raise NotImplementedError(f"{type(module).__name__} asks for attention that is not causal")
    if query.shape[0] != 1 or query.shape[2] != key.shape[2]:
        raise NotImplementedError("packed documents come in one row, without a cache")
    assert cu_seq_lens_q is not None
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    query, key, value = (_as_autocast(part.squeeze(0).transpose(0, 1), like=value) for part in (query, key, value))
    row = _Row(query, key, value, cu_seq_lens_q, prefixes, scale)
    return _one_row(row, dropout=dropout)[None], None


def _ordinary(module: nn.Module, *arguments: Any, **keywords: Any) -> tuple[Tensor, None]:
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    result: tuple[Tensor, None] = sdpa_attention_forward(module, *arguments, **keywords)
    return result


def _as_autocast(part: Tensor, *, like: Tensor) -> Tensor:
    # sdpa is on autocast's list and our operator is not: rotated queries and keys arrive in float32 beside bf16 values.
    kind = part.device.type
    return part.to(torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else like.dtype)


@dataclass(frozen=True)
class _Row:
    """A packed row; query, key and value are (tokens, heads, width)."""

    query: Tensor
    key: Tensor
    value: Tensor
    boundaries: Tensor
    prefixes: SharedPrefixes | None
    scale: float

    def keys(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return keys and values as each document sees them, its prefix before its own, and their boundaries."""
        if self.prefixes is None:
            return self.key, self.value, self.boundaries
        places = self.prefixes.places
        return self.key[places], self.value[places], self.prefixes.boundaries


def _one_row(row: _Row, *, dropout: float) -> Tensor:
    query, shared = row.query, row.prefixes
    is_even = query.shape[-1] == row.value.shape[-1]
    if query.device.type == "cpu" and is_even and not dropout:
        prefixes = () if shared is None else (shared.places, shared.boundaries)
        output: Tensor = documents_attention(query, row.key, row.value, row.boundaries, row.scale, *prefixes)[0]
        return output
    if query.device.type == "cuda" and is_even and not dropout and query.dtype in _VARLEN_DTYPES:
        return _varlen(row)
    return _one_by_one(row, dropout=dropout)


def _varlen(row: _Row) -> Tensor:
    # Not yet measured: written from the source of torch 2.13. The whole row as the longest document is an upper bound
    # that needs no look at the boundaries (a look would wait for the device) and no other graph for another row. Where
    # a document has more keys than queries, its last query sees the last key.
    from torch.nn.attention.varlen import varlen_attn

    key, value, key_boundaries = row.keys()
    tokens, causal = row.query.shape[0], (-1, 0)
    shared = row.query.shape[1] != key.shape[1]
    result = varlen_attn(
        row.query, key, value, row.boundaries, key_boundaries, tokens, tokens,
        scale=row.scale, window_size=causal, enable_gqa=shared,
    )  # fmt: skip
    assert isinstance(result, Tensor)
    return result


def _one_by_one(row: _Row, *, dropout: float) -> Tensor:
    key, value, key_boundaries = row.keys()
    shared = row.query.shape[1] != key.shape[1]
    edges = row.boundaries, key_boundaries, key_boundaries
    queries, keys, values = (
        torch.split(part.transpose(0, 1)[None], edge.diff().tolist(), dim=2)
        for part, edge in zip((row.query, key, value), edges, strict=True)
    )
    outputs = []
    for q, k, v in zip(queries, keys, values, strict=True):
        before = k.shape[2] - q.shape[2]
        mask = q.new_ones(q.shape[2], k.shape[2], dtype=torch.bool).tril(before) if before else None
        outputs.append(
            F.scaled_dot_product_attention(
                q, k, v, mask, dropout_p=dropout, is_causal=not before, scale=row.scale, enable_gqa=shared
            )
        )
    return torch.cat(outputs, dim=2)[0].transpose(0, 1)
