"""Which rows a step takes, in an order that depends on the seed and the position alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray

from core.data.tokens.packing import best_fit
from core.data.tokens.shards import TokenShards
from core.model.batch import IGNORED, PackedBatch

ClassWeights = NDArray[np.float32]
"""What a token of each class of source code counts: (classes,), in the order of core.data.tokens.syntax.CLASSES."""


@dataclass(frozen=True)
class Row:
    """One sequence: documents end to end, with targets that are shifted already (-100 where the loss does not count).

    Shapes: ids and targets are (tokens,); lengths has one entry a document and sums to tokens. `weights`, (tokens,)
    float32, is what each target counts, 0 where there is none; None where all count 1.
    """

    ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    lengths: tuple[int, ...]
    weights: NDArray[np.float32] | None = None


R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
R_contra = TypeVar("R_contra", contravariant=True)
B = TypeVar("B")
B_co = TypeVar("B_co", covariant=True)


class Rows(Protocol[R_co]):
    """Sequences, or pairs of them, by number."""

    def __len__(self) -> int:
        """Return the number of sequences in an epoch."""

    def __getitem__(self, index: int) -> R_co:
        """Return one sequence."""


Complete = Callable[[list[B]], list[B]]


class Pack(Protocol[R_contra, B_co]):
    """How rows become one micro-batch."""

    def __call__(self, rows: Sequence[R_contra], *, numbers: tuple[int, ...], pad_to: int | None = None) -> B_co:
        """Return the rows of these numbers, padded to `pad_to` tokens where that is given."""


class TextRows:
    """The stream of all documents, cut into sequences of equal length; the last one may be shorter.

    A sequence that begins inside a document goes on with it; unless `across`, no token attends to an earlier document
    or predicts the first token of the next one. With `documents`, the stream of these alone. `weights` are those of
    the classes that the shards mark.
    """

    def __init__(
        self,
        shards: TokenShards,
        *,
        length: int,
        across: bool,
        documents: range | None = None,
        weights: ClassWeights | None = None,
    ) -> None:
        self._shards = shards
        self._weights = weights
        self._length = length
        self._across = across
        self._starts = np.asarray(shards.document_starts, dtype=np.int64)
        chosen = range(len(self._starts) - 1) if documents is None else documents
        self._begin, self._end = int(self._starts[chosen.start]), int(self._starts[chosen.stop])

    def __len__(self) -> int:
        return max(0, -(-(self._end - self._begin - 1) // self._length))

    def __getitem__(self, index: int) -> Row:
        begin = self._begin + index * self._length
        stream = np.asarray(self._shards.stream(begin, min(begin + self._length + 1, self._end)), np.int64)
        ids, targets = stream[:-1], stream[1:].copy()
        weights = None
        if self._weights is not None:
            weights = self._weights[self._shards.classes(begin + 1, begin + 1 + len(targets))]
        if self._across:
            return _row(ids, targets, (len(ids),), weights)
        first, last = np.searchsorted(self._starts, [begin + 1, begin + len(ids) + 1])
        cuts = self._starts[first:last] - begin  # where a document of this row begins, from 1 to the row's length
        targets[cuts[cuts <= len(ids)] - 1] = IGNORED
        edges = np.concatenate(([0], cuts[cuts < len(ids)], [len(ids)]))
        return _row(ids, targets, tuple(int(length) for length in np.diff(edges)), weights)


class InstructionRows:
    """Examples, several to a sequence by best fit or one each; the loss counts supervised tokens only.

    With `documents`, these examples alone. `weights` are those of the classes that the shards mark.
    """

    def __init__(
        self,
        shards: TokenShards,
        *,
        length: int,
        pack: bool,
        documents: range | None = None,
        weights: ClassWeights | None = None,
    ) -> None:
        self._shards = shards
        self._weights = weights
        self._starts = shards.document_starts
        chosen = range(len(shards.lengths)) if documents is None else documents
        lengths = [int(n) for n in shards.lengths[chosen.start : chosen.stop]]
        packs = best_fit(lengths, length) if pack else [[index] for index in range(len(lengths))]
        self._packs = [[chosen.start + index for index in pack] for pack in packs]

    def __len__(self) -> int:
        return len(self._packs)

    def __getitem__(self, index: int) -> Row:
        ids, targets, lengths, weights = [], [], [], []
        for example in self._packs[index]:
            tokens, supervised = self._shards.document(example)
            assert supervised is not None, "instruction shards carry a mask"
            ids.append(np.asarray(tokens, np.int64))
            shifted = np.full(len(tokens), IGNORED, np.int64)
            counts = np.asarray(supervised[1:], bool)
            shifted[:-1][counts] = ids[-1][1:][counts]
            targets.append(shifted)
            lengths.append(len(tokens))
            if self._weights is not None:
                start = int(self._starts[example])
                classes = self._shards.classes(start + 1, start + len(tokens))
                weights += [self._weights[classes], np.zeros(1, np.float32)]
        joined = np.concatenate(weights) if weights else None
        return _row(np.concatenate(ids), np.concatenate(targets), tuple(lengths), joined)


def _row(
    ids: NDArray[np.int64],
    targets: NDArray[np.int64],
    lengths: tuple[int, ...],
    weights: NDArray[np.float32] | None,
) -> Row:
    """Return a row of which a target with the weight 0 is no target at all."""
    if weights is None:
        return Row(ids, targets, lengths)
    targets = np.where(weights > 0, targets, IGNORED)
    weights = np.where(targets != IGNORED, weights, np.float32(0))
    return Row(ids, targets, lengths, None if (weights[targets != IGNORED] == 1).all() else weights)


def pack_rows(rows: Sequence[Row], *, numbers: tuple[int, ...], pad_to: int | None = None) -> PackedBatch:
    """Return rows end to end as one micro-batch, padded to `pad_to` tokens where that is given."""
    ids = np.concatenate([row.ids for row in rows])
    targets = np.concatenate([row.targets for row in rows])
    lengths = [length for row in rows for length in row.lengths]
    weights = _joined_weights(rows)
    padding = 0 if pad_to is None else pad_to - len(ids)
    assert padding >= 0, "a row is longer than a sequence"
    if padding:
        ids = np.concatenate([ids, np.zeros(padding, np.int64)])
        targets = np.concatenate([targets, np.full(padding, IGNORED, np.int64)])
        weights = None if weights is None else np.concatenate([weights, np.zeros(padding, np.float32)])
        lengths.append(padding)
    edges = np.concatenate(([0], np.cumsum(lengths)))
    positions = np.arange(len(ids)) - np.repeat(edges[:-1], lengths)
    return PackedBatch(
        input_ids=torch.from_numpy(ids)[None],
        targets=torch.from_numpy(targets)[None],
        position_ids=torch.from_numpy(positions)[None],
        boundaries=torch.from_numpy(edges.astype(np.int32)),
        lengths=tuple(lengths),
        rows=numbers,
        padding=padding,
        weights=None if weights is None else torch.from_numpy(weights)[None],
    )


def _joined_weights(rows: Sequence[Row]) -> NDArray[np.float32] | None:
    if all(row.weights is None for row in rows):
        return None
    plain = ((row.targets != IGNORED).astype(np.float32) for row in rows)
    return np.concatenate([one if row.weights is None else row.weights for row, one in zip(rows, plain, strict=True)])


@dataclass(frozen=True)
class Cursor:
    """Where in the data a run stands: the epoch, from 0, and how many of its rows were taken."""

    epoch: int = 0
    position: int = 0


@dataclass(frozen=True)
class Deal:
    """How rows are dealt out: sequences a step and a micro-batch, the seed of the order, tokens to pad to."""

    size: int
    micro_size: int
    seed: int
    pad_to: int | None = None


class Batches(Generic[B]):
    """The micro-batches of one step after another, in a new order each epoch, without end.

    A step may begin in one epoch and end in the next, so that each has the same number of sequences. `pack` is how rows
    become a micro-batch: end to end unless it is given. `complete` is told all micro-batches of a step, and returns
    them with what each must know of the others.
    """

    @overload
    def __init__(self: Batches[PackedBatch], rows: Rows[Row], deal: Deal, *, cursor: Cursor | None = None) -> None: ...

    @overload
    def __init__(
        self, rows: Rows[R], deal: Deal, *, pack: Pack[R, B], complete: Complete[B] = ..., cursor: Cursor | None = None
    ) -> None: ...

    def __init__(
        self,
        rows: Rows[Any],
        deal: Deal,
        *,
        pack: Pack[Any, Any] = pack_rows,
        complete: Complete[Any] = list,
        cursor: Cursor | None = None,
    ) -> None:
        self._rows = rows
        self._deal = deal
        self._pack = pack
        self._complete = complete
        self.cursor = cursor or Cursor()
        self._order_epoch = -1
        self._order: NDArray[np.int64] = np.empty(0, np.int64)

    def next_step(self) -> list[B]:
        """Return the next step's micro-batches and move the cursor behind them."""
        numbers = [self._take() for _ in range(self._deal.size)]
        size = self._deal.micro_size
        groups = [numbers[begin : begin + size] for begin in range(0, len(numbers), size)]
        return self._complete(
            [
                self._pack([self._rows[n] for n in group], numbers=tuple(group), pad_to=self._deal.pad_to)
                for group in groups
            ]
        )

    def move_to(self, cursor: Cursor) -> None:
        """Go on at `cursor`, or with the next epoch where this one has no such row (after an inexact resume)."""
        self.cursor = cursor if cursor.position < len(self._rows) else Cursor(cursor.epoch + 1, 0)

    def _take(self) -> int:
        epoch, position = self.cursor.epoch, self.cursor.position
        if epoch != self._order_epoch:
            self._order = np.random.default_rng([self._deal.seed, epoch]).permutation(len(self._rows))
            self._order_epoch = epoch
        number = int(self._order[position])
        ends = position + 1 == len(self._rows)
        self.cursor = Cursor(epoch + 1, 0) if ends else Cursor(epoch, position + 1)
        return number


def in_order(
    rows: Rows[Any],
    *,
    micro_size: int,
    limit: int | None,
    pad_to: int | None = None,
    pack: Pack[Any, Any] = pack_rows,
) -> Iterator[Any]:
    """Yield every row once, in order, `micro_size` at a time, as `pack` makes it a micro-batch.

    Only the first `limit` rows where that is given.
    """
    count = len(rows) if limit is None else min(limit, len(rows))
    for begin in range(0, count, micro_size):
        numbers = tuple(range(begin, min(begin + micro_size, count)))
        yield pack([rows[n] for n in numbers], numbers=numbers, pad_to=pad_to)
