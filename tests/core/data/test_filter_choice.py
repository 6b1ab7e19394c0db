from __future__ import annotations

from pathlib import Path

import pytest

from core.config.data import InstructionData, TextData, TrainedTokenizer
from core.config.filters import ExactDuplicatesFilter, InstructionFilter, LengthFilter
from core.config.preferences import PreferenceData, PromptData
from core.config.sources import JSONSource
from core.data.filter_choice import check_filters, usual_filters, with_filters_of
from core.errors import ConfigurationError, UsageError

SOURCE = JSONSource(kind="json", path="rows.jsonl")
TEXT = TextData(kind="text", sources=[SOURCE], tokenizer=TrainedTokenizer(kind="train"))
INSTRUCTIONS = InstructionData(kind="instructions", sources=[SOURCE])
PREFERENCES = PreferenceData(kind="preferences", sources=[SOURCE])
PROMPTS = PromptData(kind="prompts", sources=[SOURCE])


def _file(folder: Path, text: str) -> Path:
    path = folder / "filters.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text",
    [
        "filters:\n- {kind: length, min_characters: 7}\n",
        "phase: prepare\nabout: {title: t}\ndata:\n  kind: text\n  filters:\n  - {kind: length, min_characters: 7}\n",
    ],
)
def test_filters_of_a_file(text: str, tmp_path: Path) -> None:
    found = with_filters_of(TEXT, _file(tmp_path, text))
    assert found == TEXT.model_copy(update={"filters": [LengthFilter(kind="length", min_characters=7)]})


def test_filters_for_instructions(tmp_path: Path) -> None:
    found = with_filters_of(INSTRUCTIONS, _file(tmp_path, "filters: [{kind: instruction_quality}]"))
    assert found.filters == [InstructionFilter(kind="instruction_quality")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("filters: [{kind: lenght}]", "did you mean length"),
        ("filters:\n- kind: length\n  min_characters: -1\n", "filters.yaml:3: data.filters.0.min_characters"),
        ("filters: [{kind: instruction_quality}]", "looks at answers"),
        ("filters: [7]", "data.filters.0"),
        ("filters: [", ""),
    ],
)
def test_filters_that_do_not_hold(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        with_filters_of(TEXT, _file(tmp_path, text))
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["phase: prepare", "filters: 3", "filters: {kind: length}", "data: {kind: text}"])
def test_a_file_without_filters(text: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a list"):
        with_filters_of(TEXT, _file(tmp_path, text))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="does not exist"):
        with_filters_of(TEXT, tmp_path / "nothing.yaml")


def test_the_usual_filters_fit_the_data() -> None:
    for data in (TEXT, INSTRUCTIONS, PREFERENCES, PROMPTS):
        filters = usual_filters(data)
        assert filters
        check_filters(data.model_copy(update={"filters": filters}))
    for data, words in ((TEXT, "documents"), (PROMPTS, "prompts")):
        with pytest.raises(ConfigurationError, match=f"these are {words}"):
            check_filters(data.model_copy(update={"filters": usual_filters(INSTRUCTIONS)}))
    check_filters(PREFERENCES.model_copy(update={"filters": usual_filters(INSTRUCTIONS)}))
    for data, part in ((PREFERENCES, "whole"), (PROMPTS, "prompt")):
        assert usual_filters(data) == [ExactDuplicatesFilter.model_validate({"kind": "exact_duplicates", "on": part})]
