"""Weights of linear layers laid out for few rows at a time, for as long as text is written on a CPU.

A product of eight rows is bounded by how fast the weights are read, and oneDNN reads them faster in its own order: 1.5
to 2 times with 1 to 32 rows (torch.nn.functional.linear would bring them into that order in each call, or leaves them).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

_ROWS = 8
"""For how many rows the order is chosen; with others the products are right as well."""


@contextmanager
def reordered_weights(model: Any) -> Iterator[None]:
    """Run the block with reordered copies of the weights of all linear layers; the model's own stay as they are.

    The copies are in autocast's type where that is on. They take as much memory as the weights themselves, while no
    gradient does. No gradient flows through the layers inside the block. Without oneDNN nothing is done.
    """
    layers = [layer for layer in model.modules() if _can(layer)]
    try:
        for layer in layers:
            layer.forward = _Reordered(layer)
        yield
    finally:
        for layer in layers:
            layer.__dict__.pop("forward", None)


class _Reordered:
    """What stands in for a linear layer's forward."""

    def __init__(self, layer: Any) -> None:
        from transformers.pytorch_utils import Conv1D

        weight = layer.weight.detach()
        self._dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype
        weight = (weight.t() if isinstance(layer, Conv1D) else weight).to(self._dtype).contiguous()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, _ROWS)
        self._bias = None if layer.bias is None else layer.bias.detach().to(self._dtype)

    def __call__(self, rows: Tensor) -> Tensor:
        result: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows.to(self._dtype), self._weight, self._bias, "none", [], ""
        )
        return result


def _can(layer: nn.Module) -> bool:
    from transformers.pytorch_utils import Conv1D

    if type(layer) not in (nn.Linear, Conv1D) or "forward" in layer.__dict__:
        return False
    weight = layer.weight
    assert isinstance(weight, Tensor)
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else weight.dtype
    return (
        weight.device.type == "cpu"
        and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
        and (dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()))
    )
