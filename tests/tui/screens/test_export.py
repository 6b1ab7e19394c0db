"""The export of a finished run, from the list of runs and from the monitor, with a helper of these tests."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.run.directory import Home, RunDirectory
from core.run.launch import make_home
from tests.tui.driving import console, screen_text, until
from tests.tui.runs_made_by_code import finished_run
from tui.console import FootplateApp
from tui.screens.dialogs import MenuDialog, TextDialog
from tui.screens.export import ExportScreen
from tui.screens.monitor import MonitorScreen
from tui.screens.runs import RunsScreen
from tui.widgets.row_list import RowList

HELPER = Path(__file__).parents[1] / "export_helper.py"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "helper"
    path.mkdir()
    (path / "how").write_text("ready")
    monkeypatch.chdir(tmp_path)
    return path


def asked(folder: Path) -> list[dict[str, Any]]:
    log = folder / "questions.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def with_model(run: RunDirectory, name: str = "adapter_config.json") -> RunDirectory:
    run.model.mkdir()
    (run.model / name).write_text("{}")
    return run


def text_of(app: FootplateApp) -> str:
    return " ".join(screen_text(app).replace("█", " ").split())


@asynccontextmanager
async def runs_of(home: Home, folder: Path) -> AsyncIterator[tuple[FootplateApp, Pilot[None]]]:
    app = console(home, PATH=os.environ["PATH"])
    app.helper = (sys.executable, str(HELPER), str(folder))
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(lambda: "quickstart" in screen_text(app))
        yield app, pilot  # type: ignore[misc]


async def test_an_adapter_is_exported_and_where_it_lies_is_said(home: Home, folder: Path, tmp_path: Path) -> None:
    run = with_model(finished_run(home))
    async with runs_of(home, folder) as (app, pilot):
        await pilot.press("e")
        await until(lambda: isinstance(app.screen, ExportScreen) and "merged with its base" in screen_text(app))
        await pilot.press("down", "enter", "enter")
        await until(lambda: "bf16" in screen_text(app))
        await pilot.press("down", "enter")
        await until(lambda: "yes" in screen_text(app))
        await pilot.press("down", "enter")
        await until(lambda: isinstance(app.screen, TextDialog))
        await pilot.press("end", "minus", "2", "enter")
        await until(lambda: "quickstart-export-2" in text_of(app) and isinstance(app.screen, ExportScreen))
        await pilot.press("down", "enter")
        await until(lambda: "It lies in" in text_of(app))
        text = text_of(app)
        assert "the merged model, stored as bf16: 7 files, 270.0 MB" in text
        assert "6.4e-07 of the largest logit" in text
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, RunsScreen))
    (question,) = asked(folder)
    del question["pid"]
    assert question == {
        "verb": "export", "run": str(run.path.absolute()), "to": str(tmp_path / "quickstart-export-2"),
        "adapter_only": False, "dtype": "bf16", "max_shard_size": "5GB", "gguf": True, "push": "", "private": True,
    }  # fmt: skip


async def test_an_adapter_alone_has_neither_type_nor_gguf(home: Home, folder: Path) -> None:
    with_model(finished_run(home))
    async with runs_of(home, folder) as (app, pilot):
        await pilot.press("e", "down", "down", "enter")
        await until(lambda: "yes" in screen_text(app))
        await pilot.press("g", "enter")
        await until(lambda: "the adapter alone" in screen_text(app))
        choices = app.screen.query_one(RowList)
        assert [row.left[0][0].text.split() for row in choices.rows] == [["form"], ["folder"], ["export"]]
        assert choices.size.height == 3
        await pilot.press("enter")
        await until(lambda: "as stored" in screen_text(app))
        await pilot.press("enter", "G", "enter")
        await until(lambda: "It lies in" in text_of(app))
    (question,) = asked(folder)
    assert (question["adapter_only"], question["dtype"], question["gguf"]) == (True, None, False)


async def test_a_refusal_is_shown_as_it_is_and_can_be_tried_again(home: Home, folder: Path) -> None:
    with_model(finished_run(home), "config.json")
    (folder / "how").write_text("refuse")
    async with runs_of(home, folder) as (app, pilot):
        await pilot.press("e")
        await until(lambda: isinstance(app.screen, ExportScreen) and "as stored" in screen_text(app))
        assert "merged" not in screen_text(app), "all parameters were trained: there is one form only"
        await pilot.press("G", "enter")
        await until(lambda: "the disk [red]is full" in text_of(app))
        assert "Free some space." in text_of(app)
        await pilot.press("g", "enter")
        await until(lambda: "fp32" in screen_text(app))
        assert "Free some space." not in text_of(app), "it was about another wish"
        (folder / "how").write_text("ready")
        await pilot.press("G", "enter")
        await until(lambda: "It lies in" in text_of(app))
    assert len(asked(folder)) == 2


async def test_leaving_ends_what_is_not_done(home: Home, folder: Path) -> None:
    with_model(finished_run(home))
    (folder / "how").write_text("slow")
    async with runs_of(home, folder) as (app, pilot):
        await pilot.press("e", "G", "enter")
        await until(lambda: "merging: 1 of 3 steps" in text_of(app))
        assert "stop it and go back" in text_of(app)
        await pilot.press("enter", "up", "enter")  # nothing changes meanwhile
        (question,) = asked(folder)
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, RunsScreen))
        await until(lambda: _has_ended(question["pid"]))
    assert len(asked(folder)) == 1


def _has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def test_a_run_without_a_model_says_so(home: Home, folder: Path) -> None:
    finished_run(home)
    async with runs_of(home, folder) as (app, pilot):
        await pilot.press("e")
        await until(lambda: "has made no model yet" in screen_text(app))
        assert isinstance(app.screen, RunsScreen)
    assert not asked(folder)


async def test_the_monitor_exports_by_its_key_and_from_its_menu(home: Home, folder: Path) -> None:
    with_model(finished_run(home))
    async with runs_of(home, folder) as (app, pilot):
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, MonitorScreen) and "finished" in screen_text(app))
        await pilot.press("e")
        await until(lambda: isinstance(app.screen, ExportScreen))
        await pilot.press("escape", "question_mark", "pagedown")
        await until(lambda: "The model of a finished run in a folder of its own" in screen_text(app))
        await pilot.press("escape")
        await until(lambda: app.watched is not None and app.watched.state is not None)
        await pilot.press("c")
        await until(lambda: isinstance(app.screen, MenuDialog) and "export its model" in screen_text(app))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, ExportScreen))


def test_the_dialog_looks_so(
    snap_compare: Callable[..., bool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tui.screens.export.default_folder", lambda run: Path("/home/me/quickstart-export"))
    home = Home(Path("home"))
    make_home(home)
    run = with_model(finished_run(home))
    app = console(home)
    app._follow = False

    async def before(pilot: Pilot[Any]) -> None:
        # What lies behind the dialog is part of the picture.
        await until(lambda: "reading the list of runs" in screen_text(app))
        app.push_screen(ExportScreen(run))
        await until(lambda: isinstance(app.screen, ExportScreen) and "quickstart-export" in screen_text(app))
        app.screen_stack[0].refresh()
        await until(lambda: "FOOTPLATE" in app.export_screenshot())
        await pilot.pause(0.3)

    assert snap_compare(app, terminal_size=(80, 24), run_before=before)
