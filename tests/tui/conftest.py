from __future__ import annotations

from pathlib import Path

import pytest

from core.run.directory import Home
from tests.tui.runs_made_by_code import a_home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A home with its folders, as the first run makes it."""
    return a_home(tmp_path)
