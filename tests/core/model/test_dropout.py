"""Dropout switched off: modules and numbers, in training mode, with additions too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from core.config.adapter import LoRA
from core.model.adapters import attach
from core.model.dropout import evaluating, switch_off_dropout


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_a_model_in_training_says_the_same_twice(build: Callable[..., Any], architecture: str) -> None:
    model = attach(build(architecture, dropout=0.5), LoRA(kind="lora", rank=2, dropout=0.5), seed=1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    model.train()
    ids = torch.arange(2, 20)[None]
    assert not torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
    assert switch_off_dropout(model) > 0
    assert model.training
    assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
    assert switch_off_dropout(model) == 0


def test_each_training_flag_is_put_back_after_evaluation(build: Callable[..., Any]) -> None:
    """Also where parts of a model are not in the mode of the whole, and where the block fails."""
    model = build("llama").train()
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]
    with evaluating(model):
        assert not any(module.training for module in model.modules())
    assert [module.training for module in model.modules()] == before
    with pytest.raises(IndexError), evaluating(model):
        model(input_ids=torch.tensor([[10**6]]))
    assert [module.training for module in model.modules()] == before
