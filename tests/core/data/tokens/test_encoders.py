"""What is accepted of each kind of data, and which has marks of source code."""

from __future__ import annotations

import json
from typing import Any

from core.config.data import InstructionData
from core.config.preferences import PreferenceData, PromptData
from core.data.tokens.encoders import accepted_by, syntax_of

SOURCES = [{"kind": "json", "path": "x"}]


def section(kind: type[Any], name: str, **fields: Any) -> Any:
    return kind.model_validate_json(json.dumps({"kind": name, "sources": SOURCES, **fields}))


def test_prompts_accept_what_stopped_the_fine_tuning_of_their_policy() -> None:
    assert accepted_by(section(PromptData, "prompts")) == ("double_begin", "no_end_of_turn")
    assert accepted_by(section(PreferenceData, "preferences", accept=["double_begin"])) == ["double_begin"]


def test_instructions_may_have_marks_of_source_code_and_answers_to_judge_have_none() -> None:
    assert syntax_of(section(InstructionData, "instructions", syntax="auto")) == "auto"
    assert syntax_of(section(PromptData, "prompts")) is None
