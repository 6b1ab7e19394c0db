"""Text that the model writes while it is trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from core.config.cadence import Sampling
from core.config.phases import DPOConfig, PretrainConfig, SFTConfig
from core.data.manifest import TOKENIZER
from core.model.generate import generate
from core.run.events import Sampled
from core.run.session import Session
from core.training.engine import Engine
from core.training.resume import Position
from core.training.setup import Tokens


def sample(
    engine: Engine,
    tokenizer: Path,
    sampling: Sampling,
    *,
    seed: int,
    step: int,
    prompt_ids: Callable[[str], list[int]],
    is_leaving: Callable[[], bool],
) -> list[Sampled]:
    """Return a continuation of each prompt; the same for the same seed, step and parameters.

    `prompt_ids` turns a prompt into tokens. Nothing is returned where `is_leaving` turned true on the way.
    """
    texts: list[Sampled] = []
    for number, prompt in enumerate(sampling.prompts):
        ids = prompt_ids(prompt)
        text = engine.call(generate, tokenizer, ids, sampling, seed=seed + 1000 * step + number, is_leaving=is_leaving)
        if is_leaving():
            return []
        texts.append(Sampled(step=step, prompt=prompt, text=text))
    return texts


def sampler(
    session: Session,
    config: PretrainConfig | SFTConfig | DPOConfig,
    engine: Engine,
    tokens: Tokens,
    position: Position,
    prompt_ids: Callable[[str], list[int]],
) -> Callable[[], list[Sampled]]:
    """Return what samples the model of a run as it stands at `position`."""

    def is_leaving() -> bool:
        return session.leaving() is not None

    def sample_now() -> list[Sampled]:
        return sample(
            engine,
            tokens.folder / TOKENIZER,
            config.sampling,
            seed=config.seed,
            step=position.step,
            prompt_ids=prompt_ids,
            is_leaving=is_leaving,
        )

    return sample_now
