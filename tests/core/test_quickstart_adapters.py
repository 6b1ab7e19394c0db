"""The quick starts of LoRA and QLoRA: from nothing but the package to a model that has learned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config.paths import placed
from core.config.phases import SFTConfig
from core.config.presets import SHIPPED_PRESETS, Config, dump_config, load_preset, resolve
from core.run.directory import Home, RunDirectory
from core.run.events import Evaluated, Sampled
from core.run.launch import create_run
from tests.training_runs import events, finish

NAMES = ("quickstart-lora", "quickstart-qlora")


def shipped(name: str) -> Config:
    return placed(resolve(load_preset(SHIPPED_PRESETS / f"{name}.yaml")), Path.cwd())


def test_both_teach_the_same_in_the_same_steps() -> None:
    """So that whoever runs both sees what four bits cost."""
    lora, qlora = map(shipped, NAMES)
    assert isinstance(lora, SFTConfig)
    assert isinstance(qlora, SFTConfig)
    assert (lora.adapter.kind, qlora.adapter.kind) == ("lora", "qlora")
    assert lora.model_dump(exclude={"about", "adapter"}) == qlora.model_dump(exclude={"about", "adapter"})


@pytest.fixture(scope="module")
def brief_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which the preset quickstart is the shipped one with a sixth of its steps."""
    home = Home(tmp_path_factory.mktemp("quickstart") / "home")
    home.presets.mkdir(mode=0o700, parents=True)
    home.path.chmod(0o700)
    values = dict(load_preset(SHIPPED_PRESETS / "quickstart.yaml").values)
    schedule = values["schedule"]
    assert isinstance(schedule, dict)
    values |= {"schedule": {**schedule, "steps": 100}, "cadence": {}}
    (home.presets / "quickstart.yaml").write_text(json.dumps(values))
    return home


@pytest.mark.slow(reason="trains a base and the whole preset: a minute each on two cores")
@pytest.mark.parametrize("name", NAMES)
def test_it_runs_from_nothing_to_a_model_that_has_learned(brief_home: Home, name: str) -> None:
    run = create_run(brief_home, name, name, dump_config(shipped(name)))
    assert finish(run, seconds=900) == 0
    losses = [event.values["eval/loss"] for event in events(run) if isinstance(event, Evaluated)]
    assert losses[-1] < losses[0] - 0.2
    assert losses == sorted(losses, reverse=True)
    assert (run.model / "adapter_model.safetensors").is_file()
    assert sum(isinstance(event, Sampled) for event in events(run)) == 4
    assert len(RunDirectory(brief_home.runs / "quickstart").attempts()) == 1, "the second begins with what is there"
