"""The Data screen against a small helper process that speaks the lines of core/query.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.run.directory import Home
from tests.tui.driving import console, screen_text, until
from tui.console import FootplateApp
from tui.screens.data import DataScreen
from tui.services.data_draft import new_form

HELPER = Path(__file__).parents[1] / "data_helper.py"
TEXTS = [f"line {number} " + "x" * (number * 10) for number in range(10)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("\n".join(TEXTS))
    return tmp_path


def with_helper(home: Home, folder: Path) -> FootplateApp:
    app = console(home)
    app.helper = [sys.executable, str(HELPER), str(folder)]
    return app


def questions(folder: Path) -> list[dict[str, Any]]:
    path = folder / "questions.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def data_screen(app: FootplateApp) -> DataScreen:
    assert isinstance(app.screen, DataScreen)
    return app.screen


async def opened(app: FootplateApp, pilot: Pilot[Any], path: Path) -> DataScreen:
    """The screen with a source, tried."""
    await pilot.press("2")
    screen = data_screen(app)
    screen.begin(new_form("text", str(path)), is_new=True)
    await until(lambda: not screen.state.waiting)
    await pilot.pause()
    return screen


async def test_an_empty_screen_says_how_to_begin_and_n_takes_a_path(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        assert "point at a file or a folder" in screen_text(app)
        await pilot.press("n")
        await pilot.pause()
        await pilot.press(*str(folder / "a.txt"), "enter")
        await until(lambda: "text 1 bad 10" in screen_text(app))
        assert "line 0" in screen_text(app)
