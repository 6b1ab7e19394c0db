"""What a checkpoint must hold: all that is trained, in the shapes that it is trained in; what must not change."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from torch import nn

from core.config.phases import PretrainConfig
from core.config.presets import read_yaml, resolve
from core.errors import CheckpointError
from core.training.checkpoint import Snapshot
from core.training.resume import Position, capture, changes, fingerprint, missing_pieces, settings_at_default
from tests.training_runs import pretrain_preset


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


def test_a_checkpoint_without_what_a_method_remembers_is_refused_by_name() -> None:
    model = nn.Linear(2, 3)
    state = {"cursor": {}, "python": [], "numpy": [], "tokens": 0, "method": {"rollout": 3}}
    snapshot = Snapshot(0, {"model": dict(model.named_parameters()), "generators": {"torch": torch.zeros(1)}}, state)
    engine = engine_of(model, ["weight", "bias"])
    engine.scaler, engine.device = SimpleNamespace(is_enabled=lambda: False), torch.device("cpu")
    assert missing_pieces(snapshot, engine, ["rollout", "kl_coefficient"]) == ["method.kl_coefficient in state.json"]


def _marks(**changed: Any) -> tuple[dict[str, Any], frozenset[str]]:
    config = resolve(read_yaml(json.dumps(pretrain_preset(Path("/texts"), **changed)), "preset.yaml"))
    assert isinstance(config, PretrainConfig)
    digests = {"data": "d", "base": "b"}
    return fingerprint(config, digests=digests, device=torch.device("cpu"), dtype="fp32"), settings_at_default(config)


def _of_an_earlier_version(marks: dict[str, Any]) -> dict[str, Any]:
    """As a version wrote them that had no adapters, no weights of syntax, and no groups of sources."""
    new = ("config.adapter.", "config.loss.", "config.optimizer.states", "base.digest")
    old = {name: value for name, value in marks.items() if not name.startswith(new)}
    sources = {name: old.pop(name) for name in list(old) if name.startswith("config.data.sources")}
    assert sources.pop("config.data.sources.0.group") is None
    return {**old, "config.data.sources": [{name.rpartition(".")[2]: value for name, value in sources.items()}]}


def test_what_came_with_a_later_version_is_no_change_where_it_is_not_used() -> None:
    marks, defaults = _marks()
    assert changes(_of_an_earlier_version(marks), marks, defaults) == ([], [])
    used, defaults = _marks(optimizer={"kind": "adamw", "states": "8bit", "weight_decay": 0.3})
    assert changes(_of_an_earlier_version(marks), used, defaults)[0][:2] == [
        "optimizer.states: nothing → 8bit", f"optimizer.weight_decay: {marks['config.optimizer.weight_decay']} → 0.3",
    ]  # fmt: skip


def test_a_setting_put_back_to_its_default_is_a_change() -> None:
    before, _ = _marks(optimizer={"kind": "adamw", "states": "8bit"})
    marks, defaults = _marks()
    assert "config.optimizer.states" in defaults
    assert changes(before, marks, defaults)[0][0] == "optimizer.states: 8bit → fp32"
    before = {**marks, "data.digest": "e", "config.data.sources.0.path": "/others"}
    assert changes(before, marks, defaults)[0] == [
        "data.sources.0.path: /others → /texts",
        "data.digest has changed since the checkpoint (e → d): other data, or the same prepared by another version",
    ]
