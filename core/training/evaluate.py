"""Held-out loss and perplexity, weighted by tokens, of all documents and of each group."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch

from core.model.batch import PackedBatch
from core.model.dropout import evaluating
from core.run.events import Evaluated
from core.training.batches import Row, in_order
from core.training.engine import Engine
from core.training.held_out import HeldOut, series_of_group
from core.training.objectives import NextToken


def evaluate(
    engine: Engine,
    objective: NextToken,
    parts: Sequence[HeldOut[Row]],
    *,
    micro_size: int,
    limit: int | None,
    step: int,
    pad_to: int | None,
    is_leaving: Callable[[], bool],
) -> Evaluated | None:
    """Return the mean loss in nats over all target tokens, its exponential, and the mean loss of each group.

    Each row counts once, and each token as much as any other, also where loss.syntax_weights weigh them in training: so
    runs with other weights can be compared. `limit` is how many rows of each part are taken. With `pad_to`, compiled
    layers see one shape. A group without target tokens has no value.
    Returns None where `is_leaving` turned true on the way.
    """
    begin = time.monotonic()
    total, tokens = 0.0, 0
    values: dict[str, float] = {}
    with torch.no_grad(), evaluating(engine.model):
        for part in parts:
            in_part, counted = 0.0, 0
            for batch in in_order(part.rows, micro_size=micro_size, limit=limit, pad_to=pad_to):
                if is_leaving():
                    return None
                in_part += _sum(engine, objective, batch)
                counted += batch.target_tokens
            total, tokens = total + in_part, tokens + counted
            if part.group is not None and counted:
                values[series_of_group(part.group)] = in_part / counted
    loss = total / tokens if tokens else math.nan
    perplexity = math.exp(loss) if loss < 700 else math.inf if loss == loss else math.nan
    values = {"eval/loss": loss, "eval/perplexity": perplexity, **values}
    return Evaluated(step=step, values=values, tokens=tokens, seconds=time.monotonic() - begin)


def _sum(engine: Engine, objective: NextToken, batch: PackedBatch) -> float:
    if not batch.target_tokens:
        return 0.0
    (loss,) = engine.call(objective, batch.to(engine.device)).sums
    return float(loss)
