from __future__ import annotations

import io
import json
from typing import Any

import pyte
import pytest

from core.run.events import CheckpointSaved, Evaluated, Failed, Metrics, Notice, Progress, Sampled, Started
from tui.commands.context import Context
from tui.commands.display import DrawnDisplay, JSONDisplay, LinesDisplay, display_for
from tui.commands.failure import TerminalLost


def _row(step: int, loss: float = 2.0) -> Metrics:
    return Metrics(step=step, tokens=100.0 * step, values={"train/loss": loss, "train/learning_rate": 1e-4})


def _text(context: Context) -> str:
    assert isinstance(context.output, io.StringIO)
    return context.output.getvalue()


def test_steps_are_at_most_one_line_a_second_and_the_last_one_is_never_lost(at: Any, piped: Context) -> None:
    display = LinesDisplay(piped)
    display.take([at(Started(phase="pretrain", steps=100), 0)])
    display.take([at(_row(step), step * 0.1) for step in range(1, 26)])
    display.take([at(Evaluated(step=25, values={"eval/loss": 1.0}, tokens=5, seconds=0.1), 2.6)])
    lines = _text(piped).splitlines()
    assert [line.split("  ")[1] for line in lines if "  step " in line and "evaluated" not in line] == [
        "step 1/100", "step 11/100", "step 21/100", "step 25/100",
    ]  # fmt: skip
    assert "evaluated" in lines[-1]


def test_closing_writes_the_step_that_waits(at: Any, piped: Context) -> None:
    display = LinesDisplay(piped)
    display.take([at(_row(1), 0), at(_row(2), 0.1)])
    assert "step 2" not in _text(piped)
    display.close()
    assert "step 2" in _text(piped)


def test_progress_is_a_line_a_stage_and_its_end(at: Any, piped: Context) -> None:
    display = LinesDisplay(piped)
    display.take([at(Progress(stage="read", done=n, total=100, unit="files"), n * 0.01) for n in range(101)])
    lines = _text(piped).splitlines()
    assert len(lines) == 2
    assert "100 of 100 files  100%" in lines[1]


def test_hostile_text_is_shown_and_not_obeyed(at: Any, piped: Context, on_terminal: Context) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J\n12:00:00 checkpoint forged\x9b2J"
    events = [
        at(Started(phase=hostile, steps=3, facts={hostile: hostile}), 0),
        at(Sampled(step=1, prompt=hostile, text=hostile), 1),
        at(Notice(level="warning", code="x", message=hostile), 2),
        at(Failed(exit_code=1, message=hostile), 3),
        at(Progress(stage=hostile, done=1, total=None, unit=hostile, note=hostile), 4),
        at(Metrics(step=1, tokens=1, values={hostile: 1.0}), 5),
        at(CheckpointSaved(step=1, name=hostile, bytes=1, seconds=1), 6),
    ]
    lines = LinesDisplay(piped)
    lines.take(events)
    text = _text(piped)
    assert not set(text) & {"\x1b", "\x07", "\x9b"}
    assert len(text.splitlines()) == len(events)
    drawn = DrawnDisplay(hostile, on_terminal)
    drawn.take(events)
    drawn.tick("running")
    assert "\x1b]" not in _text(on_terminal)
    assert "\x1b[2J" not in _text(on_terminal)
    assert "\x9b" not in _text(on_terminal)


def test_json_is_the_events(at: Any, piped: Context) -> None:
    display = JSONDisplay(piped)
    display.take([at(_row(1, float("nan")), 0, seq=7), at(Sampled(step=1, prompt="\x1b\x9b", text="é"), 1, seq=8)])
    text = _text(piped)
    assert text.isascii()
    assert "\x1b" not in text
    first, second = (json.loads(line) for line in text.splitlines())
    assert (first["type"], first["seq"], first["values"]["train/loss"]) == ("metrics", 7, "NaN")
    assert second["text"] == "é"


def test_drawing_stays_in_its_lines(at: Any, on_terminal: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a screen of 60x12 ten frames leave one drawing, and what stays stands above it."""
    monkeypatch.setenv("COLUMNS", "60")
    display = DrawnDisplay("short-1", on_terminal)
    display.take([at(Started(phase="pretrain", steps=10), 0)])
    for step in range(1, 11):
        display.take([at(_row(step), step), at(Sampled(step=step, prompt="日本" * 40, text="x"), step)])
        if step == 5:
            display.take([at(Evaluated(step=5, values={"eval/loss": 3.5}, tokens=5, seconds=0.1), 5)])
        display.tick("running")
    display.words("left the watch")
    display.close()
    screen = pyte.Screen(60, 12)
    pyte.Stream(screen).feed(_text(on_terminal).replace("\n", "\r\n"))
    shown = [line.rstrip() for line in screen.display if line.strip()]
    assert sum("short-1  pretrain  running" in line for line in shown) <= 1
    assert sum("evaluated" in line for line in shown) == 1
    assert "left the watch" in shown[-1]


def test_the_last_drawing_stays_when_nothing_else_is_said(at: Any, on_terminal: Context) -> None:
    display = DrawnDisplay("short-1", on_terminal)
    display.take([at(Started(phase="pretrain", steps=10), 0), at(_row(10), 1)])
    display.tick("finished")
    before = _text(on_terminal)
    display.close()
    assert _text(on_terminal) == before
    assert "10/10" in before


def test_no_colour_and_ascii(at: Any, on_terminal: Context) -> None:
    plain = Context(on_terminal.home, {"TERM": "xterm", "NO_COLOR": "1"}, on_terminal.output, on_terminal.words, True)
    display = DrawnDisplay("short-1", plain)
    display.take([at(Started(phase="pretrain", steps=10), 0), at(_row(5), 1)])
    display.take([at(Sampled(step=5, prompt="a", text="b"), 1)])
    display.tick("running")
    text = _text(on_terminal)
    assert "\x1b[1m" not in text
    assert text.isascii()
    assert "a -> b" in text


def test_which_display(piped: Context, on_terminal: Context) -> None:
    dumb = Context(on_terminal.home, {"TERM": "dumb"}, on_terminal.output, on_terminal.words, True)
    assert isinstance(display_for("a", piped, as_json=False), LinesDisplay)
    assert isinstance(display_for("a", on_terminal, as_json=False), DrawnDisplay)
    assert isinstance(display_for("a", dumb, as_json=False), LinesDisplay)
    assert isinstance(display_for("a", on_terminal, as_json=True), JSONDisplay)


def test_a_terminal_that_is_gone(at: Any, on_terminal: Context) -> None:
    class Gone(io.StringIO):
        def isatty(self) -> bool:
            return True

        def write(self, text: str) -> int:
            raise OSError(5, "Input/output error")

    display = DrawnDisplay("a", Context(on_terminal.home, on_terminal.environment, Gone(), io.StringIO(), True))
    with pytest.raises(TerminalLost):
        display.tick("running")
