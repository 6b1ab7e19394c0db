"""Relative paths mean the folder in which a run was started; names on the hub stay names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config.paths import placed
from core.config.phases import PretrainConfig
from core.config.presets import read_yaml, resolve
from core.errors import ConfigurationError


def preset(sources: list[dict[str, str]], model: dict[str, object], tokenizer: dict[str, object]) -> PretrainConfig:
    values = {
        "phase": "pretrain",
        "about": {"title": "t"},
        "model": model,
        "data": {"kind": "text", "sources": sources, "tokenizer": tokenizer},
        "schedule": {"kind": "constant", "peak_learning_rate": 1e-3, "steps": 2},
        "batch": {"size": 1, "micro_size": 1, "sequence_length": 16},
    }
    config = resolve(read_yaml(json.dumps(values)))
    assert isinstance(config, PretrainConfig)
    return config


SCRATCH: dict[str, object] = {"kind": "scratch", "layers": 1, "hidden_size": 16, "heads": 2}


def test_relative_paths_become_absolute(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "tok").mkdir()
    config = preset(
        [{"kind": "files", "path": "a.txt"}, {"kind": "hub", "name": "some/set"}], SCRATCH, {"kind": "load", "path": "tok"}
    )
    values = placed(config, tmp_path).model_dump()["data"]
    assert values["sources"][0]["path"] == str(tmp_path / "a.txt")
    assert values["sources"][1]["name"] == "some/set"
    assert values["tokenizer"]["path"] == str(tmp_path / "tok")


def test_hub_names_and_smollm2_stay(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    config = preset(
        [{"kind": "files", "path": "a.txt"}], {"kind": "gguf", "path": "smollm2"}, {"kind": "load", "path": "Qwen/Qwen3"}
    )
    values = placed(config, tmp_path).model_dump()
    assert values["model"]["path"] == "smollm2"
    assert values["data"]["tokenizer"]["path"] == "Qwen/Qwen3"


def test_each_missing_path_is_named(tmp_path: Path) -> None:
    config = preset(
        [{"kind": "json", "path": "a.jsonl"}, {"kind": "parquet", "path": "/nowhere/b"}], SCRATCH, {"kind": "train"}
    )
    with pytest.raises(ConfigurationError) as caught:
        placed(config, tmp_path)
    assert [p.path for p in caught.value.problems] == ["data.sources.0.path", "data.sources.1.path"]
    assert caught.value.exit_code == 2
