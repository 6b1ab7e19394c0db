"""What a resume that would not be exact is told: what was changed, and the command that undoes it."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import torch

from core.config.phases import PretrainConfig
from core.config.presets import draft_of, read_yaml, resolve
from core.training.refusal import refusal
from core.training.resume import changes, fingerprint
from tests.training_runs import pretrain_preset

SCRATCH = "ab52f654" + "0" * 56
OTHER = "77c0ffee" + "1" * 56


def config_of(**changed: Any) -> PretrainConfig:
    config = resolve(read_yaml(json.dumps(pretrain_preset(Path("/texts"), **changed)), "preset.yaml"))
    assert isinstance(config, PretrainConfig)
    return config


def marks_of(config: PretrainConfig, data: str = "d") -> dict[str, Any]:
    return fingerprint(config, digests={"data": data}, device=torch.device("cpu"), dtype="fp32")


def hint_of(before: dict[str, Any], now: dict[str, Any], config: PretrainConfig) -> str:
    return refusal("step-00000010", before, now, ["words"], config=config, run="g-mid").hint


def test_a_changed_file_is_named_with_the_beginnings_of_its_digests() -> None:
    marks = {"config.rewards.0.kind": "python", "config.rewards.0.path": "/rw/mine.py", "config.rewards.1.kind": "run"}
    before, now = {**marks, "reward.0.digest": SCRATCH}, {**marks, "reward.0.digest": OTHER}
    words = "the reward file /rw/mine.py has changed since the checkpoint (ab52f654 → 77c0ffee)"
    assert changes(before, now)[0] == [words]
    before, now = {**marks, "reward.1.digest": SCRATCH}, {**marks, "reward.1.digest": OTHER}
    assert changes(before, now)[0] == ["reward.1.digest has changed since the checkpoint (ab52f654 → 77c0ffee)"]


def test_the_message_and_the_commands_name_what_and_which_run() -> None:
    marks = marks_of(config_of())
    error = refusal("step-00000010", {**marks, "device": "gpu"}, marks, ["device: gpu → cpu"], config=config_of(),
                    run="g-mid")  # fmt: skip
    assert error.exit_code == 4
    assert error.message == "step-00000010 cannot be continued exactly:\n    device: gpu → cpu"
    assert "Undo the change" in error.hint
    assert "`footplate resume g-mid --allow-inexact`" in error.hint
    assert "--set" not in error.hint


def test_a_changed_setting_comes_with_the_command_that_undoes_it() -> None:
    """Also where it is another member of a union, and where the data are other ones because of it."""
    before = config_of()
    changed = config_of(
        schedule={"kind": "linear", "warmup_steps": 2},
        optimizer={"kind": "adamw", "max_grad_norm": None},
        batch={"micro_size": 3},
    )
    hint = hint_of(marks_of(before), marks_of(changed, data="e"), changed)
    command = next(part for part in hint.split("`") if "--set" in part)
    words = shlex.split(command)
    assert words[:3] == ["footplate", "resume", "g-mid"]
    assert resolve(draft_of(changed), words[4::2]).model_dump() == before.model_dump()


def test_settings_are_undone_by_command_where_more_than_they_differs() -> None:
    before, changed = config_of(), config_of(batch={"micro_size": 3})
    hint = hint_of({**marks_of(before), "device": "gpu"}, marks_of(changed), changed)
    assert "Undo the change of settings, besides the rest: `footplate resume g-mid --set batch.micro_size=2`." in hint


def test_a_setting_that_is_longer_only_is_not_undone() -> None:
    before, longer = config_of(), config_of(schedule={"steps": 40}, batch={"micro_size": 3})
    assert "--set batch.micro_size=2`" in hint_of(marks_of(before), marks_of(longer), longer)
