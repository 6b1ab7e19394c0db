"""What the keys of a question mean: a habit must not throw something away."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.run.directory import Home
from tests.tui.driving import console, screen_text, until
from tui.screens.dialogs import ConfirmDialog
from tui.services.safe_text import safe


@pytest.mark.parametrize(
    ("key", "loses", "answer"),
    [
        ("enter", False, True), ("enter", True, False), ("y", True, True), ("y", False, True), ("n", False, False),
        ("escape", True, False), ("ctrl+c", False, True), ("ctrl+c", True, False),
    ],
)  # fmt: skip
async def test_enter_means_yes_only_where_nothing_is_lost(tmp_path: Path, key: str, loses: bool, answer: bool) -> None:
    app, answers = console(Home(tmp_path)), list[bool | None]()
    async with app.run_test(size=(80, 24)) as pilot:
        dialog = ConfirmDialog(safe("Go?"), [safe("It goes.")], yes=safe("go"), loses=loses)
        await app.push_screen(dialog, answers.append)
        await until(lambda: ("y go   n ⏎ no, go back" if loses else "y ⏎ go   n no, go back") in screen_text(app))
        await pilot.press(key)
        await until(lambda: answers)
    assert answers == [answer]
