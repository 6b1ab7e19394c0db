"""The models of PPO and GRPO: policy, reference, value function, and what judges.

With an adapter they are one copy of the base weights: the policy's addition, the base alone as the reference, a second
addition for the value function, and those of reward runs that were trained on the same base. Without one, each is a
model of its own.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from core.config.adapter import Full
from core.config.alignment import Offloaded
from core.config.models_in_memory import ModelInMemory, models_in_memory, needs_reference
from core.config.phases import GRPOConfig, PPOConfig
from core.config.rewards import RewardModelRun
from core.errors import UsageError
from core.model.base_record import is_adapter, read_record
from core.model.dropout import switch_off_dropout
from core.model.injection import adapter_of
from core.model.quantized import weight_bytes
from core.model.reward_record import is_reward
from core.model.roles import Role, activate, add_adapter, add_saved_adapter
from core.model.scalar_head import add_head, head_of
from core.run.directory import Home
from core.run.runs import find_run
from core.training.trainable import Trainable

HOST = torch.device("cpu")


@dataclass
class Actors:
    """The models of a run, by what they are for.

    module is what is trained, under one roof. reference: None where nothing asks for one. value: None where there is
    no value function, or where it is a head on the policy (is_shared). rewards: those reward runs, by name, that share
    the policy's base. away: models that wait in the main memory while others compute, by role.
    """

    policy: Role
    module: nn.Module
    reference: Role | None = None
    value: Role | None = None
    is_shared: bool = False
    rewards: dict[str, Role] = field(default_factory=dict)
    device: torch.device = HOST
    away: dict[Offloaded, list[Any]] = field(default_factory=dict)

    @contextmanager
    def computing(self, role: Role) -> Iterator[Any]:
        """Have a role's model on the device, under the role's adapter, for as long as the block runs."""
        with self._here([model for name, models in self.away.items() if name == role.name for model in models]):
            yield activate(role)

    @contextmanager
    def learning(self) -> Iterator[None]:
        """Have on the device all that an update needs."""
        with self._here([*self.away.get("policy", []), *self.away.get("value", [])]):
            yield

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Have the models of rewards on the device."""
        with self._here(self.away.get("reward", [])):
            yield

    @contextmanager
    def _here(self, models: Sequence[Any]) -> Iterator[None]:
        for model in models:
            model.to(self.device)
        try:
            yield
        finally:
            for model in models:
                model.to(HOST)

    def put_away(self) -> None:
        """Move what is to wait into the main memory."""
        with self._here([model for models in self.away.values() for model in models]):
            pass


def actors_of(config: PPOConfig | GRPOConfig, trainable: Trainable, *, home: Home, device: torch.device) -> Actors:
    """Return the models of a run around its policy; what is trained, is trained from here on.

    Raises: UsageError where a value function cannot begin as it should, or a reward run's adapter does not hold.
    """
    model, reading = trainable.model, trainable.reading
    is_whole = isinstance(config.adapter, Full)
    policy = Role("policy", model, reading, None if is_whole else "default")
    actors = Actors(policy, model, device=device)
    if needs_reference(config):
        actors.reference = Role("reference", _frozen_copy(model) if is_whole else model, reading, _off(is_whole))
    if not is_whole:
        actors.rewards = _sharing_rewards(config, trainable, home)
    if isinstance(config, PPOConfig):
        _add_value(config, actors, home)
        roles = {"policy": policy, "reference": actors.reference, "value": actors.value}
        actors.away = {name: [role.model] for name in config.ppo.offload if (role := roles.get(name)) is not None}
    for each in (policy, actors.value):
        if each is not None:
            switch_off_dropout(each.model)  # a ratio of probabilities must compare parameters alone
    return actors


def _off(is_whole: bool) -> str | None:
    return None if is_whole else ""


def _frozen_copy(model: Any) -> Any:
    frozen = copy.deepcopy(model)
    frozen.requires_grad_(False)
    return frozen.eval()


def _sharing_rewards(config: PPOConfig | GRPOConfig, trainable: Trainable, home: Home) -> dict[str, Role]:
    """Put the adapters of those reward runs on the policy's base that were trained on the same one."""
    found: dict[str, Role] = {}
    for reward in config.rewards:
        if not isinstance(reward, RewardModelRun) or reward.run in found:
            continue
        folder = find_run(home, reward.run).model
        if is_reward(folder) and is_adapter(folder) and read_record(folder).digest == trainable.base_digest:
            name = f"reward{len(found)}"
            score = add_saved_adapter(trainable.model, folder, name, base_digest=trainable.base_digest)
            found[reward.run] = Role("reward", trainable.model, trainable.reading, name, score)
    return found


