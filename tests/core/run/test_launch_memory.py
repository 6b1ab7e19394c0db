"""What several models take, told before a run of them is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config.phases import Config
from core.config.presets import find_preset, load_preset, resolve
from core.run.directory import Home
from core.run.launch_memory import launch_memory, parameters_of


def config_of(name: str, *overrides: str) -> Config:
    return resolve(load_preset(find_preset(name, Path("nowhere"))), list(overrides))


def weights(folder: Path, *shapes: tuple[int, ...]) -> Path:
    folder.mkdir(parents=True)
    for number, shape in enumerate(shapes):
        header = json.dumps(
            {"__metadata__": {}, "w": {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}}
        ).encode()
        (folder / f"model-{number}.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    return folder


def test_sizes_are_counted_where_all_models_are_there(home: Home) -> None:
    weights(home.runs / "base" / "model", (1000, 500), (500_000,))
    weights(home.runs / "reward-smollm2" / "model", (250_000,))
    chosen = ["model={kind: run, run: base}", "adapter.kind=full"]
    (words,) = launch_memory(config_of("ppo-smollm2", *chosen), home)
    assert "4 models, 13.0 MB of weights: policy 4.0 MB, reference 4.0 MB, value 4.0 MB, reward 1.0 MB" in words
    (words,) = launch_memory(config_of("ppo-smollm2", chosen[0]), home)
    assert "4 models, 5.0 MB of weights" in words
    assert "reference shares the base" in words


def test_an_addition_counts_where_it_shares_the_base_and_else_its_base_is_not_known(home: Home) -> None:
    weights(home.runs / "base" / "model", (1_000_000,))
    added = weights(home.runs / "reward-smollm2" / "model", (5_000,))
    (added / "adapter_config.json").write_text("{}", encoding="utf-8")
    (added / "base.json").write_text(json.dumps({"model": {"kind": "run", "run": "base"}}), encoding="utf-8")
    chosen = "model={kind: run, run: base}"
    (words,) = launch_memory(config_of("ppo-smollm2", chosen), home)
    assert "policy 4.0 MB, reference shares the base, value shares the base, reward 0.0 MB" in words
    unknown = ["adapter.kind=full"], ["model={kind: run, run: reward-smollm2}"]
    for changes in unknown:
        (words,) = launch_memory(config_of("ppo-smollm2", chosen, *changes), home)
        assert "the run says how much" in words


def test_models_that_are_not_there_yet_are_named(home: Home) -> None:
    (words,) = launch_memory(config_of("ppo-smollm2"), home)
    assert "policy, reference, value, reward, which share one base; the run says how much" in words
    (words,) = launch_memory(config_of("quickstart-rlhf"), home)
    assert words.startswith("stage align: in memory at once: policy, reference, value, reward; ")
    assert launch_memory(config_of("dpo-smollm2"), home) == []


@pytest.mark.parametrize("content", [b"", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]", b'\x0e\0\0\0\0\0\0\0{"w": {"s": 1}}'])
def test_a_file_that_is_none_of_weights_counts_as_unknown(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.safetensors").write_bytes(content)
    assert parameters_of(tmp_path) is None
