"""What a pass leaves of a unit on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.data.cleaning.unit_files import Item, UnitFiles, UnitWriter
from core.data.construction import writer_name


def test_what_was_begun_on_a_full_disk_is_removed(tmp_path: Path) -> None:
    files = UnitFiles(tmp_path, 3)
    files.path(f"items.{writer_name()}").symlink_to("/dev/full")
    writer = UnitWriter(files, columns=0, samples=1)
    writer.add(Item("train", 0, "a.txt", "text"))
    with pytest.raises(OSError, match="No space left"):
        writer.close(None, {})
    writer.abandon()
    assert list(tmp_path.iterdir()) == []
