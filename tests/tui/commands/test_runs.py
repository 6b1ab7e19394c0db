"""The list of runs as objects."""

from __future__ import annotations

import io
import json

from core.run.directory import RunDirectory
from core.run.event_log import EventWriter
from core.run.events import Evaluated, Series, Started
from tui.commands.context import Context
from tui.commands.runs import runs


def test_a_held_out_reward_is_no_loss(piped: Context) -> None:
    reward = Series(name="eval/reward", title="held-out reward", panel="reward", lower_is_better=False)
    run = RunDirectory(piped.home.runs / "g")
    run.path.mkdir(parents=True, mode=0o700)
    run.config.write_text("phase: grpo\n")
    writer = EventWriter(run.events, 1)
    writer.write(Started(phase="grpo", series=(reward,)))
    writer.write(Evaluated(step=5, values={"eval/reward": 2.5}, tokens=1, seconds=0.0))
    writer.close()
    assert runs(piped, as_json=True) == 0
    assert isinstance(piped.output, io.StringIO)
    row = json.loads(piped.output.getvalue())
    assert (row["held_out_series"], row["held_out"], row["held_out_loss"]) == ("eval/reward", 2.5, None)
