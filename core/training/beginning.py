"""How an attempt at a training run begins: where it computes, what it says of itself, and what it puts back."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers.utils.logging import disable_progress_bar

from core.config.phases import TrainingConfig
from core.run.events import Notice, Series, Started
from core.run.session import Session
from core.training.device import Dtype, choose_device, device_name, resolve_dtype
from core.training.engine import Engine
from core.training.optimizers import optimizer_words, paging_words, state_bytes
from core.training.resume import HasCursor, Position, fingerprint
from core.training.setup import Tokens, check_space, resume, seed_everything
from core.training.trainable import Trainable

Facts = Mapping[str, str | int | float | bool]


def quiet_libraries() -> None:
    """Keep out of a run's log what is no message of the run."""
    disable_progress_bar()  # transformers draws bars
    # And bitsandbytes warns, also where nothing is in 4 bits, that a faster product it could fetch is not there.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Place:
    """Where a run computes: its device, and the type of its products."""

    device: torch.device
    dtype: Dtype

    @classmethod
    def of(cls, config: TrainingConfig) -> Place:
        """Choose the device, and seed every generator."""
        device = choose_device()
        dtype = resolve_dtype(config.precision, device)
        seed_everything(config)
        return cls(device, dtype)


@dataclass(frozen=True)
class Beginning:
    """What an attempt at a training run begins with.

    facts: what the phase says of itself besides what every phase says. notices: what a person should know before the
    first step. digests: of what the run reads besides data and base, which a resume must find unchanged. method: what
    the phase itself must remember, as it is at the start.
    """

    tokens: Tokens
    trainable: Trainable
    engine: Engine
    batches: HasCursor
    steps: int
    series: tuple[Series, ...]
    facts: Facts
    notices: Iterable[Notice] = ()
    digests: Mapping[str, str] = field(default_factory=dict)
    method: Mapping[str, Any] = field(default_factory=dict)


def begin_attempt(
    config: TrainingConfig, session: Session, beginning: Beginning, *, allow_inexact: bool
) -> tuple[Position, Mapping[str, Any]]:
    """Say what is trained, put back the newest checkpoint, and return where the run stands and what must stay so.

    Raises: what `resume` and `check_space` raise.
    """
    engine, steps = beginning.engine, beginning.steps
    digests = {"data": beginning.tokens.manifest.digest, "base": beginning.trainable.base_digest, **beginning.digests}
    marks = fingerprint(config, digests=digests, device=engine.device, dtype=engine.dtype)
    facts = _facts(config, beginning)
    session.start(Started(phase=config.phase, steps=steps, series=beginning.series, facts=facts))
    for notice in beginning.notices:
        session.emit(notice)
    if words := paging_words(config.optimizer, engine.device):
        session.emit(Notice(level="warning", code="not_paged", message=words))
    position = resume(
        session, engine, beginning.batches, marks,
        steps=steps, allow_inexact=allow_inexact, method=beginning.method,
    )  # fmt: skip
    session.step = position.step
    check_space(session, engine, keep=config.cadence.keep_checkpoints)
    return position, marks


def _facts(config: TrainingConfig, beginning: Beginning) -> dict[str, str | int | float | bool]:
    engine = beginning.engine
    return {
        "device": device_name(engine.device),
        "dtype": engine.dtype,
        "threads": torch.get_num_threads(),
        **beginning.trainable.facts,
        # Heads and value functions, which came after that model was made, are trained too.
        "trainable_parameters": sum(parameter.numel() for parameter in engine.parameters.values()),
        "packing": beginning.trainable.reading.packing,
        "accumulation": config.batch.size // config.batch.micro_size,
        **beginning.facts,
        "vocabulary_size": beginning.tokens.manifest.vocabulary_size,
        "max_grad_norm": config.optimizer.max_grad_norm or 0.0,
        "optimizer": optimizer_words(config.optimizer, engine.optimizer, engine.device),
        "optimizer_bytes": state_bytes(engine.optimizer),
        "torch": torch.__version__,
    }
