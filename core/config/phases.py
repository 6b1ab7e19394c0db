"""The phases and their sections; a preset is one of these as YAML."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from core.config.adapter import Adapter, Full
from core.config.alignment import DirectPreference, GroupRelative, ProximalPolicy, RewardModelling, Rollout, StageName
from core.config.cadence import Cadence, Sampling
from core.config.cluster import Cluster
from core.config.data import InstructionTuningData, PretrainingData
from core.config.loss import Loss
from core.config.model import Model
from core.config.optimization import AdamW, Batch, Precision, Schedule
from core.config.preferences import PairedData, PreparableData, PromptedData
from core.config.rewards import Reward
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


class _Writing(_Training):
    sampling: Sampling = Sampling()
    """What the run writes to show how it is doing."""


class _Likelihood(_Writing):
    loss: Loss = Loss()
    """What a token counts."""


class PretrainConfig(_Likelihood):
    """Next-token prediction on documents."""

    phase: Literal["pretrain"]
    data: PretrainingData
    """The documents."""


class SFTConfig(_Likelihood):
    """Supervised fine-tuning on instructions and conversations."""

    phase: Literal["sft"]
    data: InstructionTuningData
    """The instructions."""


class RewardConfig(_Training):
    """A reward model: which of two answers people would rather have. batch.size counts pairs."""

    phase: Literal["reward"]
    data: PairedData
    """Pairs of answers."""
    reward: RewardModelling = RewardModelling()
    """The loss."""


class DPOConfig(_Writing):
    """Preference optimisation without a reward model: DPO and its kin. batch.size counts pairs."""

    phase: Literal["dpo"]
    data: PairedData
    """Pairs of answers; for kto answers that are judged, too."""
    dpo: DirectPreference = DirectPreference()
    """The loss."""


class _Rolling(_Training):
    data: PromptedData
    """The prompts that the policy answers."""
    rewards: list[Reward] = Field(min_length=1, max_length=20)
    """What a response is worth; several are added by weight."""
    rollout: Rollout = Rollout()
    """What the policy writes between two rounds of updates."""


class PPOConfig(_Rolling):
    """Proximal policy optimisation against rewards, with a value function. batch.size counts responses."""

    phase: Literal["ppo"]
    ppo: ProximalPolicy = ProximalPolicy()
    """The loss and its parts."""


class GRPOConfig(_Rolling):
    """Group relative policy optimisation: responses to one prompt are compared. batch.size counts responses."""

    phase: Literal["grpo"]
    grpo: GroupRelative = GroupRelative()
    """The loss and its parts."""


class _Stage(Section):
    name: StageName
    """What later stages call it, in model.run, data.run and rewards; and --set NAME.section.field=VALUE."""


class PrepareStage(_Stage, PrepareConfig):
    """A stage of a pipeline that prepares data."""


class PretrainStage(_Stage, PretrainConfig):
    """A stage of a pipeline."""


class SFTStage(_Stage, SFTConfig):
    """A stage of a pipeline."""


class RewardStage(_Stage, RewardConfig):
    """A stage of a pipeline."""


class DPOStage(_Stage, DPOConfig):
    """A stage of a pipeline."""


class PPOStage(_Stage, PPOConfig):
    """A stage of a pipeline."""


class GRPOStage(_Stage, GRPOConfig):
    """A stage of a pipeline."""


Stage = Annotated[
    PrepareStage | PretrainStage | SFTStage | RewardStage | DPOStage | PPOStage | GRPOStage,
    Field(discriminator="phase"),
]


class PipelineConfig(Section):
    """Presets that run one after another, each as an ordinary run."""

    phase: Literal["pipeline"]
    about: About
    """Words for the menu."""
    pipeline: list[Stage] = Field(min_length=1, max_length=100)
    """The stages in their order; each is a preset with a name."""


TrainingConfig = PretrainConfig | SFTConfig | RewardConfig | DPOConfig | PPOConfig | GRPOConfig
"""A phase that trains a model."""
TRAINING = (PretrainConfig, SFTConfig, RewardConfig, DPOConfig, PPOConfig, GRPOConfig)

Config = PrepareConfig | TrainingConfig | PipelineConfig
"""What one run does."""

RunConfig = Annotated[
    PrepareConfig | PretrainConfig | SFTConfig | RewardConfig | DPOConfig | PPOConfig | GRPOConfig | PipelineConfig,
    Field(discriminator="phase"),
]

run_config: TypeAdapter[Config] = TypeAdapter(RunConfig)
