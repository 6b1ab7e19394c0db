"""What a training costs on this machine: a few steps of it, timed, with the memory that they took."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers.utils.logging import disable_progress_bar

from core.config.phases import PretrainConfig, SFTConfig
from core.data.manifest import Manifest
from core.errors import NumericError
from core.model.batch import PackedBatch
from core.training.batches import Row, pack_rows
from core.training.device import choose_device, device_name, peak_memory_bytes, resolve_dtype
from core.training.engine import Engine
from core.training.objectives import NextToken
from core.training.optimizers import optimizer_words, state_bytes
from core.training.setup import seed_everything
from core.training.trainable import trainable_model

MOST_MICRO_BATCHES = 2
"""Of a step: two show the memory that accumulation takes; with more only the update weighs less."""

Tell = Callable[[str, int, int], None]
"""Called with what is being done, which of how many it is; 0 of 0 where nobody knows."""


@dataclass(frozen=True)
class Steps:
    """The model's folder, None for one from scratch; the manifest of its tokens; the rows of a step; how many steps."""

    folder: Path | None
    manifest: Manifest
    rows: Sequence[Row]
    count: int


def micro_batches_of(config: PretrainConfig | SFTConfig) -> int:
    """Return how many micro-batches a measured step has: those of a step, but no more than are needed."""
    return min(config.batch.size // config.batch.micro_size, MOST_MICRO_BATCHES)


def measure_steps(config: PretrainConfig | SFTConfig, steps: Steps, tell: Tell) -> dict[str, str | int | float]:
    """Train `steps.count` steps after one that is not counted, on the same rows, and return what that took.

    Tokens a second count tokens that are not padding. The peak is that of the whole process, loading included; on CUDA
    that of the GPU. It belongs to this call only in a process that did nothing before.
    Raises: what building the model raises; NumericError where a step cannot be applied.
    """
    disable_progress_bar()
    device = choose_device()
    dtype = resolve_dtype(config.precision, device)
    seed_everything(config)
    tell("loading", 0, 0)
    trainable = trainable_model(config, steps.manifest, steps.folder, device=device, dtype=dtype)
    engine = Engine(trainable.model, config.optimizer, device=device, dtype=dtype)
    objective = NextToken(trainable.reading)
    batches = _micro_batches(config, steps.rows)

    seconds: list[float] = []
    for step in range(steps.count + 1):
        tell("step", step + 1, steps.count + 1)
        begin = time.perf_counter()
        result = engine.step(batches, objective, learning_rate=config.schedule.peak_learning_rate)
        seconds.append(time.perf_counter() - begin)
        if not result.applied and not result.is_overflow:
            raise NumericError(f"a step cannot be applied: {result.refusal}")
    tokens = sum(batch.tokens for batch in batches)
    return {
        **trainable.facts,
        "device": device_name(device),
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "packing": trainable.reading.packing,
        "optimizer": optimizer_words(config.optimizer, engine.optimizer, device),
        "optimizer_bytes": state_bytes(engine.optimizer),
        "steps": steps.count,
        "step_tokens": tokens,
        "step_seconds": sum(seconds[1:]) / steps.count,
        "first_step_seconds": seconds[0],
        "tokens_per_second": tokens * steps.count / sum(seconds[1:]),
        "peak_memory_bytes": peak_memory_bytes(device),
    }


def _micro_batches(config: PretrainConfig | SFTConfig, rows: Sequence[Row]) -> list[PackedBatch]:
    size, length = config.batch.micro_size, config.batch.sequence_length
    pad_to = size * length if config.model.compile else None
    return [
        pack_rows(rows[begin : begin + size], numbers=tuple(range(begin, begin + size)), pad_to=pad_to)
        for begin in range(0, len(rows), size)
    ]
