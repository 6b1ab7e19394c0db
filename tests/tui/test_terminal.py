"""The console in a real terminal: losing it, giving it back, what is sent to it."""

from __future__ import annotations

import os
import re
import signal
import termios
import threading
import time
from collections.abc import Iterator

import pyte
import pytest

from core.run.directory import Home
from core.run.lock import RunLock
from tests.tui.pty_console import PtyConsole, open_console
from tests.tui.runs_made_by_code import finished_run, running_run
from tests.tui.test_hostile_text import hostile_run

ALLOWED = re.compile(
    rb"\x1b\[[0-9;:]*m"  # colours
    rb"|\x1b\[\d*;?\d*H|\x1b\[\d*[ABCDGK]"  # cursor and the end of a line
    rb"|\x1b\[\?(?:25|7|1000|1003|1004|1006|1015|1016|1049|2004|2026|2048)[hl]"
    rb"|\x1b\[\?(?:2026|2048)\$p"
    rb"|\x1b\[>\d+u|\x1b\[<u"  # the keyboard protocol
    rb"|\x1b\]22;[a-z-]+(?:\x07|\x1b\\)"  # the shape of the pointer
    rb"|[\n\r]"
    rb"|\x07"  # the bell of an error
)

ANOTHER_TERMINAL = pytest.mark.slow(reason="the same text under other settings of the terminal")


@pytest.fixture
def opened() -> Iterator[list[PtyConsole]]:
    consoles: list[PtyConsole] = []
    yield consoles
    for one in consoles:
        one.end()


def forbidden(output: bytes) -> list[bytes]:
    """Return every control character that is not part of an allowed sequence."""
    rest = ALLOWED.sub(b"", output).decode("utf-8", "replace")
    controls = r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b-\u200f].{0,20}"
    return [found.encode() for found in re.findall(controls, rest)]


def test_a_dropped_terminal_ends_the_console_within_two_seconds(home: Home, opened: list[PtyConsole]) -> None:
    finished_run(home)
    one = open_console(home)
    opened.append(one)
    one.read_until(b"FOOTPLATE")
    one.read(1.0)
    os.close(one.master)
    assert one.wait(2.5, reading=False) is not None


def test_a_dropped_terminal_ends_it_although_sighup_is_ignored(home: Home, opened: list[PtyConsole]) -> None:
    finished_run(home)
    one = open_console(home, extra="signal.signal(signal.SIGHUP, signal.SIG_IGN)")
    opened.append(one)
    one.read_until(b"FOOTPLATE")
    one.read(1.0)
    os.close(one.master)
    assert one.wait(2.5, reading=False) == 129


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT])
def test_a_signal_gives_the_terminal_back(home: Home, opened: list[PtyConsole], number: signal.Signals) -> None:
    one = open_console(home)
    opened.append(one)
    before = termios.tcgetattr(one.master)
    one.read_until(b"FOOTPLATE")
    one.read(0.5)
    assert termios.tcgetattr(one.master) != before
    os.kill(one.pid, number)
    assert one.wait(2.5) == 128 + number
    check_restored(one, before)


def check_restored(one: PtyConsole, before: object) -> None:
    for mode in (b"\x1b[?1049l", b"\x1b[?1000l", b"\x1b[?1003l", b"\x1b[?2004l", b"\x1b[?25h", b"\x1b[<u"):
        assert mode in one.output
        assert one.output.rfind(mode) > one.output.find(b"FOOTPLATE")
    assert termios.tcgetattr(one.master) == before


def test_a_bug_gives_the_terminal_back_and_says_where_its_traceback_is(home: Home, opened: list[PtyConsole]) -> None:
    extra = """
from tui.console import FootplateApp
def stumble(self): raise RuntimeError("\\x1b]0;owned\\x07")
FootplateApp.action_help = stumble
"""
    one = open_console(home, extra=extra)
    opened.append(one)
    before = termios.tcgetattr(one.master)
    one.read_until(b"FOOTPLATE")
    one.read(0.5)
    one.send(b"?")
    assert one.wait(5.0) == 1
    check_restored(one, before)
    assert b"This is a bug. The traceback is in" in one.output
    assert forbidden(bytes(one.output)) == []


