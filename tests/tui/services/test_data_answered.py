"""Pairs, judged answers and prompts in the Data screen: what is asked, and what the answers look like."""

from __future__ import annotations

import pytest

from core.config.yaml_text import Value
from tui.services.data_answers import DataKind, Inspection, PreviewRow, tokens_of
from tui.services.data_draft import kind_of, new_form, question_training, take_kind
from tui.services.data_sample import template_lines, token_lines
from tui.services.styled import Line


def text_of(one: Line) -> str:
    return "".join(text.text for text, _ in one.left)


def side(name: str, *, counted: bool = True, **more: object) -> dict[str, object]:
    tokens = [{"id": 1, "text": "ask", "loss": False}, {"id": 2, "text": name, "loss": counted}]
    return {"tokens": tokens, "side": name, "text": f"ask {name}", **more}


def test_both_sides_of_a_pair_are_named_with_what_counts() -> None:
    row = tokens_of(side("chosen", further=[side("rejected")]))
    lines = [text_of(one) for one in token_lines(row, 60)]
    assert lines[0] == "chosen  2 tokens, 1 counted"
    assert "rejected  2 tokens, 1 counted" in lines
    assert not any("example 2" in line for line in lines)
    assert next(text_of(one) for one in template_lines(row, 60)) == "chosen  2 tokens, 1 counted"


def test_of_a_prompt_nothing_counts_and_that_is_as_it_should_be() -> None:
    row = tokens_of(side("prompt", counted=False, further=[side("answer", counted=False)]))
    lines = [text_of(one) for one in token_lines(row, 60)]
    assert lines[0] == "prompt  2 tokens"
    assert not any("counts nothing" in line for line in lines)


def test_an_answer_that_comes_with_a_prompt_is_shown() -> None:
    row = PreviewRow.of({"place": "a:1", "turns": [{"role": "user", "text": "2+2?"}], "answer": {"text": "4"}})
    assert row.parts == (("user", "2+2?"), ("answer", "4"))


@pytest.mark.parametrize(
    ("says", "kind"),
    [("preference", "preferences"), ("judged", "preferences"), ("prompts", "prompts"), ("alpaca", "instructions")],
)
def test_a_source_suggests_its_kind(says: str, kind: DataKind) -> None:
    assert Inspection.of({"format": says}).kind == kind
    assert Inspection.of({"files": [{"path": "a", "format": says}, {"path": "b", "format": says}]}).kind == kind
    assert Inspection.of({"format": "text"}).kind == "text"


@pytest.mark.parametrize("kind", ["preferences", "prompts", "instructions", "text"])
def test_every_kind_is_taken_with_the_sources_that_there_are(kind: DataKind) -> None:
    form = new_form("rows.jsonl")
    take_kind(form, kind)
    assert kind_of(form) == kind
    assert not form.wrong
    data = form.draft.values["data"]
    assert isinstance(data, dict)
    if kind != "text":
        assert data["tokenizer"] == {"kind": "load", "path": "smollm2"}, "rows are for a model that exists"
    assert data["sources"] == [{"kind": "path", "path": "rows.jsonl"}]


def test_damage_is_asked_for_with_the_seed_that_draws_it() -> None:
    form = new_form("rows.jsonl")
    take_kind(form, "preferences")
    assert question_training(form) == {}
    damage: Value = {"rule": "repeat"}
    slot = next(slot for slot in form.slots if slot.path == ("data", "damage", "rule"))
    form.put(slot, damage["rule"])
    assert question_training(form) == {"seed": 17}
