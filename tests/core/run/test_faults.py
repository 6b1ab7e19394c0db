from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from core.errors import UsageError
from core.run import faults
from tests.core.run.conftest import ROOT


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.activate("")


def test_a_point_fires_at_its_count_and_only_then() -> None:
    faults.activate("save:enospc:3,other:eio")
    faults.fault("save")
    faults.fault("unknown")
    faults.fault("save")
    with pytest.raises(OSError, match="No space"):
        faults.fault("save")
    faults.fault("save")
    assert faults.fired() == {"save": 1, "other": 0}


def test_kill9_ends_the_process_there() -> None:
    code = (
        "from core.run.faults import *; activate('here:kill9:2')\n"
        "fault('here'); print('on'); fault('here'); print('not reached')"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1"}, check=False,
    )  # fmt: skip
    assert answer.returncode == -signal.SIGKILL
    assert answer.stdout == "on\n"
    assert "fault fired: here:kill9" in answer.stderr


@pytest.mark.parametrize("text", ["save", "save:explode", "save:eio:x", "save:eio:1:2", "save:eio:-1"])
def test_what_is_no_fault_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="POINT:ACTION"):
        faults.activate(text)
