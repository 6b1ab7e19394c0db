from __future__ import annotations

from typing import Any

import pytest

from core.config.presets import problems
from tests.core.config.cases import draft, text_data


def _problems(kind: str = "text", **source: Any) -> list[tuple[str, str]]:
    data: dict[str, Any] = {**text_data("path"), "kind": kind}
    data["sources"][0].update(source)
    if kind == "instructions":
        data["tokenizer"] = {"kind": "load", "path": "gpt2"}
    found = problems(draft({"phase": "prepare", "about": {"title": "A case"}, "data": data}))
    return [(problem.path, problem.message) for problem in found]


def test_what_holds_is_silent() -> None:
    assert _problems(text_template="{a}[[ {b}]]") == []
    assert _problems(format="xml", record="drug", text_template="{name}") == []
    assert _problems("instructions", format="xml", record="pair") == []


@pytest.mark.parametrize(
    ("kind", "source", "field", "words"),
    [
        ("text", {"text_template": "{a"}, "text_template", "has { at character 1"),
        ("text", {"text_template": "{a} ]]"}, "text_template", "has ]] at character 5"),
        ("text", {"text_template": "{a}", "columns": {"text": "b"}}, "columns.text", "stands beside text_template"),
        ("instructions", {"text_template": "{a}"}, "text_template", "makes the text of documents"),
        ("text", {"format": "xml"}, "record", "is missing"),
        ("text", {"record": "drug"}, "record", "counts only with format: xml"),
        ("text", {"record": "drug", "format": "csv"}, "record", "counts only with format: xml"),
        ("text", {"group": "a b"}, "group", "must be text that matches ^[a-z0-9_]{1,40}$"),
    ],
)
def test_what_cannot_mean_anything_is_refused(kind: str, source: dict[str, Any], field: str, words: str) -> None:
    ((place, message),) = _problems(kind, **source)
    assert place == f"data.sources.0.{field}"
    assert words in message