def test_a_console_that_is_frozen_or_killed_holds_nobody_up(home: Home, opened: list[PtyConsole]) -> None:
    made = running_run(home)
    consoles = [open_console(home, attach=made.run.name) for _ in range(2)]
    opened += consoles
    for one in consoles:
        one.read_until(b"FOOTPLATE")
    os.kill(consoles[0].pid, signal.SIGSTOP)
    started = time.monotonic()
    made.rows(420, 900).evaluated(900, 2.1)
    assert time.monotonic() - started < 1.0
    consoles[1].read_until(b"2.1")
    os.kill(consoles[0].pid, signal.SIGKILL)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        pytest.param({"NO_COLOR": "1"}, marks=ANOTHER_TERMINAL),
        pytest.param({"TERM": "linux", "COLORTERM": ""}, marks=ANOTHER_TERMINAL),
    ],
)
def test_hostile_text_never_reaches_the_terminal(
    home: Home, opened: list[PtyConsole], environment: dict[str, str]
) -> None:
    hostile_run(home)
    one = open_console(home, attach="hostile", rows=48, columns=160, **environment)
    opened.append(one)
    one.read_until(b"owned")
    one.read(1.5)
    for key in (b"L", b"f", b"1", b"3", b"?", b"\x1b"):
        one.send(key)
        one.read(0.4)
    one.send(b"q")
    assert one.wait(5.0) == 0
    assert forbidden(bytes(one.output)) == []
    if environment.get("NO_COLOR"):
        attributes = {code for found in re.findall(rb"\x1b\[([0-9;]*)m", one.output) for code in found.split(b";")}
        assert attributes <= {b"", b"0", b"1", b"3", b"4", b"7", b"39", b"49"}


def test_what_the_terminal_shows_is_the_monitor(home: Home, opened: list[PtyConsole]) -> None:
    finished_run(home)
    one = open_console(home, attach="quickstart", rows=24, columns=80)
    opened.append(one)
    screen = pyte.Screen(80, 24)
    stream = pyte.ByteStream(screen)
    one.read_until(b"finished at step")
    one.read(2.0)
    # pyte does not know the keyboard protocol's sequences and would print them
    stream.feed(re.sub(rb"\x1b\[[<>]\d*u|\x1b\[\?\d+\$p", b"", bytes(one.output)))
    text = "\n".join(screen.display)
    assert "FOOTPLATE  4 Monitor   quickstart" in text
    assert "step 1,000 / 1,000" in text
    assert "loss" in text
    assert any("\u2800" < character <= "\u28ff" for character in text)


@pytest.mark.slow(reason="half a minute of sizes and keys on a busy machine")
def test_a_storm_of_sizes_and_input_is_survived(home: Home, opened: list[PtyConsole]) -> None:
    finished_run(home)
    one = open_console(home, attach="quickstart")
    opened.append(one)
    one.read_until(b"FOOTPLATE")
    for index in range(60):
        one.resize(1 + index * 7 % 60, 1 + index * 13 % 200)
        one.read(0.01)
    flood = threading.Thread(target=_flood, args=(one,), daemon=True)
    flood.start()
    while flood.is_alive():
        one.read(0.05)
    one.resize(24, 80)
    one.read(1.0)
    one.output.clear()
    one.send(b"1")
    one.read_until(b"1 Runs", seconds=30)
    one.send(b"q")
    assert one.wait(10.0) == 0


def _flood(one: PtyConsole) -> None:
    one.send(b"\x1b[200~" + b"x" * 200_000 + b"\x1b[201~")
    one.send(b"\x1b[<35;10;10M" * 500 + b"\x1b[999;999z\x1b[" + b"\x1b[A" * 50)


@pytest.mark.slow(reason="watches a run for a quarter of a minute")
def test_a_watched_run_costs_few_bytes_and_an_idle_screen_none(home: Home, opened: list[PtyConsole]) -> None:
    made = running_run(home)
    lock = RunLock.acquire(made.run)
    try:
        one = open_console(home, attach=made.run.name, rows=48, columns=160)
        opened.append(one)
        one.read_until(b"learning rate")
        one.read(3.0)
        came = 0
        for second in range(6):
            made.rows(420 + 20 * second, 440 + 20 * second).beat(440 + 20 * second, counter=10 + second)
            came += one.read(1.0)
        assert came / 6 < 8_000
    finally:
        lock.release()
    finished_run(home)
    idle = open_console(home)
    opened.append(idle)
    idle.read_until(b"quickstart")
    idle.send(b"3")
    idle.read(3.0)
    assert idle.read(4.0) / 4 < 50
