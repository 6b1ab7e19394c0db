"""A pipeline in the list of runs and in its monitor, by keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.run.directory import Home, RunDirectory
from core.run.lock import RunLock
from tests.tui.alignment_runs import pipeline_run, ppo_run
from tests.tui.driving import console, screen_text, until
from tui.console import FootplateApp


@pytest.fixture(autouse=True)
def no_guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits a second for how a run ended whose heartbeat was made by code just now."""
    monkeypatch.setattr("core.run.status._JUST_LOST_SECONDS", 0.0)


def shows(app: FootplateApp, *words: str) -> bool:
    text = screen_text(app)
    return all(word in text for word in words)


async def test_stages_are_folded_and_opened_and_lead_to_their_monitor_and_back(home: Home) -> None:
    pipeline_run(home)
    app = console(home)
    async with app.run_test(size=(120, 30), notifications=True) as pilot:
        await until(lambda: shows(app, "▾ rlhf", "judge", "polish", "waiting"))
        await pilot.press("o")
        await until(lambda: shows(app, "▸ rlhf") and not shows(app, "judge"))
        await pilot.press("o")
        await until(lambda: shows(app, "▾ rlhf", "judge"))
        await pilot.press("down", "down", "enter")
        await until(lambda: app.watched is not None and app.watched.run.name == "rlhf-judge")
        await pilot.press("escape")
        await until(lambda: app.watched is not None and app.watched.run.name == "rlhf")
        await until(lambda: shows(app, "before and after", "+0.43 better", "align", "polish", "waiting"))
        await pilot.press("end", "enter")
        await until(lambda: shows(app, "Stage polish of rlhf has no run"))
        await pilot.press("escape")
        await until(lambda: app.current_mode == "runs")


async def test_the_stage_that_runs_is_under_the_cursor(home: Home) -> None:
    made = pipeline_run(home)
    lock = RunLock.acquire(made.run)
    inner = RunLock.acquire(RunDirectory(home.runs / "rlhf-align"))
    app = console(home)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            app.watch_run(made.run)
            await until(lambda: shows(app, "● align", "60/200"))
            await pilot.press("enter")
            await until(lambda: app.watched is not None and app.watched.run.name == "rlhf-align")
    finally:
        inner.release()
        lock.release()


async def test_a_pipeline_that_runs_is_asked_to_stop(home: Home) -> None:
    made = pipeline_run(home)
    lock = RunLock.acquire(made.run)
    app = console(home)
    try:
        async with app.run_test(size=(80, 24)) as pilot:
            await until(lambda: shows(app, "▾ rlhf", "running"))
            await pilot.press("g", "S")
            await until(lambda: shows(app, "Stop rlhf?"))
            await pilot.press("y")
            await until(lambda: asked(made.run.path))
    finally:
        lock.release()


def asked(run: Path) -> list[Path]:
    return list((run / "control").glob("*.json"))


async def test_a_zoom_ends_with_its_run_and_needs_a_chart(home: Home) -> None:
    ppo, pipeline = ppo_run(home), pipeline_run(home)
    app = console(home)
    async with app.run_test(size=(120, 30)) as pilot:
        app.watch_run(ppo.run)
        await until(lambda: shows(app, "reward", "smooth 0.9"))
        await pilot.press("z", "z")
        await until(lambda: shows(app, "zoom ×4 · 0 whole"))
        app.watch_run(pipeline.run)
        await until(lambda: shows(app, "before and after", "held-out accuracy", "+0.43 better"))
        await pilot.press("z", "f")
        assert shows(app, "no samples")
        app.watch_run(RunDirectory(home.runs / "rlhf-align"))
        await until(lambda: shows(app, "rlhf-align", "smooth 0.9", "models in memory") and not shows(app, "zoom ×"))


async def test_samples_with_marked_tokens_and_the_menu_of_charts(home: Home) -> None:
    made = ppo_run(home)
    app = console(home)
    async with app.run_test(size=(160, 48)) as pilot:
        app.watch_run(made.run)
        await until(lambda: shows(app, "reward 0.87  kl 4.9", "KL of the token, nats: from 0.1", "1/14"))
        assert shows(app, "models in memory policy, reference,", "eval response length 31.5", "best eval reward")
        await pilot.press("m")
        await until(lambda: shows(app, "Charts", "explained variance"))
        await pilot.press("down", "down", "down", "down", "enter")
        await until(lambda: shows(app, "5/14"))
