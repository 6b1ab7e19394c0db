"""What a resume refuses, what it says, and that each restored piece matters."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from core.run.directory import Home, RunDirectory
from core.run.events import AnyEvent, Failed, Notice, Resumed
from tests.training_runs import (
    Trace,
    broken_off,
    events,
    new_run,
    pretrain_preset,
    trace,
    work,
    write_texts,
)


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    path = tmp_path_factory.mktemp("refusals") / "home"
    path.mkdir(mode=0o700)
    write_texts(path.parent / "texts")
    return Home(path)


def preset_of(home: Home, **changes: Any) -> dict[str, Any]:
    return pretrain_preset(home.path.parent / "texts", **{"schedule": {"steps": 12}, **changes})


@pytest.fixture(scope="module")
def uninterrupted(shared_home: Home) -> Trace:
    run = new_run(shared_home, preset_of(shared_home), "whole")
    assert work(run, 1) == 0
    return trace(run)


def last(run: RunDirectory, kind: type[AnyEvent]) -> Any:
    return [e for e in events(run) if isinstance(e, kind)][-1]


def newest(run: RunDirectory) -> Path:
    return max(run.checkpoints.glob("step-????????"))


def reseal(checkpoint: Path) -> None:
    """Make the manifest right again after a change, as a careless tool would."""
    manifest = json.loads((checkpoint / "manifest.json").read_text())
    manifest["files"] = {
        f.name: {"bytes": f.stat().st_size, "sha256": hashlib.sha256(f.read_bytes()).hexdigest()}
        for f in checkpoint.iterdir()
        if f.name != "manifest.json"
    }
    del manifest["sha256"]
    manifest["sha256"] = hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()
    (checkpoint / "manifest.json").write_text(json.dumps(manifest))


def drop_file(name: str) -> Callable[[Path], None]:
    return lambda checkpoint: (checkpoint / name).unlink()


def drop_state(name: str) -> Callable[[Path], None]:
    def edit(checkpoint: Path) -> None:
        state = json.loads((checkpoint / "state.json").read_text())
        del state[name]
        (checkpoint / "state.json").write_text(json.dumps(state))

    return edit


def drop_tensors(file: str, ending: str) -> Callable[[Path], None]:
    def edit(checkpoint: Path) -> None:
        tensors = load_file(checkpoint / file)
        save_file({k: v for k, v in tensors.items() if not k.endswith(ending)}, checkpoint / file)

    return edit


PIECES: list[tuple[str, Callable[[Path], None], str]] = [
    ("optimizer", drop_file("optimizer.safetensors"), "exp_avg in optimizer.safetensors"),
    ("first moments", drop_tensors("optimizer.safetensors", "/exp_avg"), "exp_avg in optimizer.safetensors"),
    ("second moments", drop_tensors("optimizer.safetensors", "/exp_avg_sq"), "exp_avg_sq in optimizer.safetensors"),
    ("optimizer steps", drop_tensors("optimizer.safetensors", "/step"), "step in optimizer.safetensors"),
    ("torch generator", drop_file("generators.safetensors"), "torch in generators.safetensors"),
    ("cursor", drop_state("cursor"), "cursor in state.json"),
    ("python generator", drop_state("python"), "python in state.json"),
    ("numpy generator", drop_state("numpy"), "numpy in state.json"),
    ("tokens", drop_state("tokens"), "tokens in state.json"),
]


@pytest.mark.parametrize(("name", "damage", "words"), PIECES, ids=[row[0] for row in PIECES])
def test_a_missing_piece_is_refused_by_name(
    shared_home: Home, uninterrupted: Trace, name: str, damage: Callable[[Path], None], words: str
) -> None:
    """And without it the run ends elsewhere: a piece that could be left out would not have to be saved."""
    run = new_run(shared_home, preset_of(shared_home), f"piece-{name.replace(' ', '-')}")
    broken_off(run, saves=2)
    damage(newest(run))
    reseal(newest(run))
    assert work(run, 2) == 4
    failed = last(run, Failed)
    assert words in failed.message
    assert "--allow-inexact" in failed.hint

    run.overrides(1).write_text("allow_inexact: true\n")
    if name in {"first moments", "second moments", "optimizer steps"}:
        return  # torch itself refuses half of an optimizer's state
    assert work(run, 3) == 0
    resumed = last(run, Resumed)
    assert not resumed.exact
    assert [e for e in events(run) if isinstance(e, Notice) and e.code == "inexact"]
    if name not in {"python generator", "numpy generator"}:  # nothing draws from them today; they are for what will
        assert trace(run) != uninterrupted


def test_the_same_without_damage_is_exact(shared_home: Home, uninterrupted: Trace) -> None:
    """The control of the test above, with the same resealing."""
    run = new_run(shared_home, preset_of(shared_home), "control")
    broken_off(run, saves=2)
    reseal(newest(run))
    assert work(run, 2) == 0
    assert last(run, Resumed).exact
    assert trace(run) == uninterrupted


def test_fp16_keeps_the_state_of_its_loss_scaler(shared_home: Home) -> None:
    """Tensors alone would not show a lost scaler: it is asked for by name."""
    preset = preset_of(shared_home, precision={"dtype": "fp16"})
    run = new_run(shared_home, preset, "scaler")
    broken_off(run, saves=2)
    drop_state("scaler")(newest(run))
    reseal(newest(run))
    assert work(run, 2) == 4
    assert "scaler in state.json" in last(run, Failed).message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"optimizer.weight_decay": 0.2}, "optimizer.weight_decay: 0.1 → 0.2"),
        ({"schedule.peak_learning_rate": 0.005}, "schedule.peak_learning_rate: 0.01 → 0.005"),
        ({"batch.micro_size": 3}, "batch.micro_size: 2 → 3"),
        ({"seed": 18}, "seed: 17 → 18"),
        ({"precision.dtype": "bf16"}, "precision.dtype: fp32 → bf16"),
        ({"model.dropout": 0.0}, "model.dropout: 0.1 → 0.0"),
    ],
)
def test_a_changed_setting_is_refused_with_both_values(
    shared_home: Home, change: dict[str, Any], words: str
) -> None:
    run = new_run(shared_home, preset_of(shared_home), "changed-" + next(iter(change)).replace(".", "-"))
    broken_off(run, saves=1)
    run.overrides(1).write_text(json.dumps({"set": change, "allow_inexact": False}))
    assert work(run, 2) == 4
    assert words in last(run, Failed).message


def test_changed_data_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    home.path.mkdir(mode=0o700)
    texts = write_texts(tmp_path / "texts")
    run = new_run(home, pretrain_preset(texts, schedule={"steps": 12}), "data")
    broken_off(run, saves=1)
    (texts / "000.txt").write_text("something else entirely, and longer than it was\n")
    assert work(run, 2) == 4
    assert "data.digest" in last(run, Failed).message


def test_how_often_things_happen_may_change(shared_home: Home, uninterrupted: Trace) -> None:
    run = new_run(shared_home, preset_of(shared_home), "cadence")
    broken_off(run, saves=2)
    changes = {"cadence.checkpoint_steps": 3, "cadence.keep_checkpoints": 5, "about.title": "other"}
    run.overrides(1).write_text(json.dumps({"set": changes}))
    assert work(run, 2) == 0
    assert trace(run).parameters == uninterrupted.parameters
    assert {p.name for p in run.checkpoints.glob("step-*")} >= {"step-00000009", "step-00000012"}


def test_more_steps_train_on_and_say_by_which_schedule(shared_home: Home) -> None:
    run = new_run(shared_home, preset_of(shared_home, schedule={"steps": 8}), "longer")
    assert work(run, 1) == 0
    run.overrides(1).write_text(json.dumps({"set": {"schedule.steps": 12}}))
    assert work(run, 2) == 0
    resumed = last(run, Resumed)
    assert resumed.step == 8
    assert resumed.exact
    assert "schedule.steps: 8 → 12" in resumed.notes
    assert [row[0] for row in trace(run).rows] == list(range(1, 13))


def test_a_damaged_checkpoint_is_set_aside_in_words_and_the_run_ends_the_same(
    shared_home: Home, uninterrupted: Trace
) -> None:
    run = new_run(shared_home, preset_of(shared_home), "damaged")
    broken_off(run, saves=2)
    path = newest(run) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    assert work(run, 2) == 0
    (notice,) = [e for e in events(run) if isinstance(e, Notice) and e.code == "checkpoint_set_aside"]
    assert "step-00000008/model.safetensors" in notice.message
    assert "bad-1" in notice.message
    assert trace(run) == uninterrupted


def test_all_checkpoints_damaged_is_exit_4_and_never_a_silent_start(shared_home: Home) -> None:
    run = new_run(shared_home, preset_of(shared_home), "all-damaged")
    broken_off(run, saves=2)
    for checkpoint in run.checkpoints.glob("step-*"):
        (checkpoint / "manifest.json").unlink()
    for attempt in (2, 3):
        assert work(run, attempt) == 4
    assert not [e for e in events(run) if isinstance(e, Resumed)]


def test_overrides_that_do_not_hold_are_exit_2_in_words(shared_home: Home) -> None:
    run = new_run(shared_home, preset_of(shared_home), "bad-override")
    broken_off(run, saves=1)
    run.overrides(1).write_text(json.dumps({"set": {"optimizer.weight_decay": -1}}))
    assert work(run, 2) == 2
    assert "optimizer.weight_decay" in last(run, Failed).message


def test_checkpoints_that_were_deleted_are_missed(shared_home: Home) -> None:
    run = new_run(shared_home, preset_of(shared_home), "deleted")
    broken_off(run, saves=2)
    shutil.rmtree(run.checkpoints)
    assert work(run, 2) == 4
    assert "step-00000004 was saved" in last(run, Failed).message


def test_fewer_steps_than_there_are_is_refused(shared_home: Home) -> None:
    run = new_run(shared_home, preset_of(shared_home), "shorter")
    broken_off(run, saves=2)
    run.overrides(1).write_text(json.dumps({"set": {"schedule.steps": 6}}))
    assert work(run, 2) == 2
    assert "step 8 was reached" in last(run, Failed).message


def test_an_inexact_resume_goes_on_where_the_data_has_fewer_rows(shared_home: Home) -> None:
    run = new_run(shared_home, preset_of(shared_home), "fewer-rows")
    broken_off(run, saves=2)
    changes = {"set": {"batch.sequence_length": 128}, "allow_inexact": True}
    run.overrides(1).write_text(json.dumps(changes))
    assert work(run, 2) == 0


def test_a_log_that_is_a_link_is_refused_in_words(shared_home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run(shared_home, preset_of(shared_home), "linked-log")
    run.events.symlink_to(shared_home.path / "elsewhere")
    assert work(run, 1) == 2
    assert "events.jsonl" in capsys.readouterr().err
