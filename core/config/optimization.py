"""Optimizer, schedule, batch and precision."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.section import Section


class AdamW(Section):
    """AdamW with decoupled weight decay on matrices only (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    kind: Literal["adamw"]
    weight_decay: float = Field(default=0.1, ge=0, le=10)
    """Decay of matrices; norms, biases and embeddings have none."""
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.9, 0.95)
    """Decay rates of the first and the second moment."""
    epsilon: float = Field(default=1e-8, gt=0, le=1)
    """Added to the root of the second moment."""
    max_grad_norm: float | None = Field(default=1.0, gt=0, le=1e9)
    """Clip the norm of the whole gradient to this. Empty: no clipping."""
    states: Literal["fp32", "8bit"] = "fp32"
    """How both moments are kept. 8bit: block by block in 8 bits (Dettmers et al. 2022, arXiv:2110.02861), a quarter of
    the memory; those of embeddings and of parameters under 4,096 numbers stay in fp32."""
    paged: bool = False
    """Let the moments move to the host's memory where the GPU's is full. Without a GPU it does nothing, and the run
    says so."""


class _Schedule(Section):
    peak_learning_rate: float = Field(gt=0, le=10)
    """The highest learning rate."""
    warmup_steps: int = Field(default=0, ge=0, le=1_000_000_000)
    """Steps over which the learning rate rises to its peak; fewer than the steps of the run."""
    warmup_start: Literal["one", "zero"] = "one"
    """one: the first step has peak/warmup_steps. zero: the first step has 0."""
    steps: int | None = Field(default=None, ge=1, le=1_000_000_000)
    """Number of optimizer steps; either this or epochs."""
    epochs: float | None = Field(default=None, gt=0, le=10_000)
    """Number of passes over the training data; either this or steps."""


class Constant(_Schedule):
    """The peak after the warm-up."""

    kind: Literal["constant"]


class Linear(_Schedule):
    """A straight line from the peak to the floor."""

    kind: Literal["linear"]
    floor_ratio: float = Field(default=0.0, ge=0, le=1)
    """The last value as a share of the peak."""


class Cosine(_Schedule):
    """Half a cosine from the peak to the floor."""

    kind: Literal["cosine"]
    floor_ratio: float = Field(default=0.0, ge=0, le=1)
    """The last value as a share of the peak."""


class WarmupStableDecay(_Schedule):
    """The peak, then a straight line to the floor over the last steps (Hu et al. 2024, arXiv:2404.06395)."""

    kind: Literal["warmup_stable_decay"]
    decay_ratio: float = Field(default=0.1, gt=0, le=1)
    """Share of all steps over which the learning rate falls at the end."""
    floor_ratio: float = Field(default=0.0, ge=0, le=1)
    """The last value as a share of the peak."""


Schedule = Annotated[Constant | Linear | Cosine | WarmupStableDecay, Field(discriminator="kind")]


class Batch(Section):
    """How many sequences a step takes, and how they are dealt out."""

    size: int = Field(ge=1, le=1_000_000)
    """How many an optimizer step takes, over all devices and micro-batches: sequences, pairs in reward and dpo,
    responses in ppo and grpo."""
    micro_size: int = Field(ge=1, le=1_000_000)
    """How many of them a device takes at once; size must be a multiple. Gradient accumulation follows from both."""
    sequence_length: int = Field(ge=8, le=1_048_576)
    """Tokens in a sequence."""


class Precision(Section):
    """Number types and repeatability."""

    dtype: Literal["auto", "bf16", "fp16", "fp32"] = "auto"
    """auto: bf16 where the device computes it fast, else fp32. Weights and optimizer stay in fp32; fp16 has a loss
    scaler."""
    deterministic: bool = True
    """Use only algorithms that give the same bits every time."""
