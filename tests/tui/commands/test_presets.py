from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

import tui.__main__ as command_line
from core.errors import ConfigurationError, UsageError
from tests.core.config.cases import alignment, prompt_data
from tui.commands import run as run_command
from tui.commands.context import Context
from tui.commands.presets import check, presets, schema

TINY = """\
phase: pretrain
about: {title: "hostile \\e]0;owned\\a title"}
model: {kind: scratch, layers: 2, hidden_size: 32, heads: 2, context_length: 64}
data:
  kind: text
  sources: [{kind: standard_library, max_bytes: 100000}]
  tokenizer: {kind: train, vocabulary_size: 300}
schedule: {kind: constant, peak_learning_rate: 1e-3, steps: 6}
batch: {size: 8, micro_size: 2, sequence_length: 32}
"""


@pytest.fixture
def with_tiny(piped: Context) -> Context:
    piped.home.presets.mkdir(mode=0o700)
    (piped.home.presets / "tiny.yaml").write_text(TINY)
    return piped


def _printed(context: Context) -> str:
    assert isinstance(context.output, io.StringIO)
    return context.output.getvalue()


def test_check_marks_what_is_not_the_default(with_tiny: Context) -> None:
    assert check("tiny", ["optimizer.max_grad_norm=0.5"], with_tiny, as_json=False) == 0
    lines = {line.split()[1]: line.split() for line in _printed(with_tiny).splitlines() if line.startswith("* ")}
    assert lines["optimizer.max_grad_norm"] == ["*", "optimizer.max_grad_norm", "0.5", "1.0"]
    assert lines["model.layers"] == ["*", "model.layers", "2"]
    assert lines["data.sources.0.max_bytes"][-1] == "100000"
    assert "cadence.log_steps" not in lines
    assert "  cadence.log_steps" in _printed(with_tiny)
    assert "micro batches per step  " in _printed(with_tiny)
    assert "\x1b" not in _printed(with_tiny)


def test_check_as_json(with_tiny: Context) -> None:
    check("tiny", [], with_tiny, as_json=True)
    answer = json.loads(_printed(with_tiny))
    assert answer["derived"] == {"micro_batches_per_step": 4, "tokens_per_step": 256, "tokens_in_all": 1536}
    found = {one["field"]: one for one in answer["differences"]}
    assert found["model.layers"] == {"field": "model.layers", "value": 2, "required": True, "default": None}
    assert found["model.context_length"]["default"] == 2048
    assert answer["config"]["cadence"]["log_steps"] == 1


def test_check_of_a_pipeline_shows_each_stage(with_tiny: Context) -> None:
    stages = "\n".join(f"  - name: {name}\n" + "".join(f"    {line}\n" for line in TINY.splitlines()) for name in "ab")
    (with_tiny.home.presets / "path.yaml").write_text(f"phase: pipeline\nabout: {{title: x}}\npipeline:\n{stages}")
    assert check("path", ["b.batch.size=16"], with_tiny, as_json=False) == 0
    own, first, second = _printed(with_tiny).split("\nstage ")
    assert "about.title" in own
    marked = [line.split()[1] for line in first.splitlines() if line.startswith("* ")]
    assert marked[:3] == ["phase", "name", "about.title"]
    assert re.search(r"tokens per step +256 ", first)
    assert re.search(r"\* batch.size +16", second)
    assert re.search(r"tokens per step +512 ", second)


def test_check_of_a_pipeline_as_json(with_tiny: Context) -> None:
    stage = "".join(f"    {line}\n" for line in TINY.splitlines())
    text = f"phase: pipeline\nabout: {{title: x}}\npipeline:\n  - name: a\n{stage}"
    (with_tiny.home.presets / "path.yaml").write_text(text)
    check("path", [], with_tiny, as_json=True)
    answer = json.loads(_printed(with_tiny))
    fields = {one["field"] for one in answer["differences"]}
    assert {"phase", "about.title", "a.name", "a.model.layers", "a.batch.size"} <= fields
    assert not {field for field in fields if field.startswith("pipeline")}
    assert answer["derived"] == {
        "a": {"micro_batches_per_step": 4, "tokens_per_step": 256, "tokens_in_all": 1536},
    }  # fmt: skip
    stage = text.replace("model: {kind: scratch, layers: 2, hidden_size: 32, heads: 2, context_length: 64}",
                         "model: {kind: preset, preset: nobody}").replace("{kind: train, vocabulary_size: 300}",
                                                                          "{kind: model}")  # fmt: skip
    (with_tiny.home.presets / "path.yaml").write_text(stage)
    with pytest.raises(UsageError, match="there is no preset"):
        check("path", [], with_tiny, as_json=True)


def _words(context: Context) -> str:
    assert isinstance(context.words, io.StringIO)
    return context.words.getvalue()


def test_check_says_which_models_stand_in_memory(with_tiny: Context) -> None:
    rewards = [{"kind": "classifier", "path": "nowhere"}]
    (with_tiny.home.presets / "ppo.yaml").write_text(json.dumps(alignment("ppo", rewards=rewards)))
    assert check("ppo", [], with_tiny, as_json=False) == 0
    assert "in memory at once: policy, reference, value, reward; " in _words(with_tiny)
    check("tiny", [], with_tiny, as_json=False)
    assert _words(with_tiny).count("in memory") == 1


