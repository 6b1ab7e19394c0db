"""The Data screen against a small helper process that speaks the lines of core/query.py."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from core.config.presets import list_presets
from core.run.directory import Home
from tests.tui.driving import console, screen_text, until
from tests.tui.test_hostile_text import CONTROLS, FORBIDDEN, MARKUP
from tui.console import FootplateApp
from tui.forms.form_state import FormState, value_at
from tui.screens.data import DataScreen
from tui.screens.data_editing import go_to
from tui.screens.dialogs import TextDialog
from tui.screens.form import FormScreen
from tui.services.data_draft import Step, items, new_form

HELPER = Path(__file__).parents[1] / "data_helper.py"
TEXTS = [f"line {number} " + "x" * (number * 10) for number in range(10)]

WIDER = pytest.mark.slow(reason="the same text at another size")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("\n".join(TEXTS))
    return tmp_path


def with_helper(home: Home, folder: Path, **environment: str) -> FootplateApp:
    app = console(home, **environment)
    app.helper = [sys.executable, str(HELPER), str(folder)]
    return app


def questions(folder: Path, verb: str) -> list[dict[str, Any]]:
    path = folder / "questions.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [one for one in map(json.loads, lines) if one["verb"] == verb]


def data_screen(app: FootplateApp) -> DataScreen:
    assert isinstance(app.screen, DataScreen)
    return app.screen


async def opened(app: FootplateApp, pilot: Pilot[Any], path: Path) -> DataScreen:
    """The screen with one source, about which everything was answered."""
    await pilot.press("2")
    screen = data_screen(app)
    screen.begin(new_form(str(path)), is_new=True)
    await settled(screen, pilot)
    return screen


async def settled(screen: DataScreen, pilot: Pilot[Any]) -> None:
    """Wait until the draft was tried and nothing is awaited."""
    await until(lambda: not screen.state.waiting and not screen.state.is_stale)
    await pilot.pause()


async def add_length(screen: DataScreen, pilot: Pilot[Any]) -> None:
    """Add the length filter by its menu, where it is the first."""
    go_to(screen, next(row.step for row in screen.state.rows() if row.step.kind == "add_filter"))
    await pilot.press("enter")
    await pilot.pause()
    await pilot.press("enter")
    await pilot.pause()
    await settled(screen, pilot)


async def test_an_empty_screen_says_how_to_begin_and_n_takes_a_path(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        assert "point at a file or a folder" in screen_text(app)
        await pilot.press("n")
        await until(lambda: isinstance(app.screen, TextDialog))
        await pilot.press(*str(folder / "a.txt"), "enter")
        await until(lambda: "1 bad 10" in screen_text(app))
        await until(lambda: "10 of 10 kept of a sample" in screen_text(app))
        assert "│ line 0" in screen_text(app)


async def test_a_path_that_is_not_there_is_said_and_nothing_is_asked(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("2", "n")
        await until(lambda: isinstance(app.screen, TextDialog))
        await pilot.press(*"/no/such", "enter")
        await until(lambda: "There is no /no/such" in screen_text(app))
        assert data_screen(app).state.form is None
    assert questions(folder, "inspect") == []


async def test_rows_of_a_known_format_are_prepared_as_instructions(home: Home, folder: Path) -> None:
    (folder / "chat.txt").write_text("Name a river")
    app = with_helper(home, folder)
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(app, pilot, folder / "chat.txt")
        text = screen_text(app)
        assert "chat  instructions" in text
        assert re.search(r"rows say +messages", text)
        assert "assistant · the loss counts it" in text
    assert questions(folder, "preview")[0]["data"]["kind"] == "instructions"


async def test_counts_per_rule_follow_what_is_typed(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await opened(app, pilot, folder / "a.txt")
        await add_length(screen, pilot)
        text = screen_text(app)
        assert "5 -50.0%" in text
        assert re.search(r"too short +5 █████····· 50.0%", text)
        assert "✗ too short characters: 7" in text
        assert "│ line 1 xxxxxxxxxx" in text
        await pilot.press("j", "j", "enter")
        await pilot.pause()
        began = time.monotonic()
        await pilot.press("backspace", "backspace", "3", "0")
        await until(lambda: "7 -30.0%" in screen_text(app))
        assert time.monotonic() - began < 3  # a second on a quiet machine
        await pilot.press("escape")
        await until(lambda: "5 -50.0%" in screen_text(app))
        assert value_at(screen.state.form.draft.values, ("data", "filters", 0)) == {"kind": "length"}  # type: ignore[union-attr]


async def test_arrows_make_a_number_larger_and_smaller_within_its_bounds(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await opened(app, pilot, folder / "a.txt")
        await add_length(screen, pilot)
        await pilot.press("j", "j", *["right"] * 8)
        await settled(screen, pilot)
        assert "4 -60.0%" in screen_text(app)  # 57 for 50
        await pilot.press("u")
        await settled(screen, pilot)
        assert "5 -50.0%" in screen_text(app)
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("backspace", "backspace", "0", "enter", "left")
        await settled(screen, pilot)
        assert screen.state.form is not None
        assert screen.state.form.problem_count == 0
        assert value_at(screen.state.form.draft.values, ("data", "filters", 0, "min_characters")) == 0


async def test_several_keys_in_a_row_make_one_trial(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, folder / "a.txt")
        await add_length(screen, pilot)
        before = len(questions(folder, "filter_report"))
        await pilot.press("j", "j", "enter")
        await pilot.pause()
        await pilot.press("backspace", "backspace", "1", "0", "5", "enter")
        await until(lambda: "10 of 10 kept" not in screen_text(app))
        await settled(screen, pilot)
        asked = [one["data"]["filters"][0]["min_characters"] for one in questions(folder, "filter_report")[before:]]
        assert asked[-1] == 105
        assert len(asked) <= 2
        assert len(questions(folder, "inspect")) == 1
        assert len(questions(folder, "preview")) == 1


async def test_a_wrong_value_is_marked_and_asked_about_no_more(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(160, 48), notifications=True) as pilot:
        screen = await opened(app, pilot, folder / "a.txt")
        await add_length(screen, pilot)
        asked = len(questions(folder, "filter_report"))
        await pilot.press("j", "j", "enter")
        await pilot.pause()
        await pilot.press("x", "enter")
        await until(lambda: "1 wrong value" in screen_text(app))
        await pilot.pause(0.3)
        assert len(questions(folder, "filter_report")) == asked
        await pilot.press("f5")
        await until(lambda: "cannot be started" in screen_text(app))


async def test_filters_are_moved_and_taken_out_by_keys(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, folder / "a.txt")
        form = screen.state.form
        assert form is not None
        await add_length(screen, pilot)
        go_to(screen, next(row.step for row in screen.state.rows() if row.step.kind == "add_filter"))
        await pilot.press("enter")
        await pilot.pause()
        await pilot.press("j", "enter")
        await pilot.pause()
        go_to(screen, Step("filter", 1, ("data", "filters", 1)))
        await pilot.press("K")
        assert [one["kind"] for one in items(form, ("data", "filters"))] == ["language", "length"]
        assert screen.row is not None
        assert screen.row.step.index == 0  # the cursor went with it
        await pilot.press("J")
        await pilot.press("delete")
        assert [one["kind"] for one in items(form, ("data", "filters"))] == ["length"]
        await settled(screen, pilot)
        assert "5 -50.0%" in screen_text(app)


async def test_rows_are_leafed_through_as_text_and_as_tokens(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, folder / "a.txt")
        await pilot.press("right_square_bracket", "right_square_bracket")
        assert "row 3/10" in screen_text(app)
        assert "│ line 2 xxxxxxxxxxxxxxxxxxxx" in screen_text(app)
        await pilot.press("t")
        await settled(screen, pilot)
        text = screen_text(app)
        assert "row 3/10 · 12 tokens, 4 in the loss" in text
        assert "░ Name▏ a river▏⟨<|im_end|>⟩▏↵▏" in text
        assert "█ The▏ Loire▏.▏⟨<|im_end|>⟩▏" in text
        await pilot.press("v")
        assert "░ Name" not in screen_text(app)
        assert "█ The▏ Loire" in screen_text(app)
        await pilot.press("v", "left_square_bracket")
        await settled(screen, pilot)
        assert "line 1 xxxxxxxxxx▏" in screen_text(app)
        assert [one["row"] for one in questions(folder, "tokens")] == [2, 1]
        await pilot.press(*["right_square_bracket"] * 20)
        assert "row 10/10" in screen_text(app)
        await pilot.press("f")
        await pilot.pause()
        assert "sources and filters" not in screen_text(app)
        assert "row 10/10" in screen_text(app).splitlines()[1]
        await pilot.press("f")
        await pilot.pause()
        assert "sources and filters" in screen_text(app)


async def test_an_instruction_is_also_shown_as_the_template_writes_it(home: Home, folder: Path) -> None:
    (folder / "chat.txt").write_text("Name a river")
    app = with_helper(home, folder)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, folder / "chat.txt")
        await pilot.press("t")
        await settled(screen, pilot)
        assert "as the template writes it · template chat" in screen_text(app)
        assert "The Loire.<|im_end|>" in screen_text(app)


async def test_lengths_languages_and_the_estimate(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, folder / "a.txt")
        await pilot.press("H")
        text = screen_text(app)
        assert re.search(r"the whole +≈ 100 kept", text)
        assert re.search(r"tokens +≈ 2,000, 4.0 KB on disk", text)
        assert "characters a document" in text
        assert "▁" not in text.split("characters a document")[0]
        await pilot.press("tab", "G")
        await pilot.pause()
        assert re.search(r"fr +1 █·········", screen_text(app))


@pytest.mark.parametrize(
    ("name", "words"), [("broken.txt", "line 3: expected UTF-8"), ("dead.txt", "ended without an answer")]
)
async def test_what_cannot_be_read_is_said_with_a_hint(home: Home, folder: Path, name: str, words: str) -> None:
    (folder / name).write_text("x")
    app = with_helper(home, folder)
    async with app.run_test(size=(160, 48)) as pilot:
        screen = await opened(app, pilot, folder / name)
        text = " ".join(screen_text(app).replace("│", " ").split())
        assert words in text
        assert ("Fix the file." if name == "broken.txt" else "footplate doctor") in text
        (folder / name).rename(folder / "was")
        (folder / "a.txt").rename(folder / "fine.txt")
        assert screen.state.form is not None
        screen.state.form.put(next(one for one in screen.state.form.slots if one.path[-1] == "path"),
                              str(folder / "fine.txt"))  # fmt: skip
        screen.changed()
        await pilot.pause(0.3)
        await settled(screen, pilot)
        assert "10 of 10 kept of a sample" in screen_text(app)


async def test_rows_without_a_text_are_shown_by_their_columns_and_counted_as_bad(home: Home, folder: Path) -> None:
    (folder / "a.txt").rename(folder / "columns.txt")
    app = with_helper(home, folder)
    async with app.run_test(size=(160, 48)) as pilot:
        await opened(app, pilot, folder / "columns.txt")
        text = screen_text(app)
        assert "no documents, 10 bad rows" in text
        assert "! columns.txt:1: expected the field 'text'" in text
        assert re.search(r"title *│\n.*line 0", text)
        assert re.search(r"size *│\n.*│ 3", text)


async def test_a_preset_whose_paths_are_not_there_says_so(
    home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    app = with_helper(home, folder)
    async with app.run_test(size=(160, 48)) as pilot:
        await pilot.press("2")
        path = next(entry.path for entry in list_presets(home.presets) if entry.name == "prepare-instructions")
        data_screen(app).begin(FormState.load("prepare-instructions", path), is_new=False)
        await until(lambda: "the trial failed" in screen_text(app))
        assert f"there is no {folder / 'instructions.jsonl'}" in data_screen(app).state.refusals["preview"].message
        await until(lambda: "there is no" in screen_text(app))
    assert questions(folder, "filter_report") == []


async def test_escape_gives_up_a_question_that_takes_long_and_f6_asks_again(home: Home, folder: Path) -> None:
    (folder / "slow.txt").write_text("x")
    app = with_helper(home, folder)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        screen = data_screen(app)
        screen.begin(new_form(str(folder / "slow.txt")), is_new=True)
        await until(lambda: questions(folder, "inspect"))
        await pilot.pause()
        assert "looking at it" in screen_text(app)
        await pilot.press("escape")
        assert not screen.state.waiting
        await pilot.press("f6")
        await until(lambda: len(questions(folder, "inspect")) == 2)


async def test_f5_tells_what_will_run_and_starts_it(home: Home, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[str, str]] = []
    app = with_helper(home, folder)
    monkeypatch.setattr(app, "create_and_start", lambda name, stem, config: started.append((name, config)))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, folder / "a.txt")
        await add_length(screen, pilot)
        await pilot.press("f5")
        await until(lambda: isinstance(app.screen, TextDialog))
        await pilot.pause()
        text = screen_text(app)
        assert "Of a sample of 10, 5 stay." in text
        assert "In all about 1,000 tokens, 2.0 KB on disk." in text
        assert "Filters: length" in text
        await pilot.press("enter")
        await until(lambda: started)
    name, config = started[0]
    assert name == "a"
    assert "phase: prepare" in config
    assert "kind: length" in config


async def test_a_preset_of_prepare_can_be_begun_with_and_saved(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(80, 48)) as pilot:
        await pilot.press("2", "f3")
        await until(lambda: "prepare-instructions" in screen_text(app))
        entries = [entry.name for entry in list_presets(home.presets) if entry.phase == "prepare"]
        await pilot.press(*["j"] * entries.index("prepare-instructions"), "enter")
        await until(lambda: "prepare-instructions  instructions" in screen_text(app))
        await pilot.press("f4")
        await until(lambda: isinstance(app.screen, TextDialog))
        await pilot.press("enter")
        await until(lambda: (home.presets / "prepare-instructions-mine.yaml").exists())
        await pilot.press("3")
        await until(lambda: "prepare-instructions-mine" in screen_text(app))
        assert not isinstance(app.screen, FormScreen)


@pytest.mark.parametrize("size", [(80, 24), *(pytest.param(size, marks=WIDER) for size in [(160, 48), (40, 10)])])
async def test_hostile_text_of_data_stands_there_and_does_nothing(
    home: Home, folder: Path, size: tuple[int, int]
) -> None:
    (folder / "chat\x1b[2J[red].txt").write_text("\n".join([f"{MARKUP} {CONTROLS.replace(chr(0), '')} 漢漢 " * 3] * 8))
    app = with_helper(home, folder)
    async with app.run_test(size=size) as pilot:
        screen = await opened(app, pilot, folder / "chat\x1b[2J[red].txt")
        await add_length(screen, pilot)
        for key in ("t", "v", "t", "t", "H", "H", "tab", "j", "right_square_bracket", "f2", "question_mark", "escape"):
            await pilot.press(key)
            await pilot.pause()
            text = screen_text(app)
            assert not FORBIDDEN.search(text.replace("\n", "")), key
            assert [row for row in text.splitlines() if cell_len(row) > size[0]] == [], key
        for y in range(0, size[1], 2):  # a click on [@click=app.quit] would leave
            await pilot.click(offset=(size[0] // 3, y))
        await pilot.press("escape")
        assert app.is_running
        if size[0] > 100:
            assert "[red]r[/red] [@click=app.quit]q[/]" in screen_text(app)


async def test_the_helper_ends_with_the_console(home: Home, folder: Path) -> None:
    app = with_helper(home, folder)
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await opened(app, pilot, folder / "a.txt")
        process = screen._questions._process
        assert process is not None
        assert process.poll() is None
    await until(lambda: process.poll() is not None)
