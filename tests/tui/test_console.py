"""The console driven by keys, on run directories made by code."""

from __future__ import annotations

import math

import pytest
from textual.widgets import DataTable, Input

from core.run import control
from core.run.directory import Home, RunDirectory
from core.run.lock import RunLock
from tests.tui.driving import console, screen_text, until
from tests.tui.runs_made_by_code import RunMade, failed_run, finished_run, preparing_run, running_run
from tui.console import FootplateApp
from tui.screens.form import FormScreen
from tui.screens.help import HelpScreen
from tui.screens.monitor import MonitorScreen
from tui.screens.runs import RunsScreen
from tui.widgets.chart import ChartView
from tui.widgets.log_view import LogView

MORE = [(60, 20), (30, 8), (10, 3), (300, 100)]
MORE_SIZES = pytest.mark.slow(reason="further sizes of the same screens: half a minute")


def shows(app: FootplateApp, *words: str) -> bool:
    text = screen_text(app)
    return all(word in text for word in words)


async def test_an_empty_home_says_what_to_do(home: Home) -> None:
    app = console(home)
    async with app.run_test(size=(80, 24)):
        await until(lambda: shows(app, "There are no runs yet", "choose a preset", "footplate run quickstart"))


async def test_runs_are_listed_newest_first_with_mark_word_step_and_losses(home: Home) -> None:
    finished_run(home)
    failed_run(home)
    app = console(home)
    async with app.run_test(size=(80, 24)):
        await until(lambda: shows(app, "quickstart", "sft-broken"))
        text = screen_text(app)
        assert text.index("sft-broken") < text.index("quickstart")
        finished = next(line for line in text.splitlines() if " quickstart " in line)
        assert all(part in finished for part in ("✓", "finished", "1,000/1,000", "2.207"))
        failed = next(line for line in text.splitlines() if " sft-broken " in line)
        assert all(part in failed for part in ("✗", "failed", "NaN"))


async def test_enter_opens_the_monitor_with_the_whole_curve_and_q_leaves(home: Home) -> None:
    finished_run(home)
    app = console(home)
    async with app.run_test(size=(160, 48)) as pilot:
        await until(lambda: shows(app, "finished"))
        await pilot.press("enter")
        await until(lambda: app.watched is not None and app.watched.frame is not None and shows(app, "eval 2.207"))
        await until(lambda: app.watched is not None and app.watched.frame is not None and app.watched.frame.panels)
        await until(lambda: all(chart.data is not None for chart in app.screen.query(ChartView)))
        frame = app.watched.frame if app.watched else None
        assert frame is not None
        assert frame.step == 1000
        assert math.isnan(frame.panels["loss"][0].y[0]) is False
        assert frame.panels["loss"][0].odd == (401.0,)
        assert shows(app, "step 1,000 / 1,000", "100.0%", "gradient norm", "learning rate", "main():", "×")
        await pilot.press("q")
    assert app.return_code == 0


async def test_a_failed_run_says_why_and_what_to_do(home: Home) -> None:
    failed_run(home)
    app = console(home)
    async with app.run_test(size=(80, 24)):
        app.watch_run(RunDirectory(home.runs / "sft-broken"))
        await until(lambda: shows(app, "failed with code 6", "the loss is not finite", "Lower the learning rate."))


async def test_preparation_shows_its_stages(home: Home) -> None:
    preparing_run(home)
    app = console(home)
    async with app.run_test(size=(80, 24)):
        app.watch_run(RunDirectory(home.runs / "prepare"))
        await until(lambda: shows(app, "read sources", "tokenize", "36%", "430 of 1,200 documents", "1.2M tokens"))


async def test_opening_a_run_again_does_not_double_its_history(home: Home) -> None:
    finished_run(home)
    failed_run(home)
    app = console(home)
    async with app.run_test(size=(160, 48)) as pilot:
        app.watch_run(RunDirectory(home.runs / "quickstart"))
        await until(lambda: app.watched is not None and len(app.watched.view.evaluations) == 4)
        await pilot.press("1")
        await pilot.pause(0.5)
        await pilot.press("4")
        await pilot.pause(0.8)
        assert app.watched is not None
        assert len(app.watched.view.evaluations) == 4
        app.watch_run(RunDirectory(home.runs / "quickstart"))
        await pilot.pause(0.3)
        assert app.watched is not None
        assert list(app.screen.query_one("#log", LogView).lines) == list(app.watched.log) != []
        app.watch_run(RunDirectory(home.runs / "sft-broken"))
        app.watch_run(RunDirectory(home.runs / "quickstart"))
        await until(lambda: app.watched is not None and len(app.watched.view.evaluations) == 4)
        await pilot.pause(0.6)
        assert len(app.watched.view.evaluations) == 4


