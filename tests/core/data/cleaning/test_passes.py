"""One pass over one unit: whom it asks whether to go on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from core.config.data import InstructionData, TextData
from core.data.cleaning.passes import folder_of, run_unit
from core.data.cleaning.plan import begin, make_plan
from core.data.progress import PreparationStopped, Work, silent

DATA: TypeAdapter[TextData | InstructionData] = TypeAdapter(TextData | InstructionData)


@pytest.mark.parametrize("bad", [{"text": ""}, {"text": 5}, [], {"instruction": "a", "output": ""}])
def test_rows_that_give_nothing_are_heard_of_too(tmp_path: Path, bad: object) -> None:
    kind = "instructions" if isinstance(bad, dict) and "instruction" in bad else "text"
    good = {"text": "a", "instruction": "b", "output": "c"}
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [good] + [bad] * 300))
    tokenizer = {"kind": "train"}
    values = {"kind": kind, "sources": [{"kind": "json", "path": str(path)}], "tokenizer": tokenizer, "max_bad_rows": 1}
    data = DATA.validate_json(json.dumps(values))
    begin(tmp_path, make_plan(data, 1, Work(silent, bool)))
    folder_of(tmp_path, 0).mkdir()
    heard = 0

    def stop_at_last(documents: int) -> None:
        nonlocal heard
        heard += 1
        if heard == 200:
            raise PreparationStopped

    with pytest.raises(PreparationStopped):
        run_unit(tmp_path, 0, 0, stop_at_last)
    assert not list(folder_of(tmp_path, 0).iterdir())
