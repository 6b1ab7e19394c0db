"""How a model reads packed documents, and the loss that training and evaluation both compute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from core.model.batch import IGNORED, PackedBatch
from core.model.head import (
    HeadKind,
    Targets,
    cross_entropy_sum,
    head_logits,
    head_parameters,
    weighted_cross_entropy_sum,
)
from core.model.matrix_head import matrix_cross_entropy_sum
from core.model.prefixes import unshared

Packing = Literal["documents", "dense", "unpacked"]
"""documents: one causal attention a document, no mask. dense: a block-diagonal mask, which transformers makes from the
restarting positions. unpacked: each document in a padded row of its own."""


@dataclass(frozen=True)
class Reading:
    """What a check at load found to be right for one model.

    `attention` is the name that transformers runs under; `chunk` is how many positions go through the head at once.
    `shares`: documents may have their prefix elsewhere in the row; if not, each is read whole.
    """

    packing: Packing
    head: HeadKind
    attention: str = "sdpa"
    chunk: int = 512
    shares: bool = False


def hidden_states(model: Any, reading: Reading, batch: PackedBatch) -> Tensor:
    """Return the last hidden state of every token, (tokens, width)."""
    if batch.prefixes is not None and not reading.shares:
        whole, places = unshared(batch)
        return hidden_states(model, reading, whole)[places]
    output = model.base_model(**_inputs(reading, batch), use_cache=False)
    return _flat(output.last_hidden_state, reading, batch)


def all_logits(model: Any, reading: Reading, batch: PackedBatch) -> Tensor:
    """Return the logits of every token, (tokens, vocabulary): for checks and short rows, the whole of it stands."""
    if batch.prefixes is not None and not reading.shares:
        whole, places = unshared(batch)
        return all_logits(model, reading, whole)[places]
    return _flat(model(**_inputs(reading, batch), use_cache=False).logits, reading, batch)


def next_token_loss(model: Any, reading: Reading, batch: PackedBatch) -> Tensor:
    """Return the sum of the cross entropies at the positions that have a target, as a float32 scalar with its graph.

    Where the batch has weights, each cross entropy is times the weight of its target.
    """
    flat_targets = batch.targets[0]
    positions = (flat_targets != IGNORED).nonzero()[:, 0]
    targets = Targets(flat_targets[positions], None if batch.weights is None else batch.weights[0][positions])
    if reading.head == "keep":
        logits = kept_logits(model, reading, batch, positions)
        return weighted_cross_entropy_sum(logits.float(), targets)
    hidden = hidden_states(model, reading, batch)[positions]
    if reading.head == "matrix":
        return matrix_cross_entropy_sum(model.get_output_embeddings(), hidden, targets, chunk=reading.chunk)
    return cross_entropy_sum(
        head_logits(model, reading.head), hidden, targets, head_parameters(model), chunk=reading.chunk
    )


def kept_logits(model: Any, reading: Reading, batch: PackedBatch, positions: Tensor) -> Tensor:
    """Return the logits at some positions of the row by the model's own `logits_to_keep`, (positions, vocabulary)."""
    if batch.prefixes is not None and not reading.shares:
        whole, places = unshared(batch)
        return kept_logits(model, reading, whole, places[positions])
    if reading.packing == "unpacked":  # a position names another column in each row
        return all_logits(model, reading, batch)[positions]
    logits: Tensor = model(**_inputs(reading, batch), use_cache=False, logits_to_keep=positions).logits[0]
    return logits


def _inputs(reading: Reading, batch: PackedBatch) -> dict[str, Any]:
    if reading.packing == "unpacked":
        return _rows(batch)
    documents = torch.arange(len(batch.lengths), dtype=torch.int32, device=batch.boundaries.device)
    lengths = batch.boundaries.diff()
    row_length = batch.input_ids.shape[1]
    return {
        "input_ids": batch.input_ids,
        "position_ids": batch.position_ids,
        # The official keywords: with them most hybrid models raise where they would leak. The whole row is an upper
        # bound of the longest document that is the same for every row, so a compiled layer serves all of them.
        "cu_seq_lens_q": batch.boundaries,
        "cu_seq_lens_k": batch.boundaries,
        "max_length_q": row_length,
        "max_length_k": row_length,
        "seq_idx": documents.repeat_interleave(lengths, output_size=row_length)[None],
        **({} if batch.prefixes is None else {"prefixes": batch.prefixes}),
    }


def _rows(batch: PackedBatch) -> dict[str, Any]:
    columns = torch.arange(max(batch.lengths), device=batch.input_ids.device)
    is_token = columns < batch.boundaries.diff()[:, None]  # (documents, longest)
    input_ids = batch.input_ids.new_zeros(is_token.shape)
    input_ids[is_token] = batch.input_ids[0]
    return {"input_ids": input_ids, "attention_mask": is_token.long()}


def _flat(rows: Tensor, reading: Reading, batch: PackedBatch) -> Tensor:
    if reading.packing != "unpacked":
        return rows.squeeze(0)  # indexing would have its gradient written into zeros of the whole
    columns = torch.arange(rows.shape[1], device=rows.device)
    return rows[columns < batch.boundaries.diff()[:, None]]
