"""Which models stand in memory, which of them wait, and how many of them there are."""

from __future__ import annotations

from typing import Any

import pytest

from core.config.models_in_memory import memory_words, models_in_memory
from core.config.phases import GRPOConfig, PPOConfig
from core.config.presets import Draft, resolve
from tests.core.config.cases import alignment


def names(phase: str, **method: Any) -> list[str]:
    """Return the models, those that wait with a star."""
    config = resolve(Draft(alignment(phase, **{phase: method})))
    assert isinstance(config, PPOConfig | GRPOConfig)
    found = models_in_memory(config, base_bytes=8, reward_bytes=[4])
    return [f"{model.name}{'*' * model.waits}" for model in found]


@pytest.mark.parametrize("waiting", [[], ["policy"], ["reference", "reward"], ["value"]])
def test_what_is_offloaded_waits(waiting: list[str]) -> None:
    expected = [f"{name}{'*' * (name in waiting)}" for name in ("policy", "reference", "value", "reward")]
    assert names("ppo", offload=waiting) == expected


def test_a_shared_value_function_is_no_model_and_without_a_divergence_there_is_no_reference() -> None:
    assert names("ppo", value="shared") == ["policy", "reference", "reward"]
    assert names("ppo", kl_coefficient=0) == ["policy", "value", "reward"]
    assert names("grpo") == ["policy", "reward"]
    assert names("grpo", kl_coefficient=0.1) == ["policy", "reference", "reward"]


def test_large_sizes_are_said_in_gigabytes() -> None:
    config = resolve(Draft(alignment("grpo")))
    assert isinstance(config, GRPOConfig)
    assert memory_words(models_in_memory(config, base_bytes=10**9)) == "1 model, 1.00 GB of weights: policy 1.00 GB"
