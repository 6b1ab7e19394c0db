"""A rollout as data: prompts in their order, what was written to them and found out about it, and its micro-batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from core.config.phases import GRPOConfig, PPOConfig
from core.data.tokens.shards import TokenShards
from core.data.tokens.sides import prompt_of
from core.model.batch import IGNORED, PackedBatch, packed
from core.model.prefixes import share_prefixes, worth_sharing
from core.training.rewards import Answered

_ORDERING = 2
"""Keeps the generator of the order of minibatches apart from that of responses (writing.py)."""


@dataclass(frozen=True)
class Prompt:
    """What the policy answers: the number of its document, its tokens, and those of its row's answer (none: empty)."""

    number: int
    ids: tuple[int, ...]
    answer_ids: tuple[int, ...]


class PromptRows:
    """The prompts of a split by number; one longer than `longest` tokens loses its start.

    `shortened` is how many do.
    """

    def __init__(self, shards: TokenShards, *, longest: int) -> None:
        self._shards = shards
        self._longest = longest
        self.shortened = sum(len(self._ids(number)[0]) > longest for number in range(len(self)))

    def __len__(self) -> int:
        return len(self._shards.lengths)

    def __getitem__(self, index: int) -> Prompt:
        ids, answer = self._ids(index)
        return Prompt(index, tuple(ids.tolist()[-self._longest :]), tuple(answer.tolist()))

    def _ids(self, number: int) -> tuple[Any, Any]:
        ids, marks = self._shards.document(number)
        assert marks is not None, "shards of prompts carry marks"
        return prompt_of(ids, marks)


def as_they_are(
    rows: Sequence[Prompt], *, numbers: tuple[int, ...], pad_to: int | None = None
) -> list[Prompt]:
    """Return the prompts of a rollout as a list: how `Batches` packs them."""
    return list(rows)


@dataclass(frozen=True)
class RolledOut:
    """One rollout. The `each` responses to one prompt stand side by side.

    Shapes: rewards has one entry a response, NaN where what a source gave was not finite. lengths are the tokens of
    each response, at least 1. old, reference and values are (targets,) float32 without a graph, laid end to end, one a
    token of a response: its log-probability in nats under the policy that wrote it and under the reference (None where
    there is none), and the value of what stands before it (None without a value function). seconds: of writing, and
    of everything until the first update.
    """

    number: int
    each: int
    prompts: tuple[Prompt, ...]
    answered: tuple[Answered, ...]
    rewards: tuple[float, ...]
    old: Tensor
    reference: Tensor | None
    values: Tensor | None
    writing_seconds: float
    seconds: float

    @property
    def lengths(self) -> tuple[int, ...]:
        """Tokens of each response."""
        return tuple(len(one.response.tokens) for one in self.answered)

    @property
    def judged(self) -> list[int]:
        """Numbers of the responses whose reward is finite."""
        return [number for number, reward in enumerate(self.rewards) if math.isfinite(reward)]


@dataclass(frozen=True)
class ResponseBatch:
    """Responses of a micro-batch, each behind its prompt; the loss counts the tokens of responses alone.

    Shapes: lengths are the tokens of each response; old, advantages, reference, returns and values are (targets,)
    float32 in the order of the row's targets, see `RolledOut` and `Lessons`. part: for which model it is, where policy
    and value function are computed one after the other; both where they are one.
    """

    packed: PackedBatch
    lengths: tuple[int, ...]
    old: Tensor
    advantages: Tensor
    reference: Tensor | None = None
    returns: Tensor | None = None
    values: Tensor | None = None
    part: Literal["policy", "value", "both"] = "policy"

    @property
    def tokens(self) -> int:
        """Number of tokens; those that the value function reads too count once."""
        return 0 if self.part == "value" else self.packed.tokens

    @property
    def rows(self) -> tuple[int, ...]:
        """Numbers of the prompts."""
        return self.packed.rows

    def to(self, device: torch.device) -> ResponseBatch:
        """Return the same batch on `device`."""

        def moved(values: Tensor | None) -> Tensor | None:
            return None if values is None else values.to(device, non_blocking=True)

        return replace(
            self,
            packed=self.packed.to(device),
            old=self.old.to(device, non_blocking=True),
            advantages=self.advantages.to(device, non_blocking=True),
            reference=moved(self.reference),
            returns=moved(self.returns),
            values=moved(self.values),
        )


