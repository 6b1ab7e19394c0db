"""What the Data screen looks like: empty, tried, while the helper counts, and where a source cannot be read.

After a change that is meant to be seen: `pytest tests/tui/screens/test_data_snapshots.py --snapshot-update`.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.config.drafts import set_value
from core.run.directory import Home
from core.run.launch import make_home
from tests.tui.driving import console, screen_text, until
from tests.tui.screens.test_data import HELPER, TEXTS, add_length, data_screen, opened, settled
from tui.console import FootplateApp
from tui.services.data_draft import new_form

SIZES = [(80, 24), (160, 48)]
Compare = Callable[..., bool]
Before = Callable[[FootplateApp, Pilot[Any]], Awaitable[None]]


@pytest.fixture
def still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.chdir(tmp_path)
    for name in ("rivers.txt", "counting.txt", "broken.txt", "chat.txt"):
        (tmp_path / name).write_text("\n".join(TEXTS))
    home = Home(Path("home"))
    make_home(home)
    return home


def compare(snap_compare: Compare, home: Home, size: tuple[int, int], before: Before, **environment: str) -> bool:
    app = console(home, **environment)
    app.helper = [sys.executable, str(HELPER), str(Path.cwd())]

    async def run_before(pilot: Pilot[Any]) -> None:
        await pilot.press("2")
        await before(app, pilot)
        await pilot.pause(0.3)

    return snap_compare(app, terminal_size=size, run_before=run_before)


async def a_filter_and_tokens(app: FootplateApp, pilot: Pilot[Any]) -> None:
    screen = await opened(app, pilot, Path("chat.txt"))
    await add_length(screen, pilot)
    await pilot.press("j", "j", "t", "t")
    await settled(screen, pilot)
    await until(lambda: "4 in the loss" in screen_text(app) and "5 -50.0%" in screen_text(app))


@pytest.mark.parametrize("size", SIZES)
def test_data_empty(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    async def before(app: FootplateApp, pilot: Pilot[Any]) -> None:
        await until(lambda: "Nothing is chosen yet" in screen_text(app))

    assert compare(snap_compare, still, size, before)


@pytest.mark.parametrize("size", SIZES)
def test_data_with_a_filter_and_tokens(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    assert compare(snap_compare, still, size, a_filter_and_tokens)


def test_data_with_a_filter_and_tokens_without_colour(snap_compare: Compare, still: Home) -> None:
    assert compare(snap_compare, still, (80, 24), a_filter_and_tokens, NO_COLOR="1")


def test_data_with_marked_tokens(snap_compare: Compare, still: Home) -> None:
    async def before(app: FootplateApp, pilot: Pilot[Any]) -> None:
        screen = await opened(app, pilot, Path("chat.txt"))
        assert screen.state.form is not None
        screen.state.form.change(set_value(screen.state.form.draft, ("data", "syntax"), "python"))
        screen._inquiry.draft_changed()
        await pilot.press("j", "j", "t", "t")
        await settled(screen, pilot)
        await until(lambda: "/k keyword, 1 token" in screen_text(app))

    assert compare(snap_compare, still, (80, 24), before)


@pytest.mark.parametrize("size", SIZES)
def test_data_figures(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    async def before(app: FootplateApp, pilot: Pilot[Any]) -> None:
        await opened(app, pilot, Path("rivers.txt"))
        await pilot.press("H")

    assert compare(snap_compare, still, size, before)


@pytest.mark.parametrize("size", SIZES)
def test_data_running(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    async def before(app: FootplateApp, pilot: Pilot[Any]) -> None:
        data_screen(app).begin(new_form("counting.txt"), is_new=True)
        await until(lambda: "counting … reading 400/1,000" in screen_text(app))
        await until(lambda: data_screen(app).state.waiting == {"trial"})

    assert compare(snap_compare, still, size, before)


@pytest.mark.parametrize("size", SIZES)
def test_data_failed(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    async def before(app: FootplateApp, pilot: Pilot[Any]) -> None:
        await opened(app, pilot, Path("broken.txt"))
        await until(lambda: "the trial failed" in screen_text(app))

    assert compare(snap_compare, still, size, before)
