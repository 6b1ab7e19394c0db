"""Whether two models are the same function: their logits on fixed rows of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

_ROWS = 4
_TOKENS = 48


@dataclass(frozen=True)
class Difference:
    """How far two sets of logits lie apart: the largest and the mean absolute difference.

    `relative` is the largest as a share of the largest logit.
    """

    largest: float
    mean: float
    relative: float

    def as_json(self) -> dict[str, float]:
        """Return it as plain values."""
        return asdict(self)


def token_rows(model: Any, *, vocabulary_size: int | None = None, also: Sequence[int] = ()) -> list[Tensor]:
    """Return rows of token ids (1, tokens), the same for every model with so many tokens and positions.

    They are drawn from the first `vocabulary_size` ids (all that the model embeds unless stated); `also` are ids that
    must be among them.
    """
    size = vocabulary_size or model.get_input_embeddings().weight.shape[0]
    length = min(_TOKENS, getattr(model.config, "max_position_embeddings", None) or _TOKENS)
    generator = torch.Generator().manual_seed(17)
    drawn = [torch.randint(size, (1, length), generator=generator) for _ in range(_ROWS)]
    return drawn + [torch.tensor([list(also[at : at + length])]) for at in range(0, len(also), length)]


def logits_on(model: Any, rows: Sequence[Tensor]) -> list[Tensor]:
    """Return the logits (tokens, vocabulary) of each row in float32 on the CPU; the model is in evaluation mode."""
    place = model.get_input_embeddings().weight.device
    with torch.inference_mode():
        return [model(input_ids=row.to(place), use_cache=False).logits[0].float().cpu() for row in rows]


def scores_on(model: Any, rows: Sequence[Tensor]) -> list[Tensor]:
    """Return the scores (tokens, 1) of a reward model at each token of each row, as `logits_on` does the logits.

    They are the logits of the classifier that it is; its output head, where it has one, says nothing.
    """
    place = model.get_input_embeddings().weight.device
    with torch.inference_mode():
        hidden = [model.base_model(input_ids=row.to(place), use_cache=False).last_hidden_state for row in rows]
        return [model.score(each[0].to(model.score.weight.dtype)).float().cpu() for each in hidden]


def difference(found: Sequence[Tensor], right: Sequence[Tensor]) -> Difference:
    """Return how far `found` lies from `right`; NaN where either holds a number that is not finite.

    Columns that only one of them has (embeddings padded to another size) do not count.
    """
    largest, total, count, scale = 0.0, 0.0, 0, 1e-30
    for one, other in zip(found, right, strict=True):
        width = min(one.shape[-1], other.shape[-1])
        apart = (one[:, :width] - other[:, :width]).abs()
        if not apart.isfinite().all():
            return Difference(float("nan"), float("nan"), float("nan"))
        largest = max(largest, float(apart.max()))
        total += float(apart.double().sum())
        count += apart.numel()
        scale = max(scale, float(other[:, :width].abs().max()))
    return Difference(largest, total / max(1, count), largest / scale)
