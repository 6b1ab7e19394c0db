"""What the screens look like: few pictures, with the clock, the machine and the home held still.

After a change that is meant to be seen: `pytest tests/tui/test_snapshots.py --snapshot-update`, and look at the report.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from core.config.presets import find_preset
from core.run.directory import Home, RunDirectory
from core.run.launch import make_home
from core.run.status import RunStatus
from tests.tui.alignment_runs import failed_ppo, pipeline_run, ppo_run
from tests.tui.driving import console, screen_text, until
from tests.tui.runs_made_by_code import PRESET, T0, failed_run, finished_run, running_run
from tui.console import FootplateApp
from tui.forms.form_state import FormState
from tui.messages import MachineSeen
from tui.screens.form import FormScreen
from tui.services.machine import GpuReading, MachineReading
from tui.services.run_list import RunRow, is_live
from tui.widgets.chart import ChartView
from tui.widgets.row_list import RowList

SIZES = [(80, 24), (160, 48)]
READING = MachineReading(
    cpu=37.0, cores=16, memory_used=38_000_000_000, memory_total=128_000_000_000, disk_free=412_000_000_000,
    disk_total=1_000_000_000_000, gpus=(GpuReading("NVIDIA H100", 97.0, 61_000_000_000, 80_000_000_000, 642.0, 71.0),),
)  # fmt: skip
Compare = Callable[..., bool]


@pytest.fixture
def still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home by a relative name, and nothing that differs from one run of the tests to the next."""
    monkeypatch.chdir(tmp_path)
    home = Home(Path("home"))
    make_home(home)

    def status(run: RunDirectory, watch: object = None) -> RunStatus:
        match run.name:
            case "pretrain-small":
                words = "running: training at step 420"
                return RunStatus("running", words, 1, None, 4242, "gpu-07", 420, "training", 3.0)
            case "rlhf":
                finished = RunStatus("finished", "finished", 1, 0, 4246, "gpu-07", 0)
                words = "running: stage align"
                running = RunStatus("running", words, 1, None, 4246, "gpu-07", 0, "stage align", 1.0)
                return finished if run.attempt(1).exit.exists() else running
            case "ppo-broken":
                words = "failed, exit code 6: the KL is not finite"
                return RunStatus("failed", words, 1, 6, 4247, "gpu-07", 60)
            case "ppo-smollm2" | "rlhf-align" if not run.attempt(1).exit.exists():
                words = "running: writing responses"
                return RunStatus("running", words, 1, None, 4245, "gpu-07", 60, "generating", 2.0)
            case "sft-broken":
                return RunStatus("failed", "failed, exit code 6: the loss is not finite", 1, 6, 4243, "gpu-07", 299)
            case _:
                return RunStatus("finished", "finished", 1, 0, 4244, "gpu-07", 1000)

    def age(row: RunRow, now: float | None = None) -> float:
        return 3.0 if is_live(row.state) else 7200.0

    monkeypatch.setattr("tui.services.event_feed.read_status", status)
    monkeypatch.setattr("tui.services.run_list.read_status", status)
    monkeypatch.setattr("tui.services.runs_text.age_seconds", age)
    monkeypatch.setattr("tui.services.words.clock_text", lambda wall: "14:02:11")
    monkeypatch.setattr("tui.services.curves.seconds_of", lambda wall: T0 - 1)
    monkeypatch.setattr("tui.services.event_feed.MachineWatch.run", lambda self: self._post(MachineSeen(READING)))
    return home


def compare(
    snap_compare: Compare, home: Home, size: tuple[int, int], before: Callable[[FootplateApp], Awaitable[None]]
) -> bool:
    app = console(home)

    async def run_before(pilot: Pilot[Any]) -> None:
        await before(app)
        await pilot.pause(0.3)

    return snap_compare(app, terminal_size=size, run_before=run_before)


