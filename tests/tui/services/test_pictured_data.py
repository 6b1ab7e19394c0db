"""The rows and the preparation of which pictures are made."""

from __future__ import annotations

import json
from pathlib import Path

from core.data.inspection import inspect
from core.run.directory import Home
from tui.services.data_draft import question_data
from tui.services.pictured_data import pictured_form, write_rows


def test_the_rows_are_alpaca_rows_and_the_preparation_of_them_holds(tmp_path: Path) -> None:
    rows = write_rows(tmp_path)
    assert inspect(rows).format == "alpaca"
    first = json.loads(rows.read_text(encoding="utf-8").splitlines()[0])
    assert first["input"].startswith("statistics: def ")
    assert first["output"]
    form = pictured_form(rows, Home(tmp_path))
    assert form.problem_count == 0
    data = question_data(form, tmp_path)
    assert [one["kind"] for one in data["filters"]] == ["instruction_quality", "exact_duplicates", "near_duplicates"]
    assert data["tokenizer"]["kind"] == "train"
    (tmp_path / "cache" / "models" / "smollm2").mkdir(parents=True)
    assert question_data(pictured_form(rows, Home(tmp_path)), tmp_path)["tokenizer"]["kind"] == "load"
