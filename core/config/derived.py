"""What follows from the numbers of a configuration before anything is read or run."""

from __future__ import annotations

from typing import assert_never

from core.config.phases import (
    TRAINING,
    Config,
    DPOConfig,
    GRPOConfig,
    PPOConfig,
    PretrainConfig,
    RewardConfig,
    SFTConfig,
)


def derived_numbers(config: Config) -> dict[str, int]:
    """Return what follows from batch, schedule and rollout on one device.

    Units: accumulation in micro-batches a step; tokens are positions, those of padding included. How many tokens pairs
    and rollouts have is not known before: of those, pairs and rollouts are counted. {} where nothing is trained.
    """
    if not isinstance(config, TRAINING):
        return {}
    batch, steps = config.batch, config.schedule.steps
    derived = {"micro_batches_per_step": batch.size // batch.micro_size}
    match config:
        case PretrainConfig() | SFTConfig():
            derived["tokens_per_step"] = tokens = batch.size * batch.sequence_length
            return derived if steps is None else {**derived, "tokens_in_all": steps * tokens}
        case RewardConfig() | DPOConfig():
            return derived if steps is None else {**derived, "pairs_in_all": steps * batch.size}
        case PPOConfig(ppo=method) | GRPOConfig(grpo=method):
            each = config.rollout.responses // batch.size * method.epochs
            derived["steps_per_rollout"] = each
            return derived if steps is None else {**derived, "rollouts_in_all": -(-steps // each)}
        case _:
            assert_never(config)
