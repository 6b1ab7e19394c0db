"""The words over a monitor of a run that ended badly."""

from __future__ import annotations

from core.run.events import Failed, Stopped
from core.run.status import RunStatus
from tui.services.monitor_text import ending_lines
from tui.services.run_view import RunView

INEXACT = (
    "step-00000010 cannot be continued exactly:\n    the reward file /rw/mine.py has changed (ab52f654 → 77c0ffee)"
)


def shown(view: RunView, state: RunStatus | None = None, width: int = 78) -> list[str]:
    return ["".join(text.text for text, _ in one.left).strip() for one in ending_lines(view, state, width)]


def view_of(*events: Failed | Stopped) -> RunView:
    view = RunView("g-mid")
    view.apply(events)
    return view


def test_what_differs_and_all_that_can_be_done_are_shown() -> None:
    hint = "Undo the change and resume again.\nOr go on: `footplate resume g-mid --allow-inexact`."
    assert shown(view_of(Failed(exit_code=4, message=INEXACT, hint=hint))) == [
        "failed with code 4: step-00000010 cannot be continued exactly:",
        "the reward file /rw/mine.py has changed (ab52f654 → 77c0ffee)",
        "Undo the change and resume again.",
        "Or go on: `footplate resume g-mid --allow-inexact`.",
    ]


def test_message_and_hint_take_four_lines_each() -> None:
    many = "\n".join(f"line {number}" for number in range(30))
    assert len(shown(view_of(Failed(exit_code=5, message=many, hint=many)))) == 8


def test_of_a_run_that_died_without_a_word_the_state_has_the_words() -> None:
    state = RunStatus("failed", "failed, exit code 9; its worker said nothing of why", attempt=2, exit_code=9)
    lines = [state.words, "What it printed: footplate logs g-mid"]
    assert shown(RunView("g-mid"), state) == lines
    earlier = Stopped(step=3, reason="asked", message="an earlier attempt").model_copy(update={"attempt": 1})
    assert shown(view_of(earlier), state) == lines
    assert shown(view_of(earlier), RunStatus("running", "running", attempt=2)) == ["an earlier attempt"]
    assert shown(RunView("g-mid"), RunStatus("running", "running: training", attempt=1)) == []
