"""Tiny models that learn from preferences, rows for them, and what a reference says of those."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from core.model.reading import Reading
from core.training.pairs import PairBatch, PairRows, References, pack_pairs
from core.training.preference_objectives import answer_log_probs
from tests.core.training.preferences import Document, PreferenceShards, judged, random_pairs

VOCABULARY, LENGTH = 97, 32
READING = Reading("dense", "matrix", chunk=5)
PAIRS = random_pairs(5, vocabulary=VOCABULARY)
JUDGED = [
    judged([5, 6, 7], [8, 9], is_good=True),
    judged([10, 11], [12], is_good=False),
    judged([13, 14], [15, 16, 17, 18], is_good=False),
    judged([19], [20, 21, 22], is_good=True),
]


def tiny_model(seed: int = 1) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True, use_cache=False, pad_token_id=0,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2.0)  # as fresh ones are, they hardly tell tokens apart
    return model


def batches_of(
    documents: Sequence[Document],
    parts: Sequence[Sequence[int]],
    *,
    reference: Any = None,
    mismatched: bool = False,
    pad_to: int | None = None,
) -> list[PairBatch]:
    """Return these rows as micro-batches, with what `reference` says of them."""
    shards: Any = PreferenceShards(documents)
    rows = PairRows(shards, length=LENGTH, mismatched=mismatched)
    if reference is not None:
        rows = PairRows(shards, length=LENGTH, mismatched=mismatched, references=known(rows, reference))
    return [pack_pairs([rows[n] for n in part], numbers=tuple(part), pad_to=pad_to) for part in parts]


def known(rows: PairRows, reference: Any) -> References:
    answers, others = (np.full((len(rows), 2), np.nan, np.float32) for _ in range(2))
    for number in range(len(rows)):
        batch = pack_pairs([rows[number]], numbers=(number,))
        with torch.no_grad():
            answers[number, : batch.documents] = answer_log_probs(reference, READING, batch.packed).numpy()
            if batch.mismatched is not None:
                others[number, : batch.documents] = answer_log_probs(reference, READING, batch.mismatched).numpy()
    return References(answers, others)


def engine_of(model: Any) -> Any:
    """Return an engine that calls functions on the model as they are."""
    return SimpleNamespace(device=torch.device("cpu"), call=lambda function, *rest: function(model, *rest))
