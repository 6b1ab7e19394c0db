from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.data.manifest import MANIFEST, read_manifest
from core.errors import DataError


def test_data_of_another_version_is_refused_by_that(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_text(json.dumps({"version": 2, "kind": "text"}))
    with pytest.raises(
        DataError, match="prepared by another version of Footplate: its manifest has version 2"
    ) as raised:
        read_manifest(tmp_path)
    assert "Prepare the data anew" in raised.value.hint


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 3}'])
def test_what_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(DataError, match="expected a manifest of version"):
        read_manifest(tmp_path)
