"""The phases and their sections; a preset is one of these as YAML."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from core.config.adapter import Adapter, Full
from core.config.cadence import Cadence, Sampling
from core.config.cluster import Cluster
from core.config.data import InstructionTuningData, PreparableData, PretrainingData
from core.config.loss import Loss
from core.config.model import Model
from core.config.optimization import AdamW, Batch, Precision, Schedule
from core.config.section import Section

FREE_SECTIONS = frozenset({"about", "cadence", "sampling"})
"""Sections on which no bit of what is trained depends."""


class About(Section):
    """Words for the menu."""

    title: str = Field(min_length=1, max_length=200)
    """What this preset does, in a line."""
    hardware: str = Field(default="", max_length=200)
    """The machine that it is meant for."""
    time: str = Field(default="", max_length=200)
    """How long it takes there."""
    memory: str = Field(default="", max_length=200)
    """How much memory it takes there."""


class _Phase(Section):
    about: About
    """Words for the menu."""
    seed: int = Field(default=17, ge=0, le=2**32 - 1)
    """Seed of everything that is drawn: weights, order of the data, held-out split, samples."""


class PrepareConfig(_Phase):
    """Turn sources into token shards on disk."""

    phase: Literal["prepare"]
    data: PreparableData
    """What to read and how it becomes tokens."""
    cluster: Cluster | None = None
    """Where the units of the data are worked on. Empty: on every core of this machine."""


class _Training(_Phase):
    model: Model
    """The model to train."""
    adapter: Adapter = Field(default_factory=lambda: Full(kind="full"))
    """How much of the model is trained."""
    loss: Loss = Loss()
    """What a token counts."""
    optimizer: AdamW = Field(default_factory=lambda: AdamW(kind="adamw"))
    """How gradients move the parameters."""
    schedule: Schedule
    """The learning rate over the run, and how long the run is."""
    batch: Batch
    """How many sequences a step takes."""
    precision: Precision = Precision()
    """Number types and repeatability."""
    cadence: Cadence = Cadence()
    """How often things happen."""
    sampling: Sampling = Sampling()
    """What the run writes to show how it is doing."""


class PretrainConfig(_Training):
    """Next-token prediction on documents."""

    phase: Literal["pretrain"]
    data: PretrainingData
    """The documents."""


class SFTConfig(_Training):
    """Supervised fine-tuning on instructions and conversations."""

    phase: Literal["sft"]
    data: InstructionTuningData
    """The instructions."""


RunConfig = Annotated[PrepareConfig | PretrainConfig | SFTConfig, Field(discriminator="phase")]

run_config: TypeAdapter[PrepareConfig | PretrainConfig | SFTConfig] = TypeAdapter(RunConfig)
