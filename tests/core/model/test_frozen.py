"""Frozen weights in half precision: the same bits under autocast, and float32 where they would not be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config.optimization import AdamW
from core.model.adapters import attach
from core.model.batch import PackedBatch
from core.model.frozen import store_frozen
from core.model.quantized import weight_bytes
from core.model.verification import verify_reading
from core.training.engine import Engine
from core.training.objectives import NextToken
from tests.core.model.adapted import ADDED, CPU, loaded, lora


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("targets", ["all-linear", "attention"])
def test_training_has_the_same_bits_in_less_memory(
    base: Callable[..., Path], row: Callable[..., PackedBatch], architecture: str, *, tied: bool, targets: str
) -> None:
    folder = base(architecture, tie_embeddings=tied)
    steps, sizes = [], []
    for stores in (False, True):
        model = attach(loaded(folder, added=3), lora(targets=[targets], dropout=0.1), seed=3, added_token_ids=ADDED)
        reading = verify_reading(model, "auto")
        if stores:
            assert store_frozen(model, torch.bfloat16)
        engine = Engine(model, AdamW(kind="adamw"), device=CPU, dtype="bf16")
        torch.manual_seed(1)
        results = [engine.step([row(20, 9)], NextToken(reading), learning_rate=1e-2) for _ in range(3)]
        steps.append(([(r.loss, r.grad_norm) for r in results], {n: p.clone() for n, p in engine.parameters.items()}))
        sizes.append(weight_bytes(model))
    assert steps[0][0] == steps[1][0]
    assert all(torch.equal(steps[0][1][name], steps[1][1][name]) for name in steps[0][1])
    assert sizes[1] < 0.75 * sizes[0]


def test_embeddings_norms_and_all_that_is_trained_stay_in_float32(base: Callable[..., Path]) -> None:
    model = attach(loaded(base(tie_embeddings=True)), lora(), seed=3)
    assert store_frozen(model, torch.bfloat16)
    halved = {name for name, p in model.named_parameters() if p.dtype is torch.bfloat16}
    assert halved == {name for name, _ in model.named_parameters() if name.endswith("base_layer.weight")}
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_a_model_that_reads_its_weights_in_another_way_keeps_them(base: Callable[..., Path]) -> None:
    model = attach(loaded(base()), lora(targets=["q_proj"]), seed=3)
    layer = model.model.layers[0].mlp.up_proj
    weight = layer.weight.detach().clone()

    def another_way(module: Any, arguments: Any, output: torch.Tensor) -> torch.Tensor:
        return output + (module.weight.float() * 1e4).sin().sum()

    layer.register_forward_hook(another_way)
    assert not store_frozen(model, torch.bfloat16)
    assert torch.equal(layer.weight, weight)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
