"""Lists in the form, by keys."""

from __future__ import annotations

from pathlib import Path

from core.config.presets import find_preset
from core.run.directory import Home
from tests.tui.driving import console, screen_text, until
from tui.forms.form_state import FormState, value_at
from tui.screens.form import FormScreen


async def test_a_stage_is_opened_and_closed_and_a_reward_is_added_and_taken_out(home: Home, tmp_path: Path) -> None:
    form = FormState.load("quickstart-rlhf", find_preset("quickstart-rlhf", tmp_path))
    app = console(home)
    async with app.run_test(size=(160, 48)) as pilot:
        app.push_screen(FormScreen(form))
        await until(lambda: "pipeline 4" in screen_text(app))
        assert "value begins with" not in screen_text(app)
        await pilot.press("down", "down", "down", "down", "down", "o")
        await until(lambda: "rewards 1" in screen_text(app))
        row = next(index for index, slot in enumerate(form.visible()) if slot.path[2:] == ("rewards", 0, "kind"))
        await pilot.press(*["down"] * (row - 5), "plus")
        await until(lambda: "Add to pipeline.3.rewards" in screen_text(app))
        await pilot.press("down", "down", "enter")
        await until(lambda: "rewards 2" in screen_text(app) and "wrong value" in screen_text(app))
        rewards = value_at(form.draft.values, ("pipeline", 3, "rewards"))
        assert rewards == [{"kind": "run", "run": "judge"}, {"kind": "python"}]
        await pilot.press("delete")
        await until(lambda: "rewards 2" not in screen_text(app) and "valid" in screen_text(app))
        await pilot.press("o")
        await until(lambda: "rewards 1" not in screen_text(app))


async def test_the_next_problem_opens_the_stage_in_which_it_is(home: Home, tmp_path: Path) -> None:
    form = FormState.load("quickstart-rlhf", find_preset("quickstart-rlhf", tmp_path))
    slot = next(slot for slot in form.slots if slot.path == ("pipeline", 2, "batch", "size"))
    form.put(slot, 0)
    app = console(home)
    async with app.run_test(size=(160, 48)) as pilot:
        app.push_screen(FormScreen(form))
        await until(lambda: "wrong value" in screen_text(app))
        await pilot.press("exclamation_mark")
        await until(lambda: "pipeline.2.batch.size: required" in screen_text(app))


async def test_a_rollout_is_not_measured_and_the_words_say_why(home: Home, tmp_path: Path) -> None:
    form = FormState.load("grpo-gsm8k-smollm2", find_preset("grpo-gsm8k-smollm2", tmp_path))
    app = console(home)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        app.push_screen(FormScreen(form))
        await until(lambda: "rewards 1" in screen_text(app))
        await pilot.press("f6")
        await until(lambda: "a step of the phase" in screen_text(app) and "␊" not in screen_text(app))
