from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config.presets import dump_config, parse_config
from core.errors import ConfigurationError, UsageError
from core.run.directory import Home, RunDirectory
from core.run.overrides import resolved_config, write_overrides

TINY = """\
phase: pretrain
about: {title: tiny}
model: {kind: scratch, layers: 2, hidden_size: 32, heads: 2, context_length: 64}
data:
  kind: text
  sources: [{kind: standard_library, max_bytes: 100000}]
  tokenizer: {kind: train, vocabulary_size: 300}
schedule: {kind: constant, peak_learning_rate: 1e-3, steps: 6}
batch: {size: 2, micro_size: 2, sequence_length: 32}
"""


@pytest.fixture
def run(home: Home) -> RunDirectory:
    made = RunDirectory(home.runs / "tiny")
    made.path.mkdir(parents=True, mode=0o700)
    made.config.write_text(dump_config(parse_config(TINY)))
    return made


def _overrides(run: RunDirectory) -> list[str]:
    return sorted(path.name for path in run.path.glob("overrides-*.yaml"))


def test_what_is_changed_is_what_the_worker_reads(run: RunDirectory) -> None:
    changes = ["schedule.steps=9", "optimizer.betas=[0.8, 0.9]", "optimizer.max_grad_norm=null", "about.title=yes: no"]
    with pytest.raises(ConfigurationError):
        write_overrides(run, changes, allow_inexact=False)
    changes[-1] = "about.title='it says yes: no'"
    assert write_overrides(run, changes, allow_inexact=False) == 1
    config = resolved_config(run).config
    assert config.phase == "pretrain"
    assert config.schedule.steps == 9
    assert config.optimizer.betas == (0.8, 0.9)
    assert config.optimizer.max_grad_norm is None
    assert config.about.title == "it says yes: no"


@pytest.mark.parametrize("title", ["smile \U0001f600", "\U0010ffff", "a\x85b\x7f", "\u2028", r"\ud83d\ude00"])
def test_any_character_that_is_set_is_the_one_that_the_worker_reads(run: RunDirectory, title: str) -> None:
    write_overrides(run, [f"about.title={json.dumps(title)}"], allow_inexact=False)
    assert resolved_config(run).config.about.title == title


def test_a_union_is_switched_and_the_later_resume_wins(run: RunDirectory) -> None:
    write_overrides(run, ["schedule.floor_ratio=0.1", "schedule.kind=cosine"], allow_inexact=False)
    write_overrides(run, ["schedule.floor_ratio=0.2"], allow_inexact=False)
    config = resolved_config(run).config
    assert config.phase == "pretrain"
    assert config.schedule.kind == "cosine"
    assert config.schedule.floor_ratio == 0.2
    assert _overrides(run) == ["overrides-001.yaml", "overrides-002.yaml"]


def test_nothing_is_written_where_nothing_changes(run: RunDirectory) -> None:
    assert write_overrides(run, [], allow_inexact=False) is None
    assert _overrides(run) == []


def test_allowing_an_inexact_continuation_holds_for_one_resume(run: RunDirectory) -> None:
    assert write_overrides(run, [], allow_inexact=True) == 1
    assert resolved_config(run).allow_inexact
    assert write_overrides(run, [], allow_inexact=False) == 2
    assert not resolved_config(run).allow_inexact
    assert write_overrides(run, [], allow_inexact=False) is None


@pytest.mark.parametrize("text", ["schedule.steps=-1", "schedule.stepz=1", "schedule.steps", "batch.size=3"])
def test_a_wrong_value_writes_nothing(text: str, run: RunDirectory) -> None:
    with pytest.raises(ConfigurationError):
        write_overrides(run, [text], allow_inexact=True)
    assert _overrides(run) == []


def test_changed_paths_become_absolute_and_are_checked(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    changes = ["data.sources=[{kind: files, path: texts}]", "data.tokenizer={kind: load, path: nobody/model}"]
    assert write_overrides(run, changes, allow_inexact=False, folder=tmp_path) == 1
    data = resolved_config(run).config.model_dump()["data"]
    assert data["sources"][0]["path"] == str(tmp_path / "texts")
    assert data["tokenizer"]["path"] == "nobody/model"
    with pytest.raises(ConfigurationError, match=r"there is no .*/gone"):
        write_overrides(run, ["data.sources.0.path=gone"], allow_inexact=False, folder=tmp_path)
    with pytest.raises(ConfigurationError, match="there is no run prepared"):
        write_overrides(run, ["data={kind: run, run: prepared}"], allow_inexact=False, folder=tmp_path)
    assert _overrides(run) == ["overrides-001.yaml"]


def test_what_an_earlier_start_named_may_be_gone(run: RunDirectory, tmp_path: Path) -> None:
    """The tokens are in the cache: only what is changed now must be there."""
    (tmp_path / "texts").mkdir()
    write_overrides(run, ["data.sources=[{kind: files, path: texts}]"], allow_inexact=False, folder=tmp_path)
    (tmp_path / "texts").rmdir()
    assert write_overrides(run, ["schedule.steps=9"], allow_inexact=False, folder=tmp_path) == 2


def test_a_run_with_nothing_to_do_writes_nothing(run: RunDirectory) -> None:
    run.checkpoint(7).mkdir(parents=True)
    with pytest.raises(UsageError, match=r"schedule.steps is 6, but tiny has a checkpoint of step 7"):
        write_overrides(run, [], allow_inexact=True)
    assert _overrides(run) == []
