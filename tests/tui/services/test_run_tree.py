"""Runs as a tree, the stages of a pipeline in the list of runs, and what they have changed in lines."""

from __future__ import annotations

import shutil

import pytest

from core.run.directory import Home, RunDirectory
from tests.tui.alignment_runs import pipeline_run
from tests.tui.runs_made_by_code import failed_run
from tui.services.run_list import RunRow, RunSummary, list_folders
from tui.services.run_tree import TreeRow, tree_rows
from tui.services.runs_text import WIDE, cells
from tui.services.stages_text import change_list, stage_list
from tui.services.stages_watch import StagesWatch
from tui.services.styled import Line


@pytest.fixture(autouse=True)
def no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits a second for how a run ended whose heartbeat was made by code just now."""
    monkeypatch.setattr("core.run.status._JUST_LOST_SECONDS", 0.0)


def rows_of(home: Home) -> list[RunRow]:
    folders, _ = list_folders(home)
    return [RunSummary(run).row() for run in folders]


def text_of(one: Line) -> str:
    return "".join(text.text for text, _ in one.left)


def titles(rows: list[TreeRow]) -> list[str]:
    return [cells(row, WIDE, 0.0)[1][0].text for row in rows]


def test_stages_stand_below_their_pipeline_in_order_and_once(home: Home) -> None:
    pipeline_run(home)
    failed_run(home)
    rows = tree_rows(rows_of(home), frozenset())
    assert titles(rows) == ["sft-broken", "▾ rlhf", "  pretrain", "  judge", "  align", "  polish"]
    assert [row.key for row in rows][2:] == ["rlhf-pretrain", "rlhf-judge", "rlhf-align", "rlhf/polish"]
    assert [row.row.state.word for row in rows][2:4] == ["finished", "finished"]
    assert (rows[-1].has_begun, rows[-1].word, rows[-1].row.phase) == (False, "waiting", "ppo")
    assert rows[1].row.progress == "stage 3/4"


def test_a_stage_whose_run_is_gone_says_so(home: Home) -> None:
    pipeline_run(home)
    shutil.rmtree(home.runs / "rlhf-judge")
    gone = tree_rows(rows_of(home), frozenset())[2]
    assert (gone.title, gone.has_begun) == ("judge", False)
    assert gone.row.state.words == "its run rlhf-judge is not among those listed"


def test_a_folded_pipeline_stands_alone(home: Home) -> None:
    pipeline_run(home)
    assert titles(tree_rows(rows_of(home), frozenset({"rlhf"}))) == ["▸ rlhf"]


def test_stages_of_a_pipeline_that_is_gone_stand_for_themselves(home: Home) -> None:
    made = pipeline_run(home)
    (made.run.path / "stages.json").unlink()
    rows = tree_rows(rows_of(home), frozenset())
    assert {row.key for row in rows if not row.parent} == {"rlhf", "rlhf-pretrain", "rlhf-judge", "rlhf-align"}
    assert [row.word for row in rows if row.parent] == ["waiting"] * 4


def test_a_broken_file_of_stages_takes_nothing_down(home: Home) -> None:
    made = pipeline_run(home)
    for text in ("[", "[1]", '{"judge": {"run": "../../x", "overrides": 0}}', '{"judge": 3}'):
        (made.run.path / "stages.json").write_text(text)
        assert [stage.run for stage in RunSummary(made.run).row().stages] == [""] * 4
    made.run.config.write_text("phase: pipeline\npipeline: [1, {name: 3}, [")
    assert RunSummary(made.run).row().stages == ()


def test_what_has_changed_is_told_stage_by_stage_by_the_titles_of_its_series(home: Home) -> None:
    found = StagesWatch(pipeline_run(home, is_done=True).run).look()
    assert found is not None
    stages, changes = found
    lines = [text_of(one) for one in change_list(stages, changes)]
    assert list(dict.fromkeys(line.split()[0] for line in lines)) == ["stage", "pretrain", "judge", "align", "polish"]
    assert lines[-2].split() == ["polish", "held-out", "reward", "-0.42", "0.87", "+1.29", "better"]
    assert lines[-1].split() == ["polish", "held", "out", "(tokens)", "31.5", "31.5", "0"]
    assert any(line.split()[:1] == ["judge"] and "+0.43 better" in line for line in lines)
    assert change_list(stages, {}) == []


def test_a_stage_that_is_at_work_again_has_changed_nothing_yet(home: Home) -> None:
    watch = StagesWatch(pipeline_run(home, is_done=True).run)
    found = watch.look()
    assert found is not None
    assert {"judge", "polish"} <= found[1].keys()
    (attempt,) = RunDirectory(home.runs / "rlhf-judge").attempts()
    attempt.exit.unlink()
    found = watch.look()
    assert found is not None
    assert "judge" not in found[1]
    assert "polish" in found[1]


def test_a_stage_in_a_line_and_a_look_that_finds_nothing_new(home: Home) -> None:
    watch = StagesWatch(pipeline_run(home).run)
    found = watch.look()
    assert found is not None
    assert watch.look() is None
    lines = [text_of(one) for one in stage_list(found[0], 80)]
    assert "60/200" in lines[2]
    assert lines[3].split() == ["·", "polish", "ppo", "waiting"]
    assert "align" not in found[1], "what is not finished has changed nothing yet"
    assert StagesWatch(RunDirectory(home.runs / "rlhf-judge")).look() is None


def test_a_row_has_the_evaluation_that_says_most(home: Home) -> None:
    pipeline_run(home)
    by_name = {row.name: row for row in rows_of(home)}
    assert by_name["rlhf-align"].evaluation == 0.87, "a reward, where there is no held-out loss"
    assert by_name["rlhf-judge"].evaluation == 0.31
