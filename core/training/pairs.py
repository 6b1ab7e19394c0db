"""Pairs of answers, and answers judged alone, as rows and as packed micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.data.tokens.shards import TokenShards
from core.data.tokens.sides import Side, pair_of
from core.errors import DataError
from core.model.batch import IGNORED, PackedBatch
from core.model.prefixes import share_prefixes, worth_sharing
from core.training.batches import Row, pack_rows


@dataclass(frozen=True)
class References:
    """Log-probabilities of every answer of a split under the reference, in nats, summed over its tokens.

    Shapes: both (documents, 2) float32: of the better and the worse answer, or of the judged one and NaN. `mismatched`:
    of the same prompts with other rows' answers (see `PairRows`), None where no loss asks for it.
    """

    answers: NDArray[np.float32]
    mismatched: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class PairRow:
    """A prompt with its better and its worse answer, in this order, or with one answer that was judged.

    mismatched: the prompt with other answers than its own, one a side. references: (sides,) float32 of `sides`, and of
    `mismatched`; None where they are not known.
    """

    sides: tuple[Side, ...]
    mismatched: tuple[Side, ...] = ()
    references: tuple[NDArray[np.float32], NDArray[np.float32] | None] | None = None


class PairRows:
    """The documents of a split of preferences, one a row; with `documents` these alone.

    With `mismatched`, a row's prompt stands also before the answers of the row that lies half a split further on: far
    enough that it is not another answer to the same prompt, and always the same one, so that its log-probability under
    the reference is computed once. An answer that reaches beyond `length` tokens there loses its end.
    Raises: DataError where a side is longer than `length`, or where mismatched answers are asked of one row.
    """

    def __init__(
        self,
        shards: TokenShards,
        *,
        length: int,
        documents: range | None = None,
        mismatched: bool = False,
        references: References | None = None,
    ) -> None:
        self._shards = shards
        self._length = length
        self._documents = range(shards.documents) if documents is None else documents
        self._mismatched = mismatched
        self._references = references
        if mismatched and shards.documents == 1:
            raise DataError(
                f"the {shards.split} split has one row, whose prompt has no other row's answer to be compared with",
                hint="Give more rows, or another dpo.loss than kto.",
            )

    def __len__(self) -> int:
        return len(self._documents)

    def __getitem__(self, index: int) -> PairRow:
        number = self._documents[index]
        sides = self._sides(number)
        mismatched: tuple[Side, ...] = ()
        if self._mismatched:
            others = self._sides((number + self._shards.documents // 2) % self._shards.documents)
            mismatched = tuple(
                _answered_by(side, others[min(at, len(others) - 1)], self._length) for at, side in enumerate(sides)
            )
        if self._references is None:
            return PairRow(sides, mismatched)
        rest = self._references.mismatched
        known = self._references.answers[number, : len(sides)], None if rest is None else rest[number, : len(sides)]
        return PairRow(sides, mismatched, known)

    def _sides(self, number: int) -> tuple[Side, ...]:
        ids, marks = self._shards.document(number)
        assert marks is not None, "shards of preferences carry marks"
        return pair_of(ids, marks)

    def check_length(self) -> None:
        """Raise DataError where a side is longer than a sequence."""
        lengths = self._shards.lengths
        long = [number for number in self._documents if lengths[number] > self._length]
        longest = max((len(side.ids) for number in long for side in self._sides(number)), default=0)
        if longest > self._length:
            raise DataError(
                f"batch.sequence_length is {self._length}, and the longest prompt with answer has {longest} tokens",
                hint="Prepare the data with data.max_tokens of at most batch.sequence_length, or raise the latter.",
            )


def _answered_by(side: Side, other: Side, length: int) -> Side:
    """Return the prompt of `side` with the answer of `other`, cut to `length` tokens."""
    begin, begins = int(side.supervised.argmax()), int(other.supervised.argmax())
    ids = np.concatenate([side.ids[:begin], other.ids[begins:]])[:length]
    supervised = np.concatenate([side.supervised[:begin], other.supervised[begins:]])[:length]
    return Side(ids, supervised, side.is_worse)


@dataclass(frozen=True)
class PairBatch:
    """Rows of preferences end to end: each answer with its prompt is a document of `packed`, its targets the answer.

    Shapes: better and worse are (pairs,) int64, which documents the answers of each pair are; is_good (documents,)
    bool, the better one of a pair or an answer that was judged good; good is their number, better_tokens that of their
    targets. references (documents,) float32 are log-probabilities under the reference, None where they are not known.
    mismatched holds the prompts before other rows' answers, with references of its own; reference_point is KTO's for
    the whole step, a scalar.
    """

    packed: PackedBatch
    better: Tensor
    worse: Tensor
    is_good: Tensor
    good: int
    better_tokens: int
    references: Tensor | None = None
    mismatched: PackedBatch | None = None
    mismatched_references: Tensor | None = None
    reference_point: Tensor | None = None

    @property
    def tokens(self) -> int:
        """Number of tokens of prompts and answers, without padding and mismatched ones."""
        return self.packed.tokens

    @property
    def rows(self) -> tuple[int, ...]:
        """Numbers of the rows inside."""
        return self.packed.rows

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return len(self.better)

    @property
    def documents(self) -> int:
        """Number of answers."""
        return len(self.is_good)

    def to(self, device: torch.device) -> PairBatch:
        """Return the same batch on `device`."""

        def moved(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else tensor.to(device, non_blocking=True)

        return replace(
            self,
            packed=self.packed.to(device),
            better=self.better.to(device, non_blocking=True),
            worse=self.worse.to(device, non_blocking=True),
            is_good=self.is_good.to(device, non_blocking=True),
            references=moved(self.references),
            mismatched=None if self.mismatched is None else self.mismatched.to(device),
            mismatched_references=moved(self.mismatched_references),
            reference_point=moved(self.reference_point),
        )


def pack_pairs(rows: Sequence[PairRow], *, numbers: tuple[int, ...], pad_to: int | None = None) -> PairBatch:
    """Return rows end to end as one micro-batch, padded to `pad_to` tokens where that is given.

    Where it is not, both sides of a pair share their prompt; padded to one size, there would be nothing to gain.
    """
    sides = [side for row in rows for side in row.sides]
    firsts = np.cumsum([0, *(len(row.sides) for row in rows)])
    better = [int(first) for first, row in zip(firsts, rows, strict=False) if len(row.sides) == 2]
    mismatched = any(row.mismatched for row in rows)
    known = [row.references for row in rows if row.references is not None]
    assert len(known) in (0, len(rows)), "the references of some rows are missing"
    others = [rest for _, rest in known if rest is not None]
    return PairBatch(
        packed=_packed([row.sides for row in rows], numbers=numbers, pad_to=pad_to),
        better=torch.tensor(better, dtype=torch.int64),
        worse=torch.tensor(better, dtype=torch.int64) + 1,
        is_good=torch.tensor([not side.is_worse for side in sides]),
        good=sum(not side.is_worse for side in sides),
        better_tokens=sum(int(side.supervised[1:].sum()) for side in sides if not side.is_worse),
        references=torch.from_numpy(np.concatenate([answers for answers, _ in known])) if known else None,
        mismatched=_packed([row.mismatched for row in rows], numbers=numbers, pad_to=pad_to) if mismatched else None,
        mismatched_references=torch.from_numpy(np.concatenate(others)) if others else None,
    )


def _packed(rows: Sequence[tuple[Side, ...]], *, numbers: tuple[int, ...], pad_to: int | None) -> PackedBatch:
    batch = pack_rows([_row_of(side) for sides in rows for side in sides], numbers=numbers, pad_to=pad_to)
    return batch if pad_to is not None else share_prefixes(batch, [(len(sides), _shared(sides)) for sides in rows])


def _shared(sides: Sequence[Side]) -> int:
    """Return how many tokens of their prompt the sides share: all but the last, which predicts another token in each.

    0 where there is one side, or where they are few.
    """
    begins = [int(side.supervised.argmax()) for side in sides]
    if len(sides) < 2 or len(set(begins)) > 1:
        return 0
    shared = worth_sharing(begins[0] - 1)
    first, *others = (side.ids[:shared] for side in sides)
    return shared if all(np.array_equal(first, other) for other in others) else 0


def _row_of(side: Side) -> Row:
    ids = np.asarray(side.ids, np.int64)
    targets = np.full(len(ids), IGNORED, np.int64)
    counts = side.supervised[1:]
    targets[:-1][counts] = ids[1:][counts]
    return Row(ids, targets, (len(ids),))