def _add_value(config: PPOConfig, actors: Actors, home: Home) -> None:
    policy, seed = actors.policy, config.seed
    if config.ppo.value == "shared":
        add_head(policy.model, "value", seed=seed)
        actors.is_shared = True
    elif isinstance(config.adapter, Full):
        value = _whole_value(config, policy, home)
        actors.value = Role("value", value, policy.reading)
        actors.module = nn.ModuleDict({"policy": policy.model, "value": value})
    else:
        add_adapter(policy.model, config.adapter, "value", seed=seed)
        add_head(policy.model, "value", seed=seed)
        actors.value = Role("value", policy.model, policy.reading, "value")
        if config.ppo.value_begins_with == "reward":
            _begin_with_reward(actors)


def _begin_with_reward(actors: Actors) -> None:
    """Give the value function's addition and head the numbers of the reward's, on the same base.

    Raises: UsageError where the reward has another base, or additions of another form.
    """
    role = next(iter(actors.rewards.values()), None)
    model, hint = actors.policy.model, "Set ppo.value_begins_with to policy."
    if role is None:
        raise UsageError("ppo.value_begins_with: the reward model does not share the policy's base", hint=hint)
    assert role.adapter is not None
    theirs = {name: p for name, p in model.named_parameters() if adapter_of(name) == role.adapter}
    ours = {name: p for name, p in model.named_parameters() if adapter_of(name) == "value"}
    pairs = {name.replace(f".{role.adapter}.", ".value."): p for name, p in theirs.items()}
    if {name: p.shape for name, p in ours.items()} != {name: p.shape for name, p in pairs.items()}:
        found = "the reward model's adapter has another rank, other targets or rows of new tokens"
        raise UsageError(f"ppo.value_begins_with: {found}", hint=hint)
    with torch.no_grad():
        for name, parameter in ours.items():
            parameter.copy_(pairs[name])
        model.value.weight.copy_(getattr(model, role.score).weight)


def _whole_value(config: PPOConfig, policy: Role, home: Home) -> Any:
    """Return a value function with weights of its own, without the output head that it does not need."""
    begins_with_reward = config.ppo.value_begins_with == "reward"
    value = _reward_model(config, policy, home) if begins_with_reward else copy.deepcopy(policy.model)
    add_head(value, "value", seed=config.seed)
    if begins_with_reward:
        with torch.no_grad():
            value.value.weight.copy_(value.score.weight)
        del value.score
    head = value.get_output_embeddings()
    if head is not None and head.weight is not value.get_input_embeddings().weight:
        name = next(name for name, module in value.named_modules() if module is head)
        value.set_submodule(name, nn.Identity())
    return value.requires_grad_(True).train()


def _reward_model(config: PPOConfig, policy: Role, home: Home) -> Any:
    """Return the one reward model of the configuration, reading as the policy does.

    Raises: UsageError where it is an adapter, or a model of another kind than the policy.
    """
    from core.model.reward_model import load_reward_model

    (reward,) = config.rewards
    assert isinstance(reward, RewardModelRun)
    folder = find_run(home, reward.run).model
    if is_adapter(folder):
        raise UsageError(
            f"ppo.value_begins_with: {reward.run} is an adapter, and this run trains whole models",
            hint="Set ppo.value_begins_with to policy, or adapter.kind to that of the reward run.",
        )
    model = load_reward_model(folder, home, device=next(policy.model.parameters()).device)
    if type(model) is not type(policy.model):
        raise UsageError(
            f"ppo.value_begins_with: {reward.run} is a {type(model).__name__}, the policy a "
            f"{type(policy.model).__name__}",
            hint="Set ppo.value_begins_with to policy.",
        )
    model.set_attn_implementation(policy.reading.attention)
    model.config.use_cache = False
    if config.model.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return model


def in_memory(config: PPOConfig | GRPOConfig, actors: Actors, judges: Sequence[Any]) -> list[ModelInMemory]:
    """Return what stands in memory of this run; `judges` are the models of rewards that share nothing."""
    named = list(actors.policy.model.named_parameters())
    additions: dict[str | None, int] = defaultdict(int)
    for name, parameter in named:
        additions[adapter_of(name) or head_of(name)] += parameter.numel() * parameter.element_size()
    del additions[None]
    shared = [additions[role.adapter] for role in actors.rewards.values() if role.adapter is not None]
    return models_in_memory(
        config,
        base_bytes=weight_bytes(actors.policy.model) - sum(additions.values()),
        adapter_bytes=additions["default"],
        reward_bytes=[*shared, *(weight_bytes(judge) for judge in judges)],
    )
