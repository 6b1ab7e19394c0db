"""The command `footplate` with a worker that only says things: `driver.py BEHAVIOUR ARGUMENT...`."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import tui.__main__ as command_line
import tui.commands.run
from core.run.launch import launch

FAKE = Path(__file__).with_name("fake_worker.py")

if __name__ == "__main__":
    worker = [sys.executable, str(FAKE), sys.argv[1]]
    tui.commands.run.launch = partial(launch, worker=worker)  # type: ignore[assignment]
    sys.exit(command_line.main(sys.argv[2:]))