async def test_the_monitor_follows_a_run_that_grows(home: Home) -> None:
    made = running_run(home)
    lock = RunLock.acquire(made.run)
    app = console(home)
    try:
        async with app.run_test(size=(160, 48)):
            app.watch_run(made.run)
            await until(lambda: app.watched is not None and app.watched.frame is not None)
            made.rows(420, 440).evaluated(440, 2.5).output("a line of output\n").beat(440, counter=4)
            await until(lambda: shows(app, "step 440 / 1,000", "eval 2.5", "│ a line of output", "● running"))
    finally:
        lock.release()


@pytest.mark.parametrize(("key", "verb"), [("enter", "checkpoint"), ("down", "evaluate")])
async def test_the_control_menu_leaves_a_request(home: Home, key: str, verb: str) -> None:
    made = running_run(home)
    lock = RunLock.acquire(made.run)
    app = console(home)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            app.watch_run(made.run)
            await until(lambda: shows(app, "● running"))
            await pilot.press("c")
            await until(lambda: shows(app, "save a checkpoint now"))
            await pilot.press(*([key] if key == "enter" else [key, "enter"]))
            await until(lambda: [one.verb for one in control.scan(made.run)[0]] == [verb])
    finally:
        lock.release()


async def test_stopping_asks_first(home: Home) -> None:
    made = running_run(home)
    lock = RunLock.acquire(made.run)
    app = console(home)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: shows(app, "running", made.run.name))
            await pilot.press("S")
            await until(lambda: shows(app, "save and stop"))
            await pilot.press("n")
            await pilot.pause(0.3)
            assert control.scan(made.run)[0] == []
            await pilot.press("S")
            await until(lambda: shows(app, "save and stop"))
            await pilot.press("y")
            await until(lambda: [one.verb for one in control.scan(made.run)[0]] == ["stop"])
    finally:
        lock.release()


async def test_control_c_asks_and_a_second_one_leaves(home: Home) -> None:
    app = console(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("ctrl+c")
        await until(lambda: shows(app, "Leave the console?"))
        await pilot.press("ctrl+c")
        await pilot.pause(0.2)
    assert app.return_code == 0


async def test_digits_and_help_go_everywhere(home: Home) -> None:
    app = console(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(lambda: shows(app, "presets", "quickstart"))
        await pilot.press("4")
        await until(lambda: isinstance(app.screen, MonitorScreen) and shows(app, "No run is being watched"))
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, HelpScreen) and shows(app, "Logarithmic y axis"))
        await pilot.press("escape")
        await pilot.press("1")
        await until(lambda: isinstance(app.screen, RunsScreen))


async def test_chart_keys_change_axis_smoothing_zoom_and_read_values(home: Home) -> None:
    finished_run(home)
    app = console(home)
    async with app.run_test(size=(160, 48)) as pilot:
        app.watch_run(RunDirectory(home.runs / "quickstart"))
        await until(lambda: app.watched is not None and app.watched.frame is not None and shows(app, "smooth 0.9"))
        monitor = app.screen
        assert isinstance(monitor, MonitorScreen)
        watched = app.watched
        assert watched is not None
        await pilot.press("x")
        await until(lambda: watched.frame is not None and watched.frame.request.x == "tokens")
        assert watched.frame is not None
        assert watched.frame.last == pytest.approx(2048 * 1000)
        await pilot.press("x", "x", "s", "y", "z")
        await until(lambda: watched.frame is not None and watched.frame.request.zoom == (500.0, 1000.0))
        assert watched.frame.request.smoothing == 0.97
        await until(lambda: shows(app, "log y"))
        await pilot.press("0", "i", "left", "left")
        await until(lambda: watched.frame is not None and watched.frame.cursor_step in range(960, 1000))
        step = watched.frame.cursor_step
        assert step is not None
        values = [curve for curve in watched.frame.panels["loss"]]
        assert watched.frame.cursor_values["train/loss"] == pytest.approx(
            3 * math.exp(-(step - 1) / 300) + 2 + 0.15 * math.sin((step - 1) * 12.9898)
        )
        assert values
        await until(lambda: shows(app, f"step {step:,}"))


