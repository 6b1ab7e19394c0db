"""Relative paths mean the folder in which a run was started; names on the hub stay names."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from core.config.paths import placed
from core.config.phases import PretrainConfig
from core.config.presets import SHIPPED_PRESETS, list_presets, load_preset, read_yaml, resolve
from core.errors import ConfigurationError
from core.run.directory import Home
from core.run.runs import next_name
from tests.core.config.cases import alignment, pipeline, text_data, training
from tests.core.config.made_runs import made_run


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
        [{"kind": "files", "path": "a.txt"}, {"kind": "hub", "name": "some/set"}],
        SCRATCH,
        {"kind": "load", "path": "tok"},
    )
    values = placed(config, tmp_path).model_dump()["data"]
    assert values["sources"][0]["path"] == str(tmp_path / "a.txt")
    assert values["sources"][1]["name"] == "some/set"
    assert values["tokenizer"]["path"] == str(tmp_path / "tok")


def test_hub_names_and_smollm2_stay(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    config = preset(
        [{"kind": "files", "path": "a.txt"}],
        {"kind": "gguf", "path": "smollm2"},
        {"kind": "load", "path": "Qwen/Qwen3"},
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


def trained_on(run: str, model: str = "") -> PretrainConfig:
    values = {
        "phase": "pretrain",
        "about": {"title": "t"},
        "model": {"kind": "run", "run": model or run},
        "data": {"kind": "run", "run": run},
        "schedule": {"kind": "constant", "peak_learning_rate": 1e-3, "steps": 2},
        "batch": {"size": 1, "micro_size": 1, "sequence_length": 16},
    }
    config = resolve(read_yaml(json.dumps(values)))
    assert isinstance(config, PretrainConfig)
    return config


def test_a_run_that_does_not_exist_is_named_with_the_nearest(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    with pytest.raises(ConfigurationError, match="there is no run texts in"):
        placed(trained_on("texts"), tmp_path, runs=runs)
    (runs / "my-text").mkdir(parents=True)
    with pytest.raises(ConfigurationError) as caught:
        placed(trained_on("my-texts"), tmp_path, runs=runs)
    assert sorted((p.path, p.nearest) for p in caught.value.problems) == [
        ("data.run", "my-text"), ("model.run", "my-text"),
    ]  # fmt: skip
    assert placed(trained_on("my-texts"), tmp_path) == trained_on("my-texts")


def test_a_run_may_be_named_by_its_beginning_or_path(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("text", "text-1", "other"):
        made_run(runs, name, "prepare")
        made_run(runs, f"m-{name}", "pretrain")
    for named, meant in [("text", "text"), ("oth", "other"), ("runs/text-1", "text-1"), (str(runs / "other"), "other")]:
        model = str(Path(named).parent / f"m-{Path(named).name}") if "/" in named else f"m-{named}"
        config = placed(trained_on(named, model), tmp_path, runs=runs)
        assert (config.data.model_dump()["run"], config.model_dump()["model"]["run"]) == (meant, f"m-{meant}")
    with pytest.raises(ConfigurationError, match="could be any of the runs text, text-1"):
        placed(trained_on("tex"), tmp_path, runs=runs)
    made_run(tmp_path, "elsewhere", "prepare")
    with pytest.raises(ConfigurationError) as caught:
        placed(trained_on("./elsewhere"), tmp_path, runs=runs)
    assert [p.path for p in caught.value.problems] == ["model.run"]


def test_rewards_are_files_names_on_the_hub_and_runs(tmp_path: Path) -> None:
    (tmp_path / "rewards.py").write_text("def reward(prompts, responses, answers): ...\n")
    (tmp_path / "rows.jsonl").write_text("")
    runs = tmp_path / "runs"
    judge = made_run(runs, "judge-of-answers", "reward")
    values = alignment("ppo", model={"kind": "gguf", "path": "smollm2"})
    config = placed(resolve(read_yaml(json.dumps(values))), tmp_path, runs=runs)
    judged, classifier, python, *_ = config.model_dump()["rewards"]
    assert judged["run"] == "judge-of-answers"
    assert classifier["path"] == "owner/name"
    assert python["path"] == str(tmp_path / "rewards.py")
    (tmp_path / "rewards.py").unlink()
    shutil.rmtree(judge)
    with pytest.raises(ConfigurationError) as caught:
        placed(config, tmp_path, runs=runs)
    assert [problem.path for problem in caught.value.problems] == ["rewards.0.run", "rewards.2.path"]


def test_a_stage_is_no_run_and_all_else_in_stages_is_looked_up(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made_run(runs, "a-longer-name", "sft")
    made_run(runs, "other-1", "prepare")
    (tmp_path / "texts").mkdir()
    second = {**training("pretrain", {"kind": "run", "run": "other"}), "model": {"kind": "run", "run": "a"}}
    values = pipeline(training("pretrain", text_data()), second)
    placed_stages = placed(resolve(read_yaml(json.dumps(values))), tmp_path, runs=runs).model_dump()["pipeline"]
    assert placed_stages[0]["data"]["sources"][0]["path"] == str(tmp_path / "texts")
    assert (placed_stages[1]["model"]["run"], placed_stages[1]["data"]["run"]) == ("a", "other-1")
    made_run(tmp_path, "elsewhere", "prepare")
    elsewhere = resolve(read_yaml(json.dumps(values)), ["b.data.run=./elsewhere", "b.model.run=./elsewhere"])
    with pytest.raises(ConfigurationError) as caught:
        placed(elsewhere, tmp_path, runs=runs)
    assert [problem.path for problem in caught.value.problems] == ["pipeline.1.model.run"], "data may lie anywhere"
    (tmp_path / "texts").rmdir()
    shutil.rmtree(runs / "other-1")
    with pytest.raises(ConfigurationError) as caught:
        placed(resolve(read_yaml(json.dumps(values))), tmp_path, runs=runs)
    assert {problem.path for problem in caught.value.problems} == {
        "pipeline.0.data.sources.0.path", "pipeline.1.data.run",
    }  # fmt: skip


def test_shipped_presets_name_the_first_run_of_a_shipped_preset(tmp_path: Path) -> None:
    """So that the two steps of a recipe fit without a change."""
    home = Home(tmp_path / "empty")
    first = {next_name(home, entry.name) for entry in list_presets(home.presets)}
    named = []
    for path in SHIPPED_PRESETS.glob("*.yaml"):
        values = load_preset(path).values
        for section in (values.get("data"), values.get("model")):
            if isinstance(section, dict) and section.get("kind") == "run":
                named.append(section["run"])
    assert named
    assert set(named) <= first


def problems_of(values: dict[str, object], folder: Path, runs: Path, *overrides: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        placed(resolve(read_yaml(json.dumps(values)), overrides), folder, runs=runs)
    return [str(problem) for problem in caught.value.problems]


def rewarded(*rewards: dict[str, object]) -> dict[str, object]:
    prompts = {"kind": "run", "run": "prompts"}
    return alignment("ppo", prompts, model={"kind": "gguf", "path": "smollm2"}, rewards=list(rewards))


def test_a_run_that_did_not_make_what_is_taken_from_it_is_named_with_those_that_did(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name, phase in [
        ("tiny-tune", "sft"),
        ("tiny-judge", "reward"),
        ("tiny-rlhf", "pipeline"),
        ("prompts", "prepare"),
    ]:
        made_run(runs, name, phase)
    made_run(runs, "begun", "reward", is_done=False)
    wrong = [{"kind": "run", "run": name} for name in ("tiny-tune", "tiny-rlhf", "begun", "tiny-judge")]
    assert problems_of(rewarded(*wrong), tmp_path, runs, "model={kind: run, run: tiny-judge}") == [
        "model.run: must be a finished run that trained a language model; tiny-judge made a reward model, which scores "
        "texts and writes none; such runs here: tiny-tune",
        "rewards.0.run: must be a finished reward run; tiny-tune is sft; reward runs here: tiny-judge",
        "rewards.1.run: must be a finished reward run; tiny-rlhf is a pipeline, whose stages are runs of their own; "
        "reward runs here: tiny-judge",
        "rewards.2.run: must be a finished reward run; begun (created) has made no reward model; "
        "reward runs here: tiny-judge",
    ]


def test_a_reward_model_may_begin_with_another_and_a_run_that_goes_on_gives_the_model_it_has(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made_run(runs, "judge", "reward")
    made_run(runs, "pairs", "prepare")
    (made_run(runs, "tune", "sft") / "attempts" / "002").mkdir(parents=True)
    for model in ("judge", "tune"):
        values = alignment("reward", {"kind": "run", "run": "pairs"}, model={"kind": "run", "run": model})
        placed(resolve(read_yaml(json.dumps(values))), tmp_path, runs=runs)
    assert problems_of(values, tmp_path, runs, "model.run=pairs", "data.run=tune") == [
        "model.run: must be a finished run that trained a model; pairs is prepare; such runs here: tune, judge",
        "data.run: must be a finished prepare run; tune is sft; prepare runs here: pairs",
    ]


def test_a_run_that_is_not_there_is_made_by_the_preset_of_its_name(tmp_path: Path) -> None:
    runs = tmp_path / "home" / "runs"
    made_run(runs, "prompts", "prepare")
    judged, tuned = ({"kind": "run", "run": name} for name in ("reward-llama-8b", "sft-smollm2"))
    assert problems_of(rewarded(judged, tuned), tmp_path, runs) == [
        f"rewards.0.run: there is no run reward-llama-8b in {runs}. Train it first: footplate run reward-llama-8b",
        f'rewards.1.run: there is no run sft-smollm2 in {runs} (found "sft-smollm2")',
    ]


def test_a_python_file_is_read_for_its_function(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    made_run(runs, "prompts", "prepare")
    (tmp_path / "mine.py").write_text("def score(p, r, a): ...\n\ndef length(p, r, a): ...\n")
    python = {"kind": "python", "path": "mine.py", "function": "scor"}
    assert problems_of(rewarded(python, {**python, "path": "."}), tmp_path, runs) == [
        f"rewards.0.function: {tmp_path}/mine.py has no function scor; it has score, length",
        f"rewards.1.path: must be a Python file; {tmp_path} is a folder",
    ]
