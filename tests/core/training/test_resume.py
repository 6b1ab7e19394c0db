"""What a checkpoint must hold: all that is trained, in the shapes that it is trained in."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from core.errors import CheckpointError
from core.training.checkpoint import Snapshot
from core.training.resume import Position, capture, missing_pieces


def engine_of(model: nn.Module, names: list[str]) -> Any:
    parameters = dict(model.named_parameters())
    return SimpleNamespace(model=model, parameters={name: parameters[name] for name in names})


def test_less_than_what_is_trained_is_not_captured() -> None:
    """F74: somebody unfroze a tensor that the optimizer does not know."""
    model = nn.Linear(2, 3)
    with pytest.raises(CheckpointError, match="1 tensors are trained and would not be saved, such as bias"):
        capture(engine_of(model, ["weight"]), cast(Any, None), Position(), {})


@pytest.mark.parametrize(
    ("saved", "words"),
    [
        ({"weight": torch.zeros(3, 2)}, "1 parameters differ, bias is missing"),
        ({"weight": torch.zeros(4, 2), "bias": torch.zeros(3)}, r"weight has the shape \[4, 2\], expected \[3, 2\]"),
        ({"weight": torch.zeros(3, 2), "bias": torch.zeros(3), "more": torch.zeros(1)}, "more is not expected"),
    ],
    ids=["missing", "shape", "unexpected"],
)
def test_a_checkpoint_of_other_tensors_is_refused_with_both_shapes(saved: dict[str, Any], words: str) -> None:
    snapshot = Snapshot(3, {"model": saved}, {})
    with pytest.raises(CheckpointError, match=words):
        missing_pieces(snapshot, engine_of(nn.Linear(2, 3), ["weight", "bias"]))
