"""A tiny policy with its reference, value function and reward, without a run around them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from core.config.phases import PPOConfig
from core.config.presets import read_yaml, resolve
from core.model.adapters import attach
from core.model.verification import verify_reading
from core.run.directory import Home
from core.training.actors import Actors, actors_of
from core.training.engine import Engine
from core.training.rewards import Answered
from core.training.rollout import Prompt
from core.training.trainable import Trainable
from core.training.writing import Writing

VOCABULARY = 20
END = 19
PROMPTS = [Prompt(0, (1, 2, 3), ()), Prompt(1, (4, 5, 6, 7, 8), ()), Prompt(2, (9,), ()), Prompt(3, (2, 9, 2, 9), ())]


@dataclass
class Source:
    """A reward that is a function of the tokens of a response."""

    of: Callable[[tuple[int, ...]], float]
    name: str = "test"
    digest: str = ""
    model: nn.Module | None = None
    asked: list[int] = field(default_factory=list)

    def __call__(self, answered: Sequence[Answered]) -> list[float]:
        self.asked.append(len(answered))
        return [self.of(one.response.tokens) for one in answered]


def share_of_ones(tokens: tuple[int, ...]) -> float:
    return tokens.count(1) / len(tokens)


def ppo_config(**changes: Any) -> PPOConfig:
    preset: dict[str, Any] = {
        "phase": "ppo",
        "about": {"title": "tiny"},
        "model": {"kind": "run", "run": "base"},
        "data": {"kind": "prompts", "sources": [{"kind": "json", "path": "/nowhere"}], "max_tokens": 32},
        "rewards": [{"kind": "python", "path": "/nowhere"}],
        "rollout": {"responses": 4, "max_new_tokens": 7, "micro_size": 4},
        "schedule": {"kind": "constant", "peak_learning_rate": 1e-2, "steps": 4},
        "batch": {"size": 2, "micro_size": 2, "sequence_length": 64},
        "optimizer": {"kind": "adamw", "weight_decay": 0.0, "max_grad_norm": None},
        "precision": {"dtype": "fp32"},
    }
    merged = {
        key: {**preset.get(key, {}), **value} if isinstance(value, dict) else value
        for key, value in {**preset, **changes}.items()
    }
    config = resolve(read_yaml(json.dumps(merged), "preset.yaml"))
    assert isinstance(config, PPOConfig)
    return config


def tiny_model(*, checkpointing: bool = False, dropout: float = 0.0, layers: int = 2) -> Any:
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=16, intermediate_size=24, num_hidden_layers=layers, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=64, tie_word_embeddings=False, attention_dropout=dropout,
        eos_token_id=END, pad_token_id=END, bos_token_id=None,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    with torch.no_grad():  # sharper than at random, so that tokens differ in probability
        for parameter in model.parameters():
            parameter.mul_(4.0 if parameter.ndim == 2 else 1.0)
    model.train()
    if checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs={"use_reentrant": False})
    return model


def a_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel({f"w{number}": number for number in range(VOCABULARY)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


def writing_of(
    config: PPOConfig, model: Any | None = None, *, of: Callable[[tuple[int, ...]], float] = share_of_ones
) -> Writing:
    """Return what a run would write with, on the CPU in float32."""
    device = torch.device("cpu")
    model = tiny_model() if model is None else model
    if config.adapter.kind == "lora":
        attach(model, config.adapter, seed=1)
    trainable = Trainable(model, verify_reading(model, "auto"), {}, "", None)
    actors = actors_of(config, trainable, home=Home(Path("/nowhere")), device=device)
    engine = Engine(actors.module, config.optimizer, device=device, dtype="fp32")
    return Writing(config, engine, actors, [Source(of)], a_tokenizer(), frozenset({END}), lambda: False)


def weights_of(actors: Actors) -> list[tuple[str, torch.Tensor]]:
    return [(name, parameter) for name, parameter in cast(nn.Module, actors.module).named_parameters()]
