"""Presets that begin with the model of another one: found by name, refused in a circle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from core.config.paths import placed
from core.config.preset_chain import preset_chain
from core.config.presets import SHIPPED_PRESETS, read_yaml, resolve
from core.errors import ConfigurationError, UsageError
from tests.core.config.cases import alignment, pipeline, text_data, training


@pytest.fixture
def presets(tmp_path: Path) -> Path:
    folder = tmp_path / "home" / "presets"
    folder.mkdir(parents=True)
    (tmp_path / "texts").mkdir()
    write(folder, "alone", begins_with(None))
    write(folder, "second", begins_with("alone"))
    write(folder, "third", begins_with("second"))
    write(folder, "ring-a", begins_with("ring-b"))
    write(folder, "ring-b", begins_with("ring-a"))
    write(folder, "self", begins_with("self"))
    for phase in ("reward", "ppo"):
        aligned = alignment(phase, model={"kind": "preset", "preset": "second"})
        write(folder, phase, aligned)
    write(folder, "path", pipeline(begins_with(None)))
    write(folder, "data", {"phase": "prepare", "about": {"title": "x"}, "data": text_data()})
    return folder


def begins_with(preset: str | None) -> dict[str, Any]:
    values = training("pretrain", text_data(tokenizer="train" if preset is None else "model"))
    if preset is not None:
        values["model"] = {"kind": "preset", "preset": preset}
    return values


def write(folder: Path, name: str, values: dict[str, Any]) -> None:
    (folder / f"{name}.yaml").write_text(json.dumps(values))


def test_a_chain_ends_with_a_model_of_another_kind(presets: Path) -> None:
    assert [path.stem for path in preset_chain("third", presets)] == ["third", "second", "alone"]
    assert [path.stem for path in preset_chain("ppo", presets)] == ["ppo", "second", "alone"]
    assert preset_chain("quickstart", presets) == [SHIPPED_PRESETS / "quickstart.yaml"]
    write(presets, "quickstart", begins_with(None))
    assert preset_chain("quickstart", presets) == [presets / "quickstart.yaml"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("self", "cannot begin with its own model: self needs self\n"),
        ("ring-a", "cannot begin with its own model: ring-a needs ring-b needs ring-a\n"),
        ("data", "the preset data trains no model"),
        ("path", "the preset path trains no model"),
        ("reward", "the preset reward trains a reward model, which writes no text"),
        ("seccond", 'there is no preset "seccond"'),
        ("{presets}/alone.yaml", "is a file and not the name of a preset"),
    ],
)
def test_what_cannot_be_begun_with_is_refused(presets: Path, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        preset_chain(name.format(presets=presets), presets)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seccond", r'model\.preset: there is no preset "seccond"; Did you mean second\?'),
        ("ring-a", r"model\.preset: a preset cannot begin with its own model"),
    ],
)
def test_a_configuration_is_refused_before_there_is_a_run(presets: Path, name: str, message: str) -> None:
    config = resolve(read_yaml(json.dumps(begins_with(name))))
    with pytest.raises(ConfigurationError, match=message):
        placed(config, presets.parent.parent, runs=presets.parent / "runs")
    good = resolve(read_yaml(json.dumps(begins_with("third"))))
    assert placed(good, presets.parent.parent, runs=presets.parent / "runs").model == good.model  # type: ignore[union-attr]
