"""Responses that a model writes to many prompts at once, for reinforcement learning.

Each distinct prompt is read once, and what was read is shared out to its responses; a response that ended leaves the
batch at once, so no step is computed for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from core.errors import NumericError, UsageError
from core.model.dropout import evaluating
from core.model.reordered import reordered_weights
from core.model.written_rows import closed_up, with_rows


@dataclass(frozen=True)
class Response:
    """What was written to a prompt. `tokens` has the end token where it `ended` by itself; else it was cut."""

    prompt: tuple[int, ...]
    tokens: tuple[int, ...]
    ended: bool


@dataclass(frozen=True)
class Asked:
    """How many responses to write to each prompt, and how.

    temperature: logits are divided by it; 0 takes the likeliest token each time. ends: tokens that end a response.
    seeds: one a response, those of the first prompt first. micro_size: how many are written at once.
    """

    each: int
    max_new_tokens: int
    temperature: float
    ends: frozenset[int]
    seeds: Sequence[int] = field(repr=False)
    micro_size: int


def respond(
    model: Any, prompts: Sequence[Sequence[int]], asked: Asked, *, is_leaving: Callable[[], bool]
) -> list[Response] | None:
    """Return `asked.each` responses to each prompt, those of the first prompt first; None where `is_leaving` was true.

    A response depends on the parameters, its prompt and its seed alone: its numbers are drawn from a generator of its
    own, so that its neighbours and its place among them change it only where float rounding does. It is cut after
    `max_new_tokens`, or where the model's context is full. Training flags, the cache setting and the global random
    generators are as before afterwards. `is_leaving` is asked before each token.
    Raises: UsageError for an empty prompt, one that fills the context, or a model that cannot share what it read;
    NumericError where the model gives no finite logit.
    """
    assert len(asked.seeds) == len(prompts) * asked.each, "one seed a response"
    wanted: dict[tuple[int, ...], list[int]] = {}
    for place, prompt in enumerate(prompts):
        wanted.setdefault(tuple(prompt), []).extend(range(place * asked.each, (place + 1) * asked.each))
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    _check(wanted, limit)
    found: dict[int, Response] = {}
    is_long = asked.max_new_tokens >= _WORTH_REORDERING
    with _writing(model), reordered_weights(model) if is_long else nullcontext(), torch.no_grad():
        for batch in _batches(wanted, asked.micro_size):
            responses = _write(model, batch, asked, limit=limit, is_leaving=is_leaving)
            if responses is None:
                return None
            found |= responses
    return [found[number] for number in range(len(asked.seeds))]


def choose(logits: Tensor, uniform: Tensor, temperature: float) -> Tensor:
    """Return a token for each row of logits, (rows,), by inverting the distribution's cumulative sum.

    Shapes: logits (rows, vocabulary), uniform (rows,) float64 in [0, 1). The temperature 0 takes the likeliest.
    Raises: NumericError where a row's largest logit is not finite.
    """
    logits = logits.float()
    largest, likeliest = logits.max(-1)
    if not bool(largest.isfinite().all()):
        raise NumericError(
            "the model's logits are not finite, so no token can be drawn",
            hint="Lower optimizer.learning_rate, or go on from an earlier checkpoint.",
        )
    if temperature == 0:
        return likeliest
    reached = torch.softmax(logits / temperature, -1).cumsum(-1, dtype=torch.float64)
    # In (0, 1], and the first token that reaches it: one of probability 0 never does so first.
    wanted = (1 - uniform[:, None]) * reached[:, -1:]
    return torch.searchsorted(reached, wanted)[:, 0]


_WORTH_REORDERING = 16
"""From how many tokens on: bringing the weights into another order takes as long as some five tokens."""

_Batch = list[tuple[tuple[int, ...], list[int]]]
"""Prompts with the numbers of the responses to write to each."""


def _check(prompts: Mapping[tuple[int, ...], Any], limit: int | None) -> None:
    longest = max(map(len, prompts), default=1)
    if () in prompts:
        raise UsageError("a prompt is empty", hint="Give the model at least one token to begin with.")
    if limit is not None and longest >= limit:
        raise UsageError(
            f"a prompt of {longest} tokens leaves no room in the model's context of {limit}",
            hint="Lower data.max_tokens.",
        )


def _batches(wanted: Mapping[tuple[int, ...], list[int]], size: int) -> Iterator[_Batch]:
    """Yield prompts of similar length together; the responses to one are kept together where they fit."""
    batch: _Batch = []
    room = size
    for prompt in sorted(wanted, key=len):
        for start in range(0, len(wanted[prompt]), size):
            numbers = wanted[prompt][start : start + size]
            if len(numbers) > room:
                yield batch
                batch, room = [], size
            batch.append((prompt, numbers))
            room -= len(numbers)
    if batch:
        yield batch


def _write(
    model: Any, batch: _Batch, asked: Asked, *, limit: int | None, is_leaving: Callable[[], bool]
) -> dict[int, Response] | None:
    rows = _Rows(batch, asked, limit, model.get_input_embeddings().weight.device)
    if is_leaving():
        return None
    logits, cache = _read(model, [prompt for prompt, _ in batch], rows.device)
    logits, cache = logits[rows.parents], with_rows(cache, rows.parents, rows.room)
    for column in range(rows.room):
        tokens = choose(logits, rows.uniform[:, column], asked.temperature)
        stays = rows.write(column, tokens)
        if not bool(stays.all()):
            order = closed_up(stays)
            if not len(order):
                break
            rows.keep(order)
            cache.batch_select_indices(order)
            tokens = tokens[order]
        if is_leaving():
            return None
        logits = _last_logits(model, tokens[:, None], rows.mask(column), rows.position(column), cache)
    return rows.responses(batch)


def _read(model: Any, prompts: Sequence[tuple[int, ...]], device: torch.device) -> tuple[Tensor, Any]:
    """Return the logits behind each prompt, (prompts, vocabulary), and the cache; prompts are padded on the left."""
    from transformers import DynamicCache

    width = max(map(len, prompts))
    ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    is_token = _tokens_from(torch.tensor([width - len(prompt) for prompt in prompts], device=device), width)
    positions = (is_token.cumsum(-1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)
    return _last_logits(model, ids, is_token, positions, cache), cache


def _last_logits(model: Any, ids: Tensor, is_token: Tensor, positions: Tensor, cache: Any) -> Tensor:
    logits: Tensor = model(
        input_ids=ids, attention_mask=is_token, position_ids=positions, cache=cache, use_cache=True, logits_to_keep=1
    ).logits
    return logits[:, -1]


def _tokens_from(starts: Tensor, width: int) -> Tensor:
    """Return (rows, width) int64: 0 before each row's start, 1 from there on."""
    return (torch.arange(width, device=starts.device) >= starts[:, None]).long()


