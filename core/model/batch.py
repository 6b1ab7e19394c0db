"""Packed documents: the one form in which tokens reach a model."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

IGNORED = -100


@dataclass(frozen=True)
class SharedPrefixes:
    """Which tokens of a row each of its segments sees before its own; segments are documents, prefixes and padding.

    Shapes: places is (keys,) int64, for each segment in turn the places in the row of its prefix and of itself;
    boundaries is (segments + 1,) int32, where those of each segment begin. lengths holds the same as Python numbers.
    count is the number of prefixes.
    """

    places: Tensor
    boundaries: Tensor
    lengths: tuple[int, ...]
    count: int

    def to(self, device: torch.device) -> SharedPrefixes:
        """Return the same on `device`."""
        places, boundaries = (part.to(device, non_blocking=True) for part in (self.places, self.boundaries))
        return replace(self, places=places, boundaries=boundaries)


@dataclass(frozen=True)
class PackedBatch:
    """Documents laid end to end in one row.

    Shapes: input_ids, targets and position_ids are (1, tokens) int64; boundaries is (documents + 1,) int32, from 0 to
    the number of tokens, on the device of the others; lengths holds the same as Python numbers, one a document.
    `targets[0, t]` is the token to be predicted from position t, or -100 where the loss does not count: it is already
    shifted, and -100 at the last token of a document unless its successor may be predicted. `position_ids` restarts
    at each document. `rows` names what is inside, for messages. The last `padding` tokens are a document of their own
    that no loss counts; it keeps the shape constant for compiled layers. `weights`, (1, tokens) float32, is what each
    target counts, 0 where there is none; None where every target counts 1. `prefixes`: see `share_prefixes`; None where
    every document stands in the row whole.
    """

    input_ids: Tensor
    targets: Tensor
    position_ids: Tensor
    boundaries: Tensor
    lengths: tuple[int, ...]
    rows: tuple[int, ...] = ()
    padding: int = 0
    weights: Tensor | None = None
    prefixes: SharedPrefixes | None = None

    def to(self, device: torch.device) -> PackedBatch:
        """Return the same batch on `device`."""
        return replace(
            self,
            input_ids=self.input_ids.to(device, non_blocking=True),
            targets=self.targets.to(device, non_blocking=True),
            position_ids=self.position_ids.to(device, non_blocking=True),
            boundaries=self.boundaries.to(device, non_blocking=True),
            weights=None if self.weights is None else self.weights.to(device, non_blocking=True),
            prefixes=None if self.prefixes is None else self.prefixes.to(device),
        )

    @property
    def documents(self) -> int:
        """Number of documents; the segments behind them are prefixes and padding."""
        prefixes = 0 if self.prefixes is None else self.prefixes.count
        return len(self.lengths) - prefixes - (1 if self.padding else 0)

    @property
    def tokens(self) -> int:
        """Number of tokens of the documents, each with its prefix, without padding."""
        return sum((self.lengths if self.prefixes is None else self.prefixes.lengths)[: self.documents])

    @property
    def target_tokens(self) -> int:
        """Number of tokens that the loss counts."""
        return int((self.targets != IGNORED).sum())

    @property
    def target_weight(self) -> float:
        """Sum of what the targets count, in float64; their number where there are no weights."""
        return self.target_tokens if self.weights is None else float(self.weights.sum(dtype=torch.float64))


def packed(documents: list[list[int]], targets: list[list[int]], *, rows: tuple[int, ...] = ()) -> PackedBatch:
    """Return documents laid end to end, each with its own targets (already shifted, -100 where not counted)."""
    lengths = tuple(len(document) for document in documents)
    boundaries = torch.zeros(len(lengths) + 1, dtype=torch.int32)
    boundaries[1:] = torch.tensor(lengths, dtype=torch.int32).cumsum(0)
    flat = [token for document in documents for token in document]
    flat_targets = [target for document in targets for target in document]
    positions = [position for length in lengths for position in range(length)]
    return PackedBatch(
        input_ids=torch.tensor([flat], dtype=torch.int64),
        targets=torch.tensor([flat_targets], dtype=torch.int64),
        position_ids=torch.tensor([positions], dtype=torch.int64),
        boundaries=boundaries,
        lengths=lengths,
        rows=rows,
    )
