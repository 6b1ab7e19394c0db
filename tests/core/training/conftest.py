"""Models for tests of preferences; no test may change their parameters."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from core.model.scalar_head import add_head
from tests.core.training.preference_models import tiny_model


@pytest.fixture(scope="module")
def policy() -> Any:
    """A policy that has moved away from `tiny_model`, which is its reference."""
    model = tiny_model()
    torch.manual_seed(10)  # one by which KTO's reference point is above 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    return model


@pytest.fixture(scope="module")
def scorer() -> Any:
    model = tiny_model()
    add_head(model, "score", seed=2)
    return model
