"""Frozen weights kept in the type in which autocast multiplies them anyway."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from core.model.targets import linear_layers
from core.model.verification import undisturbed

_TOKENS = 16


def store_frozen(model: Any, dtype: torch.dtype) -> bool:
    """Keep the frozen matrices of linear layers in `dtype`; False, and float32, where that changes a bit.

    Under autocast to `dtype` such a matrix is rounded to it in every product, so the bits are the same either way; it
    takes half the memory, and the rounding is done once. Embeddings, norms, biases, a head that is tied, and all that
    is trained stay in float32. The model must run under that autocast from now on.
    """
    before = _logits(model, dtype)
    matrices = _frozen_matrices(model)
    originals = [matrix.data for matrix in matrices]
    for matrix in matrices:
        matrix.data = matrix.data.to(dtype)
    if torch.equal(_logits(model, dtype), before):
        return True
    for matrix, original in zip(matrices, originals, strict=True):
        matrix.data = original
    return False


def _frozen_matrices(model: Any) -> list[Tensor]:
    from transformers.pytorch_utils import Conv1D

    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return [
        weight
        for name, layer in linear_layers(model).items()
        if isinstance(weight := layer.weight, nn.Parameter)
        and type(layer) in (nn.Linear, Conv1D)
        and not weight.requires_grad
        and id(weight) not in embeddings
        and "token_adapter" not in name.split(".")  # some of its rows are trained
    ]


def _logits(model: Any, dtype: torch.dtype) -> Tensor:
    device = next(model.parameters()).device
    ids = torch.arange(_TOKENS, device=device)[None] % model.config.get_text_config().vocab_size
    with undisturbed(model), torch.no_grad(), torch.autocast(device.type, dtype):
        logits: Tensor = model(input_ids=ids, use_cache=False).logits
    return logits