@pytest.mark.parametrize("size", SIZES)
def test_runs_empty(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    async def before(app: FootplateApp) -> None:
        await until(lambda: "There are no runs" in screen_text(app))

    assert compare(snap_compare, still, size, before)


@pytest.mark.parametrize("size", SIZES)
def test_runs_running_failed_finished(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    finished_run(still)
    failed_run(still)
    running_run(still)

    async def before(app: FootplateApp) -> None:
        await until(lambda: "3 of 3 runs" in screen_text(app))

    assert compare(snap_compare, still, size, before)


async def watched(app: FootplateApp, name: str, words: str) -> None:
    app.watch_run(RunDirectory(app.home.runs / name))
    await until(lambda: "NVIDIA" in screen_text(app) or "gpu0" in screen_text(app))
    await until(lambda: app.watched is not None and app.watched.frame is not None and app.watched.frame.panels)
    charts = app.screen.query(ChartView)
    await until(lambda: words in screen_text(app) and not any(one.is_due for one in charts if one.display))


@pytest.mark.parametrize("size", SIZES)
def test_monitor_running(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    running_run(still)

    async def before(app: FootplateApp) -> None:
        await watched(app, "pretrain-small", "eval 2.9")

    assert compare(snap_compare, still, size, before)


@pytest.mark.parametrize("size", SIZES)
def test_monitor_failed(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    failed_run(still)

    async def before(app: FootplateApp) -> None:
        await watched(app, "sft-broken", "failed with code 6")

    assert compare(snap_compare, still, size, before)


def test_monitor_running_without_colour(snap_compare: Compare, still: Home) -> None:
    running_run(still)
    app = console(still, NO_COLOR="1", LANG="C", LC_ALL="C")

    async def run_before(pilot: Pilot[Any]) -> None:
        await watched(app, "pretrain-small", "eval 2.9")
        await pilot.pause(0.3)

    assert snap_compare(app, terminal_size=(80, 24), run_before=run_before)


@pytest.mark.parametrize("size", SIZES)
def test_form_with_a_wrong_value(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    (still.presets / "mine.yaml").write_text(PRESET.replace("{size: 8,", "{size: 7,"))

    async def before(app: FootplateApp) -> None:
        app.push_screen(FormScreen(FormState.load("mine", still.presets / "mine.yaml")))
        await until(lambda: "wrong value" in screen_text(app))
        await app.screen.run_action("screen.problem")

    assert compare(snap_compare, still, size, before)


@pytest.mark.parametrize("size", SIZES)
def test_help(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    async def before(app: FootplateApp) -> None:
        app.action_help()
        await until(lambda: "the state of a run" in screen_text(app) or "everywhere" in screen_text(app))

    assert compare(snap_compare, still, size, before)


@pytest.mark.parametrize("size", SIZES)
def test_form_of_a_pipeline(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    path = find_preset("quickstart-rlhf", still.presets)

    async def before(app: FootplateApp) -> None:
        app.push_screen(FormScreen(FormState.load("quickstart-rlhf", path)))
        await until(lambda: "pipeline 4" in screen_text(app))
        app.screen.query_one(RowList).move_to(4)
        await app.screen.run_action("screen.fold")

    assert compare(snap_compare, still, size, before)


@pytest.mark.parametrize("size", SIZES)
def test_monitor_of_rollouts_running(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    ppo_run(still)

    async def before(app: FootplateApp) -> None:
        await watched(app, "ppo-smollm2", "eval reward 0.87")
        if size[0] < 100:
            await app.screen.run_action("screen.log")

    assert compare(snap_compare, still, size, before)


def test_monitor_of_rollouts_without_colour(snap_compare: Compare, still: Home) -> None:
    ppo_run(still)
    app = console(still, NO_COLOR="1", LANG="C", LC_ALL="C")

    async def run_before(pilot: Pilot[Any]) -> None:
        await watched(app, "ppo-smollm2", "eval reward 0.87")
        await pilot.pause(0.3)

    assert snap_compare(app, terminal_size=(160, 48), run_before=run_before)


@pytest.mark.parametrize("size", SIZES)
def test_monitor_of_rollouts_failed(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    failed_ppo(still)

    async def before(app: FootplateApp) -> None:
        await watched(app, "ppo-broken", "Lower the rate.")

    assert compare(snap_compare, still, size, before)


@pytest.mark.parametrize("size", SIZES)
def test_runs_with_a_pipeline(snap_compare: Compare, still: Home, size: tuple[int, int]) -> None:
    pipeline_run(still)

    async def before(app: FootplateApp) -> None:
        await until(lambda: "4 of 4 runs" in screen_text(app) and "polish" in screen_text(app))

    assert compare(snap_compare, still, size, before)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("is_done", [False, True])
def test_monitor_of_a_pipeline(snap_compare: Compare, still: Home, size: tuple[int, int], is_done: bool) -> None:
    made = pipeline_run(still, is_done=is_done)

    async def before(app: FootplateApp) -> None:
        app.watch_run(made.run)
        await until(lambda: "NVIDIA" in screen_text(app) or "gpu0" in screen_text(app))
        await until(lambda: "+0.43 better" in screen_text(app) or (is_done and "+1.29 better" in screen_text(app)))
        await until(lambda: app.watched is not None and app.watched.frame is not None)

    assert compare(snap_compare, still, size, before)
