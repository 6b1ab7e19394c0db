"""Text that the model writes while it is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from core.config.cadence import Sampling
from core.data.tokens.templates import render_prompt
from core.model.generate import generate
from core.run.events import Sampled
from core.training.engine import Engine


def sample(
    engine: Engine,
    tokenizer: Path,
    sampling: Sampling,
    *,
    seed: int,
    step: int,
    template: Literal["none", "alpaca", "chat"],
    is_leaving: Callable[[], bool],
) -> list[Sampled]:
    """Return a continuation of each prompt; the same for the same seed, step and parameters.

    `template` is how a prompt becomes tokens: none (as it stands), alpaca or chat. Nothing is returned where
    `is_leaving` turned true on the way.
    """
    texts: list[Sampled] = []
    for number, prompt in enumerate(sampling.prompts):
        ids = render_prompt(tokenizer, template, prompt)
        text = engine.call(
            generate, tokenizer, ids, sampling, seed=seed + 1000 * step + number, is_leaving=is_leaving
        )
        if is_leaving():
            return []
        texts.append(Sampled(step=step, prompt=prompt, text=text))
    return texts
