"""The models of PPO and GRPO: one copy of a base, what stands in memory, what moves, what never changes."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import torch
from torch import nn

from core.config.models_in_memory import memory_words, models_in_memory
from core.model.dropout import switch_off_dropout
from core.phases.ppo import ClippedLosses, first_memory, lessons
from core.training.actors import in_memory
from core.training.rollout import minibatches
from core.training.writing import Writing, roll_out
from tests.core.training.policies import PROMPTS, ppo_config, tiny_model, writing_of

LORA = {"kind": "lora", "rank": 4, "embeddings": "frozen"}


def train(writing: Writing) -> None:
    config: Any = writing.config
    rolled = roll_out(writing, PROMPTS, 0, each=1)
    assert rolled is not None
    taught = lessons(rolled, config.ppo, first_memory(config.ppo))
    objective = ClippedLosses(writing.actors, config.ppo, temperature=1.0)
    for batches in minibatches(config, rolled, taught, epoch=0, parts=("policy", "value")):
        assert writing.engine.step(batches, objective, learning_rate=1e-2).applied


def digest(model: nn.Module, *, frozen: bool) -> str:
    parameters = [p for p in model.parameters() if not (frozen and p.requires_grad)]
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in parameters)).hexdigest()


def test_with_an_adapter_policy_reference_and_value_are_one_copy_of_the_base() -> None:
    base = sum(p.numel() for p in tiny_model().parameters())
    writing = writing_of(ppo_config(adapter=LORA))
    actors = writing.actors
    assert actors.reference is not None
    assert actors.value is not None
    models = [actors.policy.model, actors.reference.model, actors.value.model]
    storages = {p.untyped_storage().data_ptr(): p for model in models for p in model.parameters()}
    additions = [p for name, p in actors.module.named_parameters() if "lora_" in name]
    stored = sum(p.untyped_storage().nbytes() for p in storages.values())
    assert stored == 4 * (base + sum(p.numel() for p in additions) + 16)  # 16: the head of values
    assert len({name.split(".")[-2] for name, _ in actors.module.named_parameters() if "lora_" in name}) == 2
    found = in_memory(ppo_config(adapter=LORA), actors, [])
    assert [(model.name, model.bytes, model.shares_base) for model in found] == [
        ("policy", 4 * base + 2 * sum(p.numel() for p in additions), False),
        ("reference", 0, True),
        ("value", 2 * sum(p.numel() for p in additions), True),
    ]


def test_without_one_each_is_a_model_of_its_own_and_all_are_said() -> None:
    config = ppo_config(ppo={"offload": ["reference", "value"]})
    writing = writing_of(config)
    size = 4 * sum(p.numel() for p in tiny_model().parameters())
    judge = nn.Linear(100, 10, bias=False)
    found = in_memory(config, writing.actors, [judge])
    assert [(model.name, model.bytes, model.waits) for model in found] == [
        ("policy", size, False), ("reference", size, True), ("value", size, True), ("reward", 4000, False),
    ]  # fmt: skip
    words = memory_words(models_in_memory(config, base_bytes=2 * 10**9, reward_bytes=[5 * 10**8]))
    assert words == (
        "4 models, 6.50 GB of weights: policy 2.00 GB, reference 2.00 GB (waits in main memory), "
        "value 2.00 GB (waits in main memory), reward 500.0 MB"
    )


@pytest.mark.parametrize("adapter", [{"kind": "full"}, LORA], ids=["full", "lora"])
def test_the_reference_never_moves_and_the_policy_does(adapter: dict[str, Any]) -> None:
    writing = writing_of(ppo_config(adapter=adapter))
    actors = writing.actors
    assert actors.reference is not None
    before = digest(actors.reference.model, frozen=True)
    policy = digest(actors.policy.model, frozen=False)
    train(writing)
    assert digest(actors.reference.model, frozen=True) == before
    assert digest(actors.policy.model, frozen=False) != policy
    again = roll_out(writing, PROMPTS, 0, each=1)
    assert again is not None
    assert again.reference is not None
    assert not torch.equal(again.old, again.reference)


def test_without_a_coefficient_there_is_no_reference() -> None:
    writing = writing_of(ppo_config(ppo={"kl_coefficient": 0.0}))
    assert writing.actors.reference is None
    rolled = roll_out(writing, PROMPTS, 0, each=1)
    assert rolled is not None
    assert rolled.reference is None


class Recording:
    """Stands in for a model and records to where it is moved."""

    def __init__(self, name: str, log: list[tuple[str, str]]) -> None:
        self._name, self._log = name, log

    def to(self, device: torch.device) -> None:
        self._log.append((self._name, str(device)))


def test_models_are_on_the_device_only_while_they_compute() -> None:
    actors = writing_of(ppo_config(ppo={"offload": ["policy", "reference", "value"]})).actors
    assert actors.reference is not None
    assert actors.value is not None
    log: list[tuple[str, str]] = []
    actors.device = torch.device("meta")
    actors.away = {name: [Recording(name, log)] for name in ("policy", "reference", "value", "reward")}
    with actors.computing(actors.reference) as model:
        assert model is actors.reference.model
        assert log == [("reference", "meta")]
    assert log.pop() == ("reference", "cpu")
    log.clear()
    with actors.learning():
        assert log == [("policy", "meta"), ("value", "meta")]
    log.clear()
    with pytest.raises(ValueError, match="judge"), actors.judging():
        raise ValueError("judge")
    assert log == [("reward", "meta"), ("reward", "cpu")]


def test_a_model_that_moves_there_and_back_computes_the_same() -> None:
    config = ppo_config(ppo={"offload": ["policy", "reference", "value"]})
    plain, moved = writing_of(ppo_config()), writing_of(config)
    moved.actors.put_away()
    train(plain)
    train(moved)
    assert digest(plain.actors.module, frozen=False) == digest(moved.actors.module, frozen=False)


def test_checkpointing_recomputes_and_dropout_is_off() -> None:
    model = tiny_model(checkpointing=True, dropout=0.5)
    switch_off_dropout(model.train())
    calls = []
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    ids = torch.tensor([[1, 2, 3, 4]])
    first = model(input_ids=ids, use_cache=False).logits
    assert len(calls) == 1
    first.sum().backward()
    assert len(calls) == 2, "activations were not computed again: checkpointing is off"
    assert torch.equal(model(input_ids=ids, use_cache=False).logits, first)
