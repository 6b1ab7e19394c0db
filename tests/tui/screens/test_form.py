"""What the form says of runs and files that this machine lacks, and which keys it names."""

from __future__ import annotations

from pathlib import Path

from core.config.presets import SHIPPED_PRESETS
from core.run.directory import Home
from tests.core.config.made_runs import made_run
from tests.tui.driving import console, screen_text, until
from tui.forms.form_state import FormState
from tui.screens.form import FormScreen
from tui.screens.form_keys import hints


async def test_a_run_that_is_missing_at_the_start_stands_beside_its_field(tmp_path: Path) -> None:
    home = Home(tmp_path)
    app = console(home)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        screen = FormScreen(FormState.load("ppo-llama-8b", SHIPPED_PRESETS / "ppo-llama-8b.yaml"))
        await app.push_screen(screen)
        await until(lambda: "valid" in screen_text(app))
        await pilot.press("f5")
        await until(lambda: "1 wrong value" in screen_text(app))
        slot = screen._slot()
        assert slot is not None
        assert slot.name == "rewards.0.run"
        assert "Train it first" in screen_text(app).replace("\n", "")
        made_run(home.runs, "reward-llama-8b", "reward")
        await pilot.press("f5")
        await until(lambda: app.screen.query("#typed"))
        assert screen._form.problem_count == 0


def test_measuring_is_offered_where_it_can_be_done() -> None:
    phases = ("pretrain", "sft", "ppo", "pipeline")
    offered = {phase: "F6" in [hint.key for hint in hints(phase)[0]] for phase in phases}
    assert offered == {"pretrain": True, "sft": True, "ppo": False, "pipeline": False}
