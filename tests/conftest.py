"""What many tests need: a home of their own, and an environment in which commands run as processes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from core.run.directory import Home

# One thread here and in every process that a test starts, before torch is read: sums in another order are other bits,
# and whether a run in this process equals one in its own must not depend on the machine, or on which test came before.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

ROOT = Path(__file__).parent.parent


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home in the test's own folder, private as Footplate makes it."""
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return Home(path)


@pytest.fixture
def environment(home: Home) -> dict[str, str]:
    """An environment for subprocesses: this checkout, this home, one thread, no network, no colours of the caller."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH", "SYSTEMROOT") if name in os.environ}
    return {
        **kept,
        "FOOTPLATE_HOME": str(home.path),
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "LANG": "C.UTF-8",
        "TERM": "xterm-256color",
    }


@pytest.fixture
def footplate() -> list[str]:
    """The command `footplate` of this checkout, as the beginning of an argv."""
    return [sys.executable, "-m", "tui"]
