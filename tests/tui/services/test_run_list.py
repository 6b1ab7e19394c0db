from __future__ import annotations

import math
import os

from core.run.directory import Home
from tests.tui.runs_made_by_code import RunMade, failed_run, finished_run, preparing_run
from tui.services.run_list import RunSummary, list_folders


def test_a_run_in_a_few_numbers(home: Home) -> None:
    row = RunSummary(finished_run(home)).row()
    assert (row.name, row.phase, row.state.word, row.step, row.steps) == (
        "quickstart",
        "pretrain",
        "finished",
        1000,
        1000,
    )
    assert row.evaluation is not None
    assert row.loss is not None


def test_a_loss_that_is_nan_stays_nan(home: Home) -> None:
    loss = RunSummary(failed_run(home)).row().loss
    assert loss is not None
    assert math.isnan(loss)


def test_preparation_tells_its_stage(home: Home) -> None:
    assert RunSummary(preparing_run(home)).row().progress == "tokenize 36%"


def test_a_run_that_has_not_started_has_its_phase(home: Home) -> None:
    made = RunMade(home, "fresh")
    os.rmdir(made.attempt.path)
    os.unlink(made.run.events)
    row = RunSummary(made.run).row()
    assert (row.phase, row.state.word, row.step) == ("pretrain", "created", None)


def test_damage_in_a_run_does_not_end_the_list(home: Home) -> None:
    made = RunMade(home, "damaged").started()
    with made.run.events.open("ab") as file:
        file.write(b'{"v": 1, "type": "evaluated"}\n\xff\xfe{{{\n{"v":')
    made.attempt.metrics.write_bytes(b"\0" * 13)
    made.run.heartbeat.write_text("[]")
    made.attempt.exit.write_text("nonsense")
    row = RunSummary(made.run).row()
    assert row.name == "damaged"
    assert row.steps == 1000


def test_an_unchanged_finished_run_is_not_read_again(home: Home) -> None:
    summary = RunSummary(finished_run(home))
    assert summary.row() is summary.row()


def test_a_home_without_runs_has_none(home: Home) -> None:
    assert list_folders(home) == ([], 0)


def test_a_row_says_what_its_number_is_and_whether_it_can_go_on(home: Home) -> None:
    made = failed_run(home)
    row = RunSummary(made).row()
    assert (row.evaluated, row.exact, row.has_checkpoint) == ("eval/loss", True, False)
    made.checkpoint(7).mkdir(parents=True)
    made.overrides(1).write_text('{"set": {}, "allow_inexact": true}')
    with made.events.open("ab") as file:
        file.write(
            b'{"v":1,"seq":99,"attempt":2,"wall":"","mono":1.0,"type":"resumed","step":7,"checkpoint":"c","exact":false}\n'
        )
    row = RunSummary(made).row()
    assert (row.exact, row.has_checkpoint) == (False, True)