def epoch_order(seed: int, rollout: int, epoch: int, count: int) -> list[int]:
    """Return in which order an epoch goes through the responses of a rollout."""
    order: list[int] = np.random.default_rng([seed, _ORDERING, rollout, epoch]).permutation(count).tolist()
    return order


def cut(order: Sequence[int], *, size: int, micro_size: int, each: int) -> list[list[list[int]]]:
    """Return the micro-batches of each update of `size` responses in this order.

    `each`: responses to a prompt. Within an update those to one prompt come side by side, so that they share it; which
    responses make an update stays a matter of chance.
    """
    updates = [sorted(order[begin : begin + size], key=_first_of(order, each)) for begin in range(0, len(order), size)]
    return [[one[begin : begin + micro_size] for begin in range(0, len(one), micro_size)] for one in updates]


def _first_of(order: Sequence[int], each: int) -> Callable[[int], tuple[int, int]]:
    """Return a key by which responses come in the order of their prompts' first ones."""
    place = {number: index for index, number in enumerate(order)}
    first: dict[int, int] = {}
    for number, index in place.items():
        first.setdefault(number // each, index)
    return lambda number: (first[number // each], place[number])


def packed_responses(answered: Sequence[Answered], rows: tuple[int, ...], *, each: int) -> PackedBatch:
    """Return prompts with their responses end to end; a response's last token is predicted and not read.

    Where a prompt has several responses (`each`), those that follow each other share it but for its last token, which
    predicts another in each. One that stands alone is read in the same way, so that its log-probabilities are the same
    to the bit whichever of the others are there.
    """
    documents = [[*one.prompt_ids, *one.response.tokens[:-1]] for one in answered]
    targets = [[*[IGNORED] * (len(one.prompt_ids) - 1), *one.response.tokens] for one in answered]
    batch = packed(documents, targets, rows=rows)
    if each == 1:
        return batch
    prompts = [(prompt, len(list(same))) for prompt, same in groupby(one.prompt_ids for one in answered)]
    return share_prefixes(batch, [(count, worth_sharing(len(prompt) - 1)) for prompt, count in prompts])


@dataclass(frozen=True)
class Lessons:
    """What a rollout teaches: what each token's probability is to follow, and for which responses.

    Shapes: advantages and returns are (targets,) as in `RolledOut`, returns None without a value function. taught are
    the numbers of the responses to learn from. metrics are shown with every update of the rollout, by series name.
    """

    advantages: Tensor
    returns: Tensor | None
    taught: Sequence[int]
    metrics: dict[str, float]


def minibatches(
    config: PPOConfig | GRPOConfig, rolled: RolledOut, lessons: Lessons, *, epoch: int, parts: Sequence[Any]
) -> Iterator[list[ResponseBatch]]:
    """Yield the micro-batches of one update after another, through all responses that teach something once.

    `parts` are the models that an update computes in turn: all micro-batches of one, then all of the next.
    """
    taught = set(lessons.taught)
    order = [n for n in epoch_order(config.seed, rolled.number, epoch, len(rolled.answered)) if n in taught]
    for groups in cut(order, size=config.batch.size, micro_size=config.batch.micro_size, each=rolled.each):
        yield [response_batch(rolled, lessons, group, part=part) for part in parts for group in groups]


def response_batch(
    rolled: RolledOut, lessons: Lessons, numbers: Sequence[int], *, part: Literal["policy", "value", "both"] = "policy"
) -> ResponseBatch:
    """Return these responses of a rollout, in this order, as one micro-batch."""
    lengths = rolled.lengths
    ends = np.cumsum(lengths)

    def of(values: Tensor | None) -> Tensor | None:
        return None if values is None else torch.cat([values[ends[n] - lengths[n] : ends[n]] for n in numbers])

    old, advantages = of(rolled.old), of(lessons.advantages)
    assert old is not None
    assert advantages is not None
    rows = tuple(rolled.prompts[number].number for number in numbers)
    return ResponseBatch(
        packed=packed_responses([rolled.answered[number] for number in numbers], rows, each=rolled.each),
        lengths=tuple(lengths[number] for number in numbers),
        old=old,
        advantages=advantages,
        reference=of(rolled.reference),
        returns=of(lessons.returns),
        values=of(rolled.values),
        part=part,
    )
