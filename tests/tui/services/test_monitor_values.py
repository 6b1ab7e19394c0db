"""The line of newest values over a monitor: what a run declares first has room first."""

from __future__ import annotations

import math

import pytest

from core.run.events import Failed, Series, Started
from core.run.status import RunStatus
from tui.services.curves import Frame
from tui.services.monitor_text import head_lines
from tui.services.run_view import RunView

VALUES = {
    "train/reward": -0.21312, "train/kl": 0.012345, "eval/reward": 0.018581, "train/ended": 0.25,
    "train/loss": 0.073981, "train/tokens_per_second": 1234.0, "train/value_loss": 0.5, "train/ratio": 1.0,
}  # fmt: skip


def values_line(values: dict[str, float], width: int) -> str:
    view = RunView("run")
    series = tuple(
        Series(
            name=name, title=name.partition("/")[2].replace("_", " "), panel=name,
            lower_is_better=True if name == "train/value_loss" else None,
        )
        for name in values
    )  # fmt: skip
    view.apply([Started(phase="any", steps=10, series=series)])
    frame = Frame(request=None, latest=values, steps_per_second=0.5, tokens=900.0)  # type: ignore[arg-type]  # no request
    return "".join(text.text for text, _ in head_lines(view, None, frame, width)[2].left)


@pytest.mark.parametrize(("width", "last"), [(80, "loss 0.07398"), (90, "tok/s 1,234"), (160, "tokens 900")])
def test_what_is_declared_first_has_room_first_and_nothing_is_cut(width: int, last: str) -> None:
    text = values_line(VALUES, width)
    assert text.startswith(" reward -0.2131  ")
    assert len(text.rstrip()) <= width
    assert text.rstrip().endswith(last)
    assert text.index("KL 0.0123") < text.index("eval reward") < text.index("ended 0.25") < text.index("loss")


def test_a_series_without_a_value_takes_no_room() -> None:
    text = values_line({**VALUES, "train/kl": math.nan, "train/loss": math.inf}, 100)
    assert "KL" not in text
    assert "NaN" not in text
    assert "loss inf" in text


def test_a_run_that_told_its_end_is_at_no_other_work() -> None:
    """The last heartbeat is up to some seconds older than the last event."""
    state = RunStatus("running", "running: loading", 1, None, 1, "here", 10, "loading", 1.0)
    view = RunView("run")
    view.apply([Started(phase="any", steps=10)])
    assert "loading" in "".join(text.text for text, _ in head_lines(view, state, None, 80)[0].right)
    view.apply([Failed(exit_code=6, message="m", hint="h", step=10)])
    assert "ending" in "".join(text.text for text, _ in head_lines(view, state, None, 80)[0].right)