class _Rows:
    """The rows that are still written, and what all rows of the batch have so far.

    A row is a response; the first `width` columns of a row are its prompt with padding on the left.
    """

    def __init__(self, batch: _Batch, asked: Asked, limit: int | None, device: torch.device) -> None:
        lengths = [len(prompt) for prompt, numbers in batch for _ in numbers]
        allowed = [min(asked.max_new_tokens, (limit or length + asked.max_new_tokens) - length) for length in lengths]
        seeds = [asked.seeds[number] for _, numbers in batch for number in numbers]
        self.device = device
        self.room = max(allowed)
        self.parents = torch.tensor([row for row, (_, numbers) in enumerate(batch) for _ in numbers], device=device)
        drawn = np.stack([np.random.default_rng(seed).random(self.room) for seed in seeds])
        self.uniform = torch.from_numpy(drawn).to(device)
        self._width = max(lengths)
        self._lengths = torch.tensor(lengths, device=device)
        self._allowed = torch.tensor(allowed, device=device)
        self._is_token = _tokens_from(self._width - self._lengths, self._width + self.room)
        self._ends = torch.tensor(sorted(asked.ends), dtype=torch.int64, device=device)
        self._places = torch.arange(len(lengths), device=device)
        self._tokens = torch.zeros(len(lengths), self.room, dtype=torch.int64, device=device)
        self._written = torch.zeros(len(lengths), dtype=torch.int64, device=device)
        self._ended = torch.zeros(len(lengths), dtype=torch.bool, device=device)

    def write(self, column: int, tokens: Tensor) -> Tensor:
        """Put down the tokens of this column and return which rows go on, (rows,) bool."""
        self._tokens[self._places, column] = tokens
        self._written[self._places] = column + 1
        ended = torch.isin(tokens, self._ends)
        self._ended[self._places] = ended
        return ~ended & (self._allowed > column + 1)

    def keep(self, order: Tensor) -> None:
        """Go on with these rows alone, in this order."""
        self.uniform, self._lengths, self._allowed = self.uniform[order], self._lengths[order], self._allowed[order]
        self._is_token, self._places = self._is_token[order], self._places[order]

    def mask(self, column: int) -> Tensor:
        """Return which columns are tokens, up to and with this one of the response, (rows, width + column + 1)."""
        return self._is_token[:, : self._width + column + 1]

    def position(self, column: int) -> Tensor:
        """Return each row's position of the response's token `column`, (rows, 1)."""
        return (self._lengths + column)[:, None]

    def responses(self, batch: _Batch) -> dict[int, Response]:
        """Return what was written, by the number of the response."""
        tokens, written, ended = self._tokens.tolist(), self._written.tolist(), self._ended.tolist()
        owners = [(prompt, number) for prompt, numbers in batch for number in numbers]
        return {
            number: Response(prompt, tuple(tokens[row][: written[row]]), ended[row])
            for row, (prompt, number) in enumerate(owners)
        }


@contextmanager
def _writing(model: Any) -> Iterator[None]:
    """Run the block in evaluation mode; the flags of modules and parameters are put back.

    Autocast keeps the rounded copy of a weight only where that asks for a gradient: frozen ones ask for it meanwhile,
    or each token would round them again. The copies go when the caller leaves autocast.
    """
    frozen = [p for p in model.parameters() if p.dtype == torch.float32 and p.ndim == 2 and not p.requires_grad]
    try:
        for parameter in frozen:
            parameter.requires_grad_(True)
        # Compiled layers would be compiled again for every length.
        with evaluating(model), torch.compiler.set_stance("force_eager"):
            yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)
