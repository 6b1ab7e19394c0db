"""Which models of an alignment run stand in memory at once, and how much each takes: from numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.config.phases import GRPOConfig, PPOConfig


@dataclass(frozen=True)
class ModelInMemory:
    """A model's weights. bytes: what it takes beyond what it shares. waits: in the main memory while others compute."""

    name: str
    bytes: int
    shares_base: bool = False
    waits: bool = False


def models_in_memory(
    config: PPOConfig | GRPOConfig, *, base_bytes: int, adapter_bytes: int = 0, reward_bytes: Sequence[int] = ()
) -> list[ModelInMemory]:
    """Return the models that a run holds, the policy first.

    base_bytes: of the weights that the policy begins with. adapter_bytes: of one low-rank addition, 0 where the whole
    model is trained. reward_bytes: of each reward model beyond what it shares with the policy.
    """
    is_whole = config.adapter.kind == "full"
    away = set(config.ppo.offload) if isinstance(config, PPOConfig) else set()
    found = [ModelInMemory("policy", base_bytes + adapter_bytes, waits="policy" in away)]
    if needs_reference(config):
        found.append(ModelInMemory("reference", base_bytes if is_whole else 0, not is_whole, "reference" in away))
    if isinstance(config, PPOConfig) and config.ppo.value == "separate":
        found.append(
            ModelInMemory("value", base_bytes if is_whole else adapter_bytes, not is_whole, "value" in away)
        )
    found += [ModelInMemory("reward", size, waits="reward" in away) for size in reward_bytes]
    return found


def needs_reference(config: PPOConfig | GRPOConfig) -> bool:
    """Tell whether the policy is held to the model that it began as."""
    return (config.ppo if isinstance(config, PPOConfig) else config.grpo).kl_coefficient > 0


def memory_words(models: Sequence[ModelInMemory]) -> str:
    """Return in words what stands in memory, for a person."""
    parts = [
        f"{model.name} {'shares the base' if model.shares_base else _size(model.bytes)}"
        + (f" and {_size(model.bytes)}" if model.shares_base and model.bytes else "")
        + (" (waits in main memory)" if model.waits else "")
        for model in models
    ]
    total = sum(model.bytes for model in models)
    return f"{len(models)} model{'' if len(models) == 1 else 's'}, {_size(total)} of weights: {', '.join(parts)}"


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
