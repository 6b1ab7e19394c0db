"""Hostile text in everything that a console shows: it stands there as it is, and does nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from core.run.directory import Home, RunDirectory
from core.run.events import Evaluated, Failed, Notice, Progress, Sampled, Series, Started
from tests.tui.driving import console, screen_text, until
from tests.tui.runs_made_by_code import RunMade
from tui.screens.dialogs import ConfirmDialog
from tui.screens.form import FormScreen
from tui.screens.presets import PresetsScreen
from tui.services.safe_text import safe
from tui.widgets.row_list import RowList

MARKUP = "[/] [red]r[/red] [@click=app.quit]q[/] [link=x]l[/link] [$x] \\[ " + "[" * 200
CONTROLS = (
    "\x1b]0;owned\x07\x1b]52;c;aGk=\x1b\\\x1b[2J\x9b2J\x90x\x9c\x00\x07\x7f\u202eevil\u202c\u200b\ufeff\U000e0041"
)
HOSTILE = f"A {CONTROLS} {MARKUP} B"
FORBIDDEN = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b-\u200f\ufeff\U000e0000-\U000e0fff\ud800-\udfff]"
)

WIDER = pytest.mark.slow(reason="the same text at another size")


def hostile_run(home: Home) -> RunMade:
    made = RunMade(home, "hostile")
    series = (
        Series(name="train/loss", title=HOSTILE, panel=HOSTILE, unit=HOSTILE),
        Series(name="eval/loss", title=HOSTILE, panel=HOSTILE),
    )
    made.event(Started(phase=HOSTILE, steps=10, series=series, facts={HOSTILE: HOSTILE}))
    made.event(Evaluated(step=1, values={"eval/loss": 1.0, HOSTILE: 2.0}, tokens=1, seconds=1))
    made.event(Notice(level="error", code="x", message=HOSTILE))
    made.event(Sampled(step=1, prompt=HOSTILE, text=HOSTILE + "\n" + "e" + "\u0301" * 1000 + "\n" + "漢" * 300))
    made.event(Progress(stage=HOSTILE, done=1, total=2, unit=HOSTILE, note=HOSTILE))
    made.event(Failed(exit_code=1, message=HOSTILE, hint=HOSTILE))
    made.attempt.log.write_bytes(HOSTILE.encode() + b"\n\xff\xfe" + b"x" * 5_000_000 + b"\n")
    return made.ended(1, signal=HOSTILE)


@pytest.mark.parametrize("size", [(80, 24), pytest.param((160, 48), marks=WIDER)])
async def test_hostile_text_of_a_run_stands_there_and_does_nothing(home: Home, size: tuple[int, int]) -> None:
    hostile_run(home)
    app = console(home)
    async with app.run_test(size=size) as pilot:
        await until(lambda: "hostile" in screen_text(app))
        assert not FORBIDDEN.search(screen_text(app).replace("\n", ""))
        app.watch_run(RunDirectory(home.runs / "hostile"))
        await until(lambda: app.watched is not None and app.watched.view.ended is not None)
        await until(lambda: "␛]0;owned␇" in screen_text(app))
        await until(lambda: size[0] < 100 or "[red]r[/red] [@click=app.quit]q[/]" in screen_text(app))
        text = screen_text(app)
        assert "␛]0;owned␇" in text
        assert not FORBIDDEN.search(text.replace("\n", ""))
        wide = [row for row in text.splitlines() if cell_len(row) > size[0]]
        assert not wide, [(len(row), cell_len(row), row) for row in wide]
        for y in range(0, size[1], 2):  # a click on [@click=app.quit] would leave
            await pilot.click(offset=(size[0] // 3, y))
        await pilot.press("escape", "escape", "4", "L", "L", "f", "question_mark", "escape")
        assert not FORBIDDEN.search(screen_text(app).replace("\n", ""))
        assert app.is_running


async def test_hostile_presets_and_their_values(home: Home) -> None:
    quickstart = (Path(__file__).parents[2] / "presets" / "quickstart.yaml").read_text()
    title = '"' + "".join(f"\\U{ord(c):08x}" if not c.isprintable() or c in '"\\' else c for c in HOSTILE[:150]) + '"'
    hostile = re.sub(r"title: .*", lambda _: f"title: {title}", quickstart, count=1)
    (home.presets / "aa-hostile.yaml").write_text(hostile)
    (home.presets / "ab-broken[red].yaml").write_text(f"phase: pretrain\n{title}: 1\n")
    app = console(home)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("3")
        await until(lambda: "aa-hostile" in screen_text(app) and "ab-broken[red]" in screen_text(app))
        for _ in range(9):
            await pilot.press("down")
            assert not FORBIDDEN.search(screen_text(app).replace("\n", ""))
        menu = app.screen
        assert isinstance(menu, PresetsScreen)
        names = [entry.name for entry in menu._entries]
        menu.query_one(RowList).move_to(names.index("aa-hostile"))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, FormScreen))
        await pilot.press("f2", "home")
        await until(lambda: "␛]0;owned␇" in screen_text(app))
        assert not FORBIDDEN.search(screen_text(app).replace("\n", ""))


async def test_what_is_typed_cannot_hide(home: Home) -> None:
    app = console(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(lambda: "quickstart" in screen_text(app))
        await pilot.press("enter", "f4")
        await until(lambda: app.screen.query("#typed"))
        field = app.screen.query_one("#typed")
        field.value = ""  # type: ignore[attr-defined]
        field.insert("a\u202eb", 0)  # type: ignore[attr-defined]
        assert field.value == ""  # type: ignore[attr-defined]


async def test_a_message_in_the_corner_is_shown_as_it_is(home: Home) -> None:
    app = console(home)
    async with app.run_test(size=(80, 24), notifications=True):
        app.tell(safe("[/] [red]r[/red] [@click=app.quit]q[/]\x1b[2J"), "error")
        await until(lambda: "[red]r[/red]" in screen_text(app))
        assert "[@click=app.quit]q" in screen_text(app)


async def test_hostile_words_of_a_dialog_stand_in_it(home: Home) -> None:
    app = console(home)
    async with app.run_test(size=(80, 24)):
        app.push_screen(ConfirmDialog(safe("[/] [red]t[/red]"), [safe(MARKUP[:60])], yes=safe("[b]y[/b]")))
        await until(lambda: "[red]t[/red]" in screen_text(app))
        assert "[red]r[/red]" in screen_text(app)
        assert "[b]y[/b]" in screen_text(app)
