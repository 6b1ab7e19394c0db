"""The table at the end of a run: before and after by stage and series, whatever the phases are."""

from __future__ import annotations

import io
import json
import math
import os

import pytest

from core.run.directory import Home, RunDirectory
from core.run.event_log import EventWriter
from core.run.events import Evaluated, Series, Started
from core.run.stages import StageRun, write_stages
from tests.tui.commands.conftest import Terminal
from tui.commands.comparison import tell_comparison
from tui.commands.context import Context

REWARD = Series(name="eval/reward", title="reward \x1b[31m", panel="reward", lower_is_better=False)
LENGTH = Series(name="eval/response_length", title="response length", unit="tokens", panel="length")
LOSS = Series(name="eval/loss", title="held-out loss", panel="loss", lower_is_better=True)


def evaluated(home: Home, name: str, series: tuple[Series, ...], *values: tuple[float, ...]) -> RunDirectory:
    """A run that evaluated these series at steps 0, 10, 20, ..."""
    run = RunDirectory(home.runs / name)
    run.path.mkdir(parents=True, mode=0o700)
    writer = EventWriter(run.events, 1)
    writer.write(Started(phase="anything", series=series))
    for number, row in enumerate(values):
        named = {one.name: value for one, value in zip(series, row, strict=True)}
        writer.write(Evaluated(step=10 * number, values=named, tokens=1, seconds=0.0))
    writer.close()
    return run


def pipeline(home: Home) -> RunDirectory:
    made = evaluated(home, "p", ())
    evaluated(home, "p-data", ())
    evaluated(home, "p-sft", (LOSS,), (2.5,))
    evaluated(home, "p-ppo", (REWARD, LENGTH), (-1.25, 30.0), (0.5, 20.0), (0.75, math.nan))
    write_stages(made, {name: StageRun(f"p-{name}") for name in ("data", "sft", "ppo")})
    return made


def printed(context: Context) -> str:
    assert isinstance(context.output, io.StringIO)
    return context.output.getvalue()


def test_a_row_for_each_stage_and_series(piped: Context) -> None:
    tell_comparison(pipeline(piped.home), piped, as_json=False)
    lines = [line.split() for line in printed(piped).splitlines()]
    assert lines == [
        [],
        ["stage", "run", "measured", "at", "step", "before", "at", "step", "after"],
        ["data", "p-data"],
        ["sft", "p-sft", "held-out", "loss", "0", "2.5"],
        ["ppo", "p-ppo", "reward", "␛[31m", "0", "-1.25", "20", "0.75", "better"],
        ["response", "length", "(tokens)", "0", "30", "20", "NaN"],
    ]


def test_a_narrow_terminal_has_no_column_of_runs(on_terminal: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    for columns, width, named in ((200, 100, True), (70, 70, False), (40, 40, False)):
        monkeypatch.setattr("shutil.get_terminal_size", lambda columns=columns: os.terminal_size((columns, 24)))
        place = Context(Home(on_terminal.home.path / str(columns)), on_terminal.environment, Terminal(), io.StringIO(),
                        True)  # fmt: skip
        tell_comparison(pipeline(place.home), place, as_json=False)
        assert max(map(len, printed(place).splitlines())) <= width
        assert ("p-ppo" in printed(place)) is named
        assert "ppo" in printed(place)


def test_the_same_as_objects(piped: Context) -> None:
    tell_comparison(pipeline(piped.home), piped, as_json=True)
    loss, reward, length = [json.loads(line) for line in printed(piped).splitlines()]
    assert (loss["stage"], loss["before"], loss["after"], loss["better"]) == ("sft", 2.5, 2.5, None)
    assert reward == {
        "type": "before_after", "stage": "ppo", "run": "p-ppo", "series": "eval/reward", "title": "reward \x1b[31m",
        "unit": "", "first_step": 0, "before": -1.25, "last_step": 20, "after": 0.75, "better": True,
    }  # fmt: skip
    assert length["after"] == "nan"


def test_a_run_of_its_own_has_no_names_of_stages(piped: Context) -> None:
    tell_comparison(evaluated(piped.home, "alone", (REWARD,), (1.0,), (0.5,)), piped, as_json=False)
    assert printed(piped).splitlines()[2].split() == ["reward", "␛[31m", "0", "1", "10", "0.5", "worse"]


def test_a_held_out_loss_is_said_in_the_summary_already(piped: Context) -> None:
    tell_comparison(evaluated(piped.home, "alone", (LOSS,), (1.0,), (0.5,)), piped, as_json=False)
    tell_comparison(evaluated(piped.home, "silent", ()), piped, as_json=True)
    assert printed(piped) == ""
