"""What filters of a finished preparation dropped, from the monitor; the helper is the real one."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from core.data.cleaning.report import FilterCounts, FilterReport, Report, SourceCounts
from core.data.formats.conversation import Conversation, Turn
from core.run.directory import Home, RunDirectory
from core.run.events import Failed, Finished, Progress, Started
from tests.tui.driving import console, screen_text, until
from tests.tui.runs_made_by_code import RunMade, preparing_run
from tui.screens.monitor import MonitorScreen
from tui.screens.report import ReportScreen

NOTE = ("455,000 documents, 6,961/s; dropped: instruction_quality.truncated 12,345, instruction_quality.refusal 98, "
        "exact_duplicates.duplicate 4,321, language.language 1,234, gopher_quality.short 9, length.too_short 77")


def prepared_run(home: Home) -> RunDirectory:
    """A preparation of ten conversations, of which filters dropped three."""
    made = RunMade(home, "prepared")
    made.event(Started(phase="prepare"))
    made.event(Progress(stage="reading", done=10, total=10, unit="documents", note="dropped: length.too_short 2"))
    made.event(Finished(step=None, facts={}))
    made.ended(0)
    folder = made.run.data
    folder.mkdir()
    first = FilterCounts(input=10, kept=8, dropped={"length.too_short": 2})
    second = FilterCounts(input=8, kept=7, dropped={"exact_duplicates.duplicate": 1}, changed={})
    source = SourceCounts(source="data.sources[0] (path, /a/chats\x1b[2J.jsonl)", format="messages", rows=11,
                          documents=10, empty=0, bad={"json": 1}, repaired={}, kept=7)  # fmt: skip
    report = Report(documents=10, kept=7, sources=[source], filters=[
        FilterReport(filter="length", settings={}, counts=first),
        FilterReport(filter="exact_duplicates", settings={}, counts=second)])  # fmt: skip
    (folder / "report.json").write_text(json.dumps(report.as_json()))
    chat = Conversation((Turn("user", "Name a [red]river[/red]\x1b[2J"), Turn("assistant", "Po"))).dumped()
    short = {"filter": 0, "rule": "length.too_short", "value": "characters: 2 < 50", "source": 0,
             "place": "/a/chats.jsonl:4", "characters": len(chat), "text": chat}  # fmt: skip
    double = short | {"filter": 1, "rule": "exact_duplicates.duplicate", "value": "as /a/chats.jsonl:1"}
    (folder / "dropped.jsonl").write_text("".join(json.dumps(row) + "\n" for row in (short, double)))
    return made.run


@pytest.mark.parametrize("size", [(80, 24), (160, 48), (60, 16)])
async def test_enter_on_a_finished_preparation_shows_what_filters_dropped(home: Home, size: tuple[int, int]) -> None:
    run = prepared_run(home)
    app = console(home)
    async with app.run_test(size=size) as pilot:
        await until(lambda: "prepared" in screen_text(app))
        await pilot.press("enter")
        await until(lambda: app.watched is not None and app.watched.view.is_prepared)
        await until(lambda: "⏎  what each filter dropped, and why" in screen_text(app))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, ReportScreen) and "7 of 10 kept" in screen_text(app), 60)
        text = screen_text(app)
        assert "chats␛[2J.jsonl" in text
        assert "! json 1" in text
        await pilot.press("j")
        await pilot.pause()
        text = screen_text(app)
        assert "✗ too short characters: 2 < 50" in text
        assert "│ Name a [red]river[/red]␛[2J" in text
        assert re.search(r"│ Po\b|J Po\b", text)
        await pilot.press("j")
        await pilot.pause()
        assert "✗ duplicate as chats.jsonl:1" in screen_text(app)
        await pilot.press("tab", "k")  # in the documents now
        await pilot.pause()
        assert "✗ duplicate as chats.jsonl:1" in screen_text(app)
        await pilot.press("tab", "k")
        await pilot.pause()
        assert "✗ too short" in screen_text(app)
        await pilot.press("escape")
        await pilot.pause()
        assert isinstance(app.screen, MonitorScreen)
        assert app.watched is not None
        assert app.watched.run == run


async def test_a_report_that_is_gone_is_said(home: Home) -> None:
    run = prepared_run(home)
    (run.data / "report.json").unlink()
    app = console(home)
    async with app.run_test(size=(80, 24)) as pilot:
        app.watch_run(run)
        await until(lambda: app.watched is not None and app.watched.view.is_prepared)
        await pilot.press("enter")
        await until(lambda: "✗" in screen_text(app) and "report.json" in screen_text(app).replace("\n", ""), 60)
        await pilot.press("q")
        await pilot.pause()
        assert isinstance(app.screen, MonitorScreen)


async def test_a_preparation_that_runs_has_no_report_yet(home: Home) -> None:
    preparing_run(home)
    app = console(home)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        app.watch_run(RunDirectory(home.runs / "prepare"))
        await until(lambda: "430 of 1,200" in screen_text(app))
        assert "charts" not in screen_text(app)
        await pilot.press("enter")
        await until(lambda: "once the run has finished" in screen_text(app))
        assert isinstance(app.screen, MonitorScreen)


@pytest.mark.parametrize("size", [(80, 24), (60, 16)])
async def test_counts_by_rule_can_be_read_in_a_small_terminal(home: Home, size: tuple[int, int]) -> None:
    made = RunMade(home, "prepare")
    made.event(Started(phase="prepare"))
    for number in range(1, 8):
        made.event(Progress(stage=f"filtering ({number})", done=9e6, total=9e6, unit="bytes", note=NOTE))
    made.event(Progress(stage="reading", done=0, total=94e6, unit="bytes", note=NOTE))
    made.event(Progress(stage="reading", done=47e6, total=94e6, unit="bytes", note=NOTE))
    made.beat(0, "preparing")
    app = console(home)
    async with app.run_test(size=size):
        app.watch_run(made.run)
        await until(lambda: "47M of 94M bytes" in screen_text(app))
        text = " ".join(screen_text(app).split())
        for words in ("455,000 documents, 6,961/s", "truncated 12,345", "length.too_short 77"):
            assert words in text


@pytest.mark.parametrize("size", [(80, 24), (60, 16)])
async def test_why_a_preparation_failed_is_said_to_its_end(home: Home, size: tuple[int, int]) -> None:
    made = RunMade(home, "prepare")
    made.event(Started(phase="prepare"))
    message = "expected documents that stay, found none: the filters dropped all of 150,000 documents"
    hint = "Loosen the filters in a new run; a command tries them on a sample first."
    made.event(Failed(exit_code=5, message=message, hint=hint))
    made.ended(5)
    app = console(home)
    async with app.run_test(size=size):
        app.watch_run(made.run)
        await until(lambda: message in " ".join(screen_text(app).split()))
        assert hint in " ".join(screen_text(app).split())


def test_a_file_of_dropped_rows_stays_readable_where_a_document_looks_like_a_conversation(tmp_path: Path) -> None:
    from core.queries.filter_report import dropped_in

    rows = [{"rule": "r", "text": '[{"role": "user", "conte', "characters": 99}, {"rule": "r", "text": '[{"role": 1}]'}]
    (tmp_path / "dropped.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert list(dropped_in(tmp_path)) == rows