async def test_a_wrong_value_stands_beside_its_field_and_blocks_the_start(home: Home) -> None:
    app = console(home)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        await pilot.press("3")
        await until(lambda: shows(app, "presets", "quickstart"))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, FormScreen) and shows(app, "peak learning rate"))
        form = app.screen
        assert isinstance(form, FormScreen)
        index = next(i for i, slot in enumerate(form._slots) if slot.name == "batch.size")
        form.query_one("RowList").move_to(index)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(lambda: app.screen.query("#typed"))
        app.screen.query_one("#typed", Input).value = "seven"
        await pilot.press("enter")
        await until(lambda: shows(app, "1 wrong value"))
        left = [line.split("││")[0] for line in screen_text(app).splitlines()]
        row = next(line for line in left if "seven" in line)
        assert "!" in row
        assert "number" in row
        await pilot.press("f5")
        await until(lambda: shows(app, "This cannot be started"))
        assert list(home.runs.iterdir()) == []
        await pilot.press("u")
        await until(lambda: shows(app, "valid"))


async def test_a_form_starts_a_run_and_goes_to_its_monitor(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr("tui.services.run_actions.launch", lambda run: started.append(run.name) or 1)
    app = console(home)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("3")
        await until(lambda: shows(app, "presets"))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, FormScreen))
        await pilot.press("f5")
        await until(lambda: app.screen.query("#typed"))
        app.screen.query_one("#typed", Input).value = "mine"
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, MonitorScreen) and shows(app, "4 Monitor   mine"))
    assert started == ["mine"]
    assert "peak_learning_rate" in (home.runs / "mine" / "config.yaml").read_text()


async def test_a_union_switch_keeps_what_both_members_have(home: Home) -> None:
    app = console(home)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("3")
        await until(lambda: shows(app, "presets"))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, FormScreen))
        form = app.screen
        assert isinstance(form, FormScreen)
        index = next(i for i, slot in enumerate(form._slots) if slot.name == "schedule.kind")
        form.query_one("RowList").move_to(index)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(lambda: shows(app, "warmup_stable_decay"))
        await pilot.press("home", "enter")
        await until(lambda: shows(app, "→ constant"))
        before, after = form._form.base.values["schedule"], form._form.draft.values["schedule"]
        assert after["peak_learning_rate"] == before["peak_learning_rate"]  # type: ignore[index, call-overload]


async def test_a_broken_preset_is_listed_with_its_problem(home: Home) -> None:
    (home.presets / "broken.yaml").write_text("phase: pretrain\nphase: sft\n")
    app = console(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(lambda: shows(app, "broken", "cannot be run"))


async def test_save_as_writes_a_preset(home: Home) -> None:
    app = console(home)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        await until(lambda: shows(app, "presets"))
        await pilot.press("enter")
        await until(lambda: isinstance(app.screen, FormScreen))
        await pilot.press("f4")
        await until(lambda: app.screen.query("#typed"))
        await pilot.press("enter")
        await until(lambda: (home.presets / "quickstart-mine.yaml").exists())


async def test_more_runs_than_the_cap_are_counted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.services.run_list.CAP", 3)
    for name in "abcde":
        RunMade(home, f"run-{name}")
    app = console(home)
    async with app.run_test(size=(80, 24)):
        await until(lambda: shows(app, "3 of 5 runs"))
        assert app.screen.query_one(DataTable).row_count == 3


@pytest.mark.parametrize("size", [(40, 10), (1, 1), *(pytest.param(size, marks=MORE_SIZES) for size in MORE)])
async def test_every_screen_survives_any_size(home: Home, size: tuple[int, int]) -> None:
    finished_run(home)
    app = console(home)
    async with app.run_test(size=size) as pilot:
        app.watch_run(RunDirectory(home.runs / "quickstart"))
        await until(lambda: app.watched is not None and app.watched.frame is not None)
        for key in ("3", "enter", "question_mark", "escape", "1", "4", "i", "c", "escape", "escape"):
            await pilot.press(key)
            await pilot.pause()
        await pilot.resize_terminal(80, 24)
        await until(lambda: shows(app, "FOOTPLATE"))


async def test_a_bug_is_written_to_a_file_and_told_in_a_line(home: Home) -> None:
    app = console(home)
    with pytest.raises(RuntimeError):
        await _run_and_stumble(app)
    assert app.return_code == 1
    assert "\x1b" not in "".join(words.text for words in app.last_words)
    (written,) = home.path.glob("console-error-*.txt")
    assert "RuntimeError: \x1b]0;owned" in written.read_text()


async def _run_and_stumble(app: FootplateApp) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        app.call_later(_stumble)
        await pilot.pause(0.3)


def _stumble() -> None:
    raise RuntimeError("\x1b]0;owned\x07")
