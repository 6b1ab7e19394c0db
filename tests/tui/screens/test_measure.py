"""What full, LoRA and QLoRA cost, from the form: a table that fills, in helpers of their own, ended by leaving."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.run.directory import Home
from tests.tui.driving import console, screen_text, until
from tui.console import FootplateApp
from tui.screens.form import FormScreen
from tui.screens.measure import MeasureScreen

HELPER = Path(__file__).parents[1] / "measuring_helper.py"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "helper"
    path.mkdir()
    return path


def asked(folder: Path) -> list[dict[str, Any]]:
    log = folder / "questions.jsonl"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def has_ended(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@asynccontextmanager
async def form_of(
    home: Home, preset: str, folder: Path, **environment: str
) -> AsyncIterator[tuple[FootplateApp, Pilot[None]]]:
    """The form of a preset, from the menu, with the helper of these tests."""
    app = console(home, PATH=os.environ["PATH"], **environment)
    app.helper = (sys.executable, str(HELPER), str(folder))
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("3")
        await until(lambda: preset in screen_text(app))
        rows = app.screen.query_one("RowList")
        entries = [entry.name for entry in app.screen._entries]  # type: ignore[attr-defined]
        rows.move_to(entries.index(preset))  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, FormScreen))
        yield app, pilot  # type: ignore[misc]


async def test_the_table_fills_with_each_kind_from_a_process_of_its_own(home: Home, folder: Path) -> None:
    async with form_of(home, "sft-lora-smollm2", folder) as (app, pilot):
        put(app, "adapter.rank", "4")
        await pilot.press("f6")
        await until(lambda: "240" in screen_text(app))
        text = screen_text(app)
        inside = [line.split("█")[1].split() for line in text.splitlines() if line.count("█") == 2]
        rows = {cells[0]: cells for cells in inside if cells}
        assert rows["full"][1:5] == ["100", "1.00", "x", "3.1"]
        assert rows["lora"][1:5] == ["175", "1.75", "x", "1.7"]
        assert rows["qlora"][1:5] == ["240", "2.40", "x", "1.4"]
        assert "0.44 x" in text
        assert "922k (0.7%)" in text
        assert "3 steps of 1,024 tokens (2 of its 8 micro-batches) after a first one" in " ".join(text.split())
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, FormScreen))
    questions = asked(folder)
    assert [question["kind"] for question in questions] == ["full", "lora", "qlora"]
    assert len({question["pid"] for question in questions}) == 3
    assert all(question["verb"] == "measure" and question["steps"] == 3 for question in questions)
    assert all("rank: 4" in question["config"] for question in questions[1:])
    assert "quantization: nf4" in questions[2]["config"]


def put(app: FootplateApp, field: str, text: str) -> None:
    """Give a field of the form another value."""
    form = app.screen
    assert isinstance(form, FormScreen)
    form._form.type_in(next(one for one in form._slots if one.name == field), text)


async def test_leaving_ends_the_helper(home: Home, folder: Path) -> None:
    (folder / "slow").write_text("lora")
    async with form_of(home, "sft-lora-smollm2", folder) as (app, pilot):
        await pilot.press("f6")
        await until(lambda: "lora: step 1 of 4" in screen_text(app))
        assert "100" in screen_text(app)
        pid = asked(folder)[-1]["pid"]
        assert not has_ended(pid)
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, FormScreen) and has_ended(pid))
    assert [question["kind"] for question in asked(folder)] == ["full", "lora"]


async def test_kinds_that_cannot_run_say_why_and_the_next_is_measured(home: Home, folder: Path) -> None:
    (folder / "refuse").write_text("full")
    (folder / "die").write_text("lora")
    async with form_of(home, "sft-lora-smollm2", folder) as (app, pilot):
        await pilot.press("f6")
        await until(lambda: "240" in screen_text(app))
        text = " ".join(screen_text(app).replace("█", " ").split())
        assert "full: there is not memory enough. Buy some." in text
        assert "lora: the helper process ended" in text
        assert "the system ended it" in text
        assert "240 1.00 x" in text, "beside the first that was measured, which is itself"


async def test_what_does_not_hold_is_not_measured(home: Home, folder: Path) -> None:
    async with form_of(home, "quickstart", folder) as (app, pilot):
        await pilot.press("f1")
        await until(lambda: "Measure what full, LoRA and QLoRA cost here" in screen_text(app))
        await pilot.press("escape", "f6")
        await until(lambda: "100" in screen_text(app) and isinstance(app.screen, MeasureScreen))
        assert "lora: adapter.kind must be full with model.kind scratch" in " ".join(screen_text(app).split())
        await pilot.press("escape")
        await until(lambda: isinstance(app.screen, FormScreen))
        put(app, "batch.size", "seven")
        await pilot.press("f6")
        await until(lambda: "This cannot be measured" in screen_text(app))
        assert isinstance(app.screen, FormScreen)
    assert [question["kind"] for question in asked(folder)] == ["full"]


async def test_a_home_that_is_not_there_yet_is_made(tmp_path: Path, folder: Path) -> None:
    async with form_of(Home(tmp_path / "new" / "home"), "quickstart", folder) as (app, pilot):
        await pilot.press("f6")
        await until(lambda: "100" in screen_text(app) and isinstance(app.screen, MeasureScreen))


async def test_a_home_that_cannot_be_made_is_told(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "file").write_text("")
    async with form_of(Home(tmp_path / "file" / "home"), "quickstart", folder) as (app, pilot):
        await pilot.press("f6")
        await until(lambda: "cannot be used as a home" in " ".join(screen_text(app).split()))
        assert isinstance(app.screen, FormScreen)


async def test_a_preparation_is_not_measured(home: Home, folder: Path) -> None:
    async with form_of(home, "prepare-code", folder) as (app, pilot):
        await pilot.press("f6")
        await until(lambda: "trains nothing" in screen_text(app))
    assert asked(folder) == []
