from __future__ import annotations

from core.run.directory import Home
from tests.tui.runs_made_by_code import RunMade
from tui.services.log_tail import LogTail


def shown(tail: LogTail) -> list[str]:
    return [line.text for line in tail.read()]


def test_new_lines_come_once_and_half_a_line_waits(home: Home) -> None:
    made = RunMade(home, "a")
    tail = LogTail(made.run)
    assert shown(tail) == []
    made.output("one\ntw")
    assert shown(tail) == ["── output of attempt 1 ──", "one"]
    assert shown(tail) == []
    made.output("o\nthree\n")
    assert shown(tail) == ["two", "three"]


def test_a_progress_bar_shows_what_it_wrote_last(home: Home) -> None:
    made = RunMade(home, "a").output("10%\r50%\r100%\ndone\r\n")
    assert shown(LogTail(made.run))[1:] == ["100%", "done"]


def test_a_huge_log_is_read_from_its_end(home: Home) -> None:
    made = RunMade(home, "a").output("x" * 79 + "\n")
    made.output(("y" * 79 + "\n") * 100_000)
    lines = shown(LogTail(made.run))
    assert len(lines) < 1000
    assert lines[-1] == "y" * 79


def test_output_that_is_no_text_is_shown(home: Home) -> None:
    made = RunMade(home, "a")
    made.attempt.log.write_bytes(b"\xff\x1b]0;x\x07\n")
    assert shown(LogTail(made.run))[-1] == "\ufffd␛]0;x␇"
