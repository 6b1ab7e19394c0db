"""What is said of a run that failed, and how to go on."""

from __future__ import annotations

import io

from core.run.directory import RunDirectory
from core.run.events import Failed
from core.run.status import RunStatus
from tui.commands.context import Context
from tui.commands.picture import Picture
from tui.commands.summary import tell_what_next


def said(context: Context, code: int, *, end: Failed | None = None, checkpoint: bool = False) -> list[str]:
    run = RunDirectory(context.home.runs / "g-mid")
    if checkpoint:
        run.checkpoint(10).mkdir(parents=True)
    picture = Picture()
    picture.end = end
    words = f"failed, exit code {code}; its worker said nothing of why"
    tell_what_next(run, picture, RunStatus("failed", words, attempt=0, exit_code=code), context)
    assert isinstance(context.words, io.StringIO)
    return context.words.getvalue().splitlines()


def test_a_refused_resume_is_told_in_lines_and_a_plain_one_is_not_advised(piped: Context) -> None:
    message = "step-00000010 cannot be continued exactly:\n    a: 1 → 2"
    hint = "Undo the change and resume again.\nOr go on: `footplate resume g-mid --allow-inexact`."
    assert said(piped, 4, end=Failed(exit_code=4, message=message, hint=hint), checkpoint=True) == [
        "g-mid failed: step-00000010 cannot be continued exactly:",
        "  a: 1 → 2",
        "  Undo the change and resume again.",
        "  Or go on: `footplate resume g-mid --allow-inexact`.",
        "  Its output: footplate logs g-mid.",
    ]


def test_without_a_checkpoint_the_cause_is_mended_first(piped: Context) -> None:
    assert said(piped, 9) == [
        "g-mid failed, exit code 9; its worker said nothing of why",
        "  Its output: footplate logs g-mid. Once the cause is mended, start it again: footplate resume g-mid; "
        "to change its configuration: --set section.field=VALUE",
    ]


def test_a_checkpoint_is_gone_on_from(piped: Context) -> None:
    lines = said(piped, 9, checkpoint=True)
    assert lines[-1].endswith("Go on from its last checkpoint: footplate resume g-mid")
