"""The Data screen where there is little room, and while the terminal changes its size."""

from __future__ import annotations

from pathlib import Path

from core.run.directory import Home
from tests.tui.driving import screen_text, until
from tests.tui.screens.test_data import TEXTS, opened, with_helper


async def test_below_14_lines_only_the_list_is_shown_and_f_gives_the_row_the_screen(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(TEXTS))
    app = with_helper(home, tmp_path)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, tmp_path / "a.txt")
        for size in ((80, 12), (20, 5), (40, 10)):
            await pilot.resize_terminal(*size)
            await until(lambda: "row 1/10" not in screen_text(app))
            assert screen.max_scroll_y == 0, size
            assert "a.txt" in screen_text(app)
        await pilot.press("f")
        await until(lambda: "row 1/10" in screen_text(app) and "a.txt  " not in screen_text(app))
        await pilot.press("f")
        await until(lambda: "row 1/10" not in screen_text(app) and "a.txt" in screen_text(app))
        await pilot.resize_terminal(80, 24)
        await until(lambda: "row 1/10" in screen_text(app) and "sources and filters" in screen_text(app))
