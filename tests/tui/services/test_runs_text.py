"""What the list of runs says of the one under its cursor."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.run.directory import Home
from core.run.status import RunStatus
from tui.services.run_list import RunRow, StageOf
from tui.services.run_tree import TreeRow
from tui.services.runs_text import advice_for, detail_lines

FAILED = RunStatus("failed", "failed, exit code 9; its worker said nothing of why", attempt=1, exit_code=9)
ROW = RunRow("g-die", FAILED, "grpo", step=3, steps=20)


def detail(row: RunRow, width: int = 0) -> list[str]:
    tree = TreeRow(row.name, row, row.name)
    return ["".join(text.text for text, _ in one.left).strip() for one in detail_lines(tree, Home(Path("/h")), width)]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (ROW, "⏎ shows what happened; r starts it again; it has no checkpoint yet."),
        (replace(ROW, has_checkpoint=True), "⏎ shows what happened; r goes on from its last checkpoint."),
        (replace(ROW, state=replace(FAILED, word="stopped"), phase="prepare"), "r goes on with what is done."),
        (replace(ROW, state=replace(FAILED, exit_code=4), has_checkpoint=True), "r will be refused again."),
    ],
)
def test_what_is_advised_is_what_there_is(row: RunRow, words: str) -> None:
    assert str(advice_for(row)).endswith(words)


def test_why_a_run_failed_goes_on_in_a_second_line() -> None:
    words = (
        "failed, exit code 4, its checkpoint: step-00000010 cannot be continued exactly: the reward file has changed"
    )
    lines = detail(replace(ROW, state=replace(FAILED, words=words)), width=78)
    assert len(lines) == 4
    assert " ".join(lines[:2]).removeprefix("✗ ") == words
    assert lines[2] == "attempt 1   step 3/20"
    assert "/h/runs/g-die" in detail(ROW, width=78)


def test_a_pipeline_has_stages_and_no_steps() -> None:
    row = replace(ROW, step=None, steps=None, progress="stage 2/4", stages=(StageOf("a", "sft"),))
    assert "attempt 1   stage 2/4" in detail(row)


def test_a_run_that_was_continued_inexactly_is_marked() -> None:
    assert "attempt 1   step 3/20   not exact: a resume was allowed to differ" in detail(replace(ROW, exact=False))
