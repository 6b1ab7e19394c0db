from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from core.config.filters import Filter
from core.data.filters.build import DocumentFilter, instruction_filter, text_filter
from core.data.filters.verdict import Changed, Dropped
from core.data.formats import Conversation, Turn

TEXTS = [
    "",
    "short",
    "The river is wide and the hills are high. " * 20,
    "\n\n".join(f"The {word} of the river was seen by all of us that day." for word in ("bank", "bed", "mouth") * 5),
    "Mail me@site.org or 8.8.8.8.\nLorem ipsum { }",
    "\ud800\0 " * 40,
    "这条河很宽。" * 30,
]  # fmt: skip


@pytest.mark.parametrize(
    "kind",
    ["length", "language", "gopher_quality", "gopher_repetition", "c4_quality", "fineweb_quality", "personal_data",
     "deidentify", "contamination"],
)  # fmt: skip
def test_every_kind_judges_and_says_the_same_again(kind: str, tmp_path: Path) -> None:
    (tmp_path / "reference.txt").write_text(TEXTS[2], encoding="utf-8")
    more = {"references": [str(tmp_path / "reference.txt")]} if kind == "contamination" else {}
    config: DocumentFilter = TypeAdapter(Filter).validate_python({"kind": kind, **more})
    first, second = text_filter(config), text_filter(config)
    verdicts = [first(text) for text in TEXTS]
    assert any(verdicts)
    assert not all(isinstance(verdict, Dropped) for verdict in verdicts)
    assert [first(text) for text in reversed(TEXTS)] == verdicts[::-1]
    assert [second(text) for text in TEXTS] == verdicts
    for verdict in verdicts:
        match verdict:
            case Dropped():
                assert verdict.rule.startswith(f"{kind}.")
                assert 0 < len(verdict.value) <= 200
            case Changed():
                assert all(verdict.counts.values())
            case None:
                pass


def test_instructions_have_a_filter_of_their_own() -> None:
    config = TypeAdapter(Filter).validate_python({"kind": "instruction_quality"})
    judged = instruction_filter(config)(Conversation((Turn("user", "Why?"), Turn("assistant", " "))))
    assert judged == Dropped("instruction_quality.response_too_short", "0 < 1")
