"""The keys and values of rows that are being written, in memory that is taken once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from core.errors import UsageError


class RowsLayer(DynamicLayer):  # type: ignore[misc]
    """One attention layer's keys and values, (rows, heads, capacity, width), with room for what is still to be written.

    A token is written into its column, where transformers' own layer copies everything to join one more. Under autocast
    they are kept in its type: the attention would round them to it in each step again.
    """

    def __init__(self, prompts: DynamicLayer, parents: Tensor, capacity: int) -> None:
        super().__init__()
        assert prompts.keys is not None
        assert prompts.values is not None
        self.device = prompts.keys.device
        self._count = len(parents)
        self._length: int = prompts.keys.shape[-2]
        self._keys = _with_room(prompts.keys, parents, capacity)
        self._values = _with_room(prompts.values, parents, capacity)
        self._show()

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write the next columns and return all that there are; as transformers calls it."""
        end = self._length + key_states.shape[-2]
        self._keys[: self._count, :, self._length : end] = key_states
        self._values[: self._count, :, self._length : end] = value_states
        self._length = end
        self._show()
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Return how many columns are written."""
        return self._length

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep these rows, in this order; only rows that change their place are copied.

        No row may move to a place whose own row is wanted at another: see `closed_up`.
        """
        self._count = len(indices)
        places = (indices != torch.arange(self._count, device=indices.device)).nonzero()[:, 0]
        for whole in (self._keys, self._values):
            whole[places, :, : self._length] = whole[indices[places], :, : self._length]
        self._show()

    def _show(self) -> None:
        self.keys = self._keys[: self._count, :, : self._length]
        self.values = self._values[: self._count, :, : self._length]
        self.is_initialized = True


def with_rows(cache: DynamicCache, parents: Tensor, room: int) -> DynamicCache:
    """Return the cache of prompts with a row for each of `parents`, the prompts' row numbers, and room to write.

    Raises: UsageError for a model that remembers in another way than by attention.
    """
    for number, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.get_seq_length():
            cache.layers[number] = RowsLayer(layer, parents, layer.get_seq_length() + room)
        elif type(layer) in (DynamicLayer, DynamicSlidingWindowLayer):
            layer.batch_select_indices(parents)
        else:
            raise UsageError(
                f"this model remembers what it read in {type(layer).__name__}, which cannot be shared by responses",
                hint="PPO and GRPO need a model of attention layers alone.",
            )
    return cache


def closed_up(stays: Tensor) -> Tensor:
    """Return which rows stay, (kept,), in an order in which the last rows fill the gaps and no other moves.

    `stays` is (rows,) bool.
    """
    kept = int(stays.sum())
    order = torch.arange(kept, device=stays.device)
    order[~stays[:kept]] = stays[kept:].nonzero()[:, 0] + kept
    return order


def _with_room(part: Tensor, parents: Tensor, capacity: int) -> Tensor:
    kind = part.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else part.dtype
    _, heads, length, width = part.shape
    whole = torch.empty(len(parents), heads, capacity, width, dtype=dtype, device=part.device)
    whole[:, :, :length] = part[parents]
    return whole
