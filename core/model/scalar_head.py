"""Heads that give one number: the score of a whole document, or the value at each position that has a target."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.model.batch import IGNORED, PackedBatch, packed
from core.model.log_probs import (
    Entropy,
    TargetLogProbs,
    log_probs_behind,
    target_log_probs,
    target_positions,
)
from core.model.reading import Reading, hidden_states

HeadName = Literal["score", "value"]
HEAD_NAMES: tuple[HeadName, ...] = ("score", "value")
_OF = "_of_"
"""Between the name of a head and that of the adapter that it alone belongs to, where a model has several of a kind."""
_TOKENS_AT_ONCE = 8192


def add_head(model: Any, name: HeadName, *, seed: int) -> nn.Linear:
    """Return a new head of `model`, width to 1 without bias, which is `model.NAME` from now on, float32 and trained.

    Its weights are drawn from `seed` with the standard deviation 1 / sqrt(width + 1) (Stiennon et al. 2020,
    arXiv:2009.01325, appendix B.1); the global random generators stay where they are. On a low-rank model it comes
    after the additions, of which it is no target.
    """
    place = model.get_input_embeddings().weight.device
    width = model.config.get_text_config().hidden_size
    head = nn.Linear(width, 1, bias=False, device="meta").to_empty(device="cpu")  # nothing is drawn
    with torch.no_grad():
        head.weight.normal_(0.0, 1 / math.sqrt(width + 1), generator=torch.Generator().manual_seed(seed))
    head.to(place).train(model.training)
    model.add_module(name, head)
    return head


def head_of(parameter: str) -> HeadName | None:
    """Return which head of one number a module or parameter belongs to by its name, None for one of no head."""
    first = parameter.split(".")[0].partition(_OF)[0]
    return next((name for name in HEAD_NAMES if name == first), None)


def give_head(model: Any, name: HeadName, adapter: str) -> str:
    """Rename the head `name` as that of an adapter, so that another one may come, and return what it is called now."""
    own = f"{name}{_OF}{adapter}"
    model.add_module(own, model._modules.pop(name))
    return own


def document_scores(model: Any, reading: Reading, batch: PackedBatch, head: str = "score") -> Tensor:
    """Return what the head says at the last token of each document but padding, (documents,) float32 with its graph.

    The last token is found by position, so an id that pads elsewhere may stand in a document, and at its end.
    """
    hidden = hidden_states(model, reading, batch)
    last = batch.boundaries[1 : batch.documents + 1].long() - 1
    return _applied(model, head, hidden[last])


@torch.no_grad()
def scores_of(model: Any, reading: Reading, documents: Sequence[list[int]], head: str = "score") -> list[float]:
    """Return `document_scores` of documents of token ids, in their order, without a graph.

    Documents of similar length are read together, at most 8,192 tokens at once, unless one alone has more.
    """
    device = model.get_input_embeddings().weight.device
    found = [0.0] * len(documents)
    for numbers in _packs(documents):
        batch = packed([documents[n] for n in numbers], [[IGNORED] * len(documents[n]) for n in numbers])
        scores = document_scores(model, reading, batch.to(device), head).tolist()
        for number, score in zip(numbers, scores, strict=True):
            found[number] = score
    return found


def _packs(documents: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Yield the numbers of documents that are read at once, those of similar length together."""
    pack: list[int] = []
    tokens = 0
    for number in sorted(range(len(documents)), key=lambda number: len(documents[number])):
        if pack and tokens + len(documents[number]) > _TOKENS_AT_ONCE:
            yield pack
            pack, tokens = [], 0
        pack.append(number)
        tokens += len(documents[number])
    if pack:
        yield pack


def target_values(model: Any, reading: Reading, batch: PackedBatch, head: str = "value") -> Tensor:
    """Return what the head says at each position that has a target, before that is seen: (targets,) float32."""
    return _applied(model, head, hidden_states(model, reading, batch)[target_positions(batch)])


def log_probs_and_values(
    model: Any, reading: Reading, batch: PackedBatch, *, temperature: float = 1.0, entropy: Entropy = "none"
) -> tuple[TargetLogProbs, Tensor]:
    """Return `target_log_probs` and `target_values` from one pass through the layers.

    A head of kind keep gives its logits from a pass of its own: then it is two.
    """
    if reading.head == "keep":
        found = target_log_probs(model, reading, batch, temperature=temperature, entropy=entropy)
        return found, target_values(model, reading, batch)
    positions = target_positions(batch)
    hidden = hidden_states(model, reading, batch)[positions]
    found = log_probs_behind(model, reading, hidden, batch.targets[0][positions], temperature, entropy)
    return found, _applied(model, "value", hidden)


def _applied(model: Any, head: str, hidden: Tensor) -> Tensor:
    """Return the head on hidden states (n, width), (n,), in the head's own type also under autocast."""
    linear: nn.Linear = getattr(model, head)
    with torch.autocast(hidden.device.type, enabled=False):
        result: Tensor = linear(hidden.to(linear.weight.dtype))[:, 0]
    return result
