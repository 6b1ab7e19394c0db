"""What the console asks of runs."""

from __future__ import annotations

import pytest

from core.config.presets import SHIPPED_PRESETS, dump_config, load_preset, resolve
from core.errors import UsageError
from core.run.directory import Home
from core.run.launch import create_run
from core.run.private import make_folder
from tui.services.run_actions import start


def test_a_start_that_would_do_nothing_is_refused_as_on_the_command_line(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []
    monkeypatch.setattr("tui.services.run_actions.launch", lambda run: started.append(run.name))
    config = resolve(load_preset(SHIPPED_PRESETS / "quickstart.yaml"), ["schedule.warmup_steps=1", "schedule.steps=6"])
    run = create_run(home, "tiny", "tiny", dump_config(config))
    start(run)
    make_folder(run.checkpoints, root=run.path)
    make_folder(run.checkpoint(7), root=run.path)
    with pytest.raises(UsageError, match="has a checkpoint of step 7"):
        start(run)
    assert started == ["tiny"]
