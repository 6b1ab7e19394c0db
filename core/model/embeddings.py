"""Rows of the embeddings and of the output head for tokens that a tokenizer gained."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def grow_embeddings(model: Any, *, vocabulary_size: int, added: int) -> None:
    """Give the last `added` of the tokenizer's `vocabulary_size` tokens rows: the mean of those of the tokens before.

    A model has spare rows often, which hold nothing that was trained: they become the mean too. Tied matrices stay
    tied. The mean is what keeps the new logits below those of the tokens that a model knows (Hewitt 2021,
    https://www.cs.columbia.edu/~johnhew/vocab-expansion.html). The same numbers every time.
    """
    old = vocabulary_size - added
    if not added or model.get_input_embeddings().weight.shape[0] < old:  # the latter is refused by who asks
        return
    if model.get_input_embeddings().weight.shape[0] < vocabulary_size:
        with torch.random.fork_rng(devices=[]):  # transformers draws rows, which are then replaced
            model.resize_token_embeddings(vocabulary_size, mean_resizing=False)
    for matrix in embedding_matrices(model):
        _fill_with_mean(matrix, old, vocabulary_size)
    bias = getattr(model.get_output_embeddings(), "bias", None)
    if bias is not None:
        _fill_with_mean(bias, old, vocabulary_size)


def embedding_matrices(model: Any) -> list[nn.Parameter]:
    """Return the matrices of the token embeddings and the output head, (tokens, width): one where they are tied."""
    modules = (model.get_input_embeddings(), model.get_output_embeddings())
    found = {id(module.weight): module.weight for module in modules if module is not None}
    return list(found.values())


def freeze_output_head(model: Any) -> None:
    """Train nothing of an output head but what the body shares with it: for models that give no logits."""
    head = model.get_output_embeddings()
    body = {id(parameter) for parameter in model.base_model.parameters()}
    for parameter in head.parameters() if head is not None else ():
        if id(parameter) not in body:
            parameter.requires_grad_(False)


def _fill_with_mean(rows: torch.Tensor, old: int, end: int) -> None:
    with torch.no_grad():
        rows[old:end] = rows[:old].mean(0, dtype=torch.float64).to(rows.dtype)