def test_check_says_what_a_start_would_miss_and_holds(with_tiny: Context) -> None:
    source = ["data.sources.0={kind: json, path: /nowhere/rows.jsonl}"]
    assert check("tiny", source, with_tiny, as_json=False) == 0
    assert "data.sources.0.path: there is no /nowhere/rows.jsonl" in _words(with_tiny)
    assert check("tiny", [], with_tiny, as_json=False) == 0
    assert _words(with_tiny).count("would be refused") == 1
    before = len(_printed(with_tiny))
    check("tiny", source, with_tiny, as_json=True)
    (missing,) = json.loads(_printed(with_tiny)[before:])["missing"]
    assert missing.startswith("data.sources.0.path: there is no ")


def test_a_run_says_it_before_it_is_made(with_tiny: Context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "Why?"}\n')
    data = {**prompt_data(), "sources": [{"kind": "json", "path": str(tmp_path / "prompts.jsonl")}]}
    preset = alignment("grpo", data, rewards=[{"kind": "regex", "pattern": "x"}], grpo={"kl_coefficient": 0.1})
    (with_tiny.home.presets / "grpo.yaml").write_text(json.dumps(preset))
    said: list[str] = []
    monkeypatch.setattr(run_command, "_start", lambda *_: said.append(_words(with_tiny)) or 0)
    monkeypatch.setattr(run_command, "create_run", lambda *_: said.append(_words(with_tiny)))
    assert run_command.run("grpo", run_command.Start(), with_tiny) == 0
    assert "in memory at once: policy, reference; " in said[0]


def test_check_of_a_wrong_preset_names_everything_at_once(with_tiny: Context) -> None:
    wrong = ["batch.size=7", "model.layerz=2", "schedule.peak_learning_rate='1e-4'"]
    with pytest.raises(ConfigurationError) as caught:
        check("tiny", wrong, with_tiny, as_json=False)
    assert {problem.path for problem in caught.value.problems} >= {
        "batch.size", "model.layerz", "schedule.peak_learning_rate",
    }  # fmt: skip
    assert _printed(with_tiny) == ""


@pytest.mark.parametrize("name", ["nowhere", "prepare-text", "more"])
def test_check_follows_the_presets_that_a_model_comes_from(with_tiny: Context, name: str) -> None:
    text = TINY.replace("{kind: scratch, layers: 2, hidden_size: 32, heads: 2, context_length: 64}", "MODEL")
    text = text.replace("{kind: train, vocabulary_size: 300}", "{kind: model}")
    (with_tiny.home.presets / "more.yaml").write_text(text.replace("MODEL", f"{{kind: preset, preset: {name}}}"))
    with pytest.raises(UsageError, match=r"nowhere|trains no model|begin with its own model"):
        check("more", [], with_tiny, as_json=False)
    (with_tiny.home.presets / "more.yaml").write_text(text.replace("MODEL", "{kind: preset, preset: tiny}"))
    assert check("more", [], with_tiny, as_json=False) == 0


HOSTILE = [
    "batch.size=.nan", "batch.size=.inf", "batch.size=-1", "batch.size=0", "batch.size=null", "batch.size=[1]",
    "batch.size={a: 1}", "batch.size=true", "batch.size='8'", "batch.size=1e99", "batch.size=８",
    "batch.size=" + "9" * 5000, "batch.=1",
    "batch.size=\x1b[2J", "batch.size=!!python/object:os.system", "batch.size=&a 1", "batch.size={", "batch=1",
    "=1", "batch.size", "seed=-1", "model.kind=none", "phase=other", "data.sources=[]", "data.sources.5.kind=files",
    "optimizer.betas=[0.9]", "about.title=''", "a.b.c.d.e=1",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_wrong_values_are_exit_2_and_no_traceback(
    text: str, with_tiny: Context, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FOOTPLATE_HOME", str(with_tiny.home.path))
    assert command_line.main(["run", "tiny", "--set", text]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert len(err) < 5000
    assert not with_tiny.home.runs.exists()


def test_presets_are_listed_with_the_broken_ones(with_tiny: Context) -> None:
    (with_tiny.home.presets / "broken.yaml").write_text("phase: pretrain\nabout: {title: \x1b}\n")
    assert presets(with_tiny, as_json=False) == 0
    text = _printed(with_tiny)
    assert "quickstart" in text
    assert "!" in next(line for line in text.splitlines() if line.startswith("broken"))
    assert "\x1b" not in text


def test_presets_as_json(with_tiny: Context) -> None:
    presets(with_tiny, as_json=True)
    rows = {row["name"]: row for row in map(json.loads, _printed(with_tiny).splitlines())}
    assert rows["tiny"]["phase"] == "pretrain"
    assert rows["tiny"]["error"] is None
    assert rows["quickstart"]["about"]["title"]


def test_schema_is_json_schema(piped: Context) -> None:
    assert schema(piped) == 0
    assert json.loads(_printed(piped))["$schema"].startswith("https://json-schema.org/")
