"""Held-out loss and perplexity, weighted by tokens."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch

from core.model.batch import PackedBatch
from core.run.events import Evaluated
from core.training.batches import Rows, in_order
from core.training.engine import Engine
from core.training.objectives import NextToken


def evaluate(
    engine: Engine,
    objective: NextToken,
    rows: Rows,
    *,
    micro_size: int,
    limit: int | None,
    step: int,
    pad_to: int | None,
    is_leaving: Callable[[], bool],
) -> Evaluated | None:
    """Return the mean loss in nats over all target tokens of the rows, and its exponential.

    Each row counts once, and each token as much as any other. With `pad_to`, compiled layers see one shape.
    Returns None where `is_leaving` turned true on the way.
    """
    begin = time.monotonic()
    total, tokens = 0.0, 0
    model = engine.model
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            for batch in in_order(rows, micro_size=micro_size, limit=limit, pad_to=pad_to):
                if is_leaving():
                    return None
                total += _sum(engine, objective, batch)
                tokens += batch.target_tokens
    finally:
        model.train(was_training)
    loss = total / tokens if tokens else math.nan
    perplexity = math.exp(loss) if loss < 700 else math.inf if loss == loss else math.nan
    values = {"eval/loss": loss, "eval/perplexity": perplexity}
    return Evaluated(step=step, values=values, tokens=tokens, seconds=time.monotonic() - begin)


def _sum(engine: Engine, objective: NextToken, batch: PackedBatch) -> float:
    if not batch.target_tokens:
        return 0.0
    (loss,) = engine.call(objective, batch.to(engine.device))
    return float(loss)
