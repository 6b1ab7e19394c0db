"""Which filters are tried: those of a file, those of a data section, or the usual ones where nobody chose any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from core.config.data import InstructionData
from core.config.drafts import Draft
from core.config.filters import (
    ExactDuplicatesFilter,
    Filter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    InstructionFilter,
    LanguageFilter,
    LengthFilter,
)
from core.config.preferences import PreferenceData, Preparable, PromptData
from core.config.presets import load_preset, problems
from core.errors import ConfigurationError, Problem, UsageError

Data = Preparable
_WORDS = {"text": "documents", "instructions": "instructions", "preferences": "preferences", "prompts": "prompts"}


def usual_filters(data: Data) -> list[Filter]:
    """Return what is tried where nobody chose: length, language, Gopher's rules; for rows, theirs."""
    if isinstance(data, PromptData):
        return [ExactDuplicatesFilter(kind="exact_duplicates", on="prompt")]
    if isinstance(data, PreferenceData):
        return [ExactDuplicatesFilter(kind="exact_duplicates")]
    if isinstance(data, InstructionData):
        return [InstructionFilter(kind="instruction_quality"), ExactDuplicatesFilter(kind="exact_duplicates")]
    return [
        LengthFilter(kind="length"),
        LanguageFilter(kind="language"),
        GopherQualityFilter(kind="gopher_quality"),
        GopherRepetitionFilter(kind="gopher_repetition"),
        ExactDuplicatesFilter(kind="exact_duplicates"),
    ]


def with_filters_of(data: Data, file: Path) -> Data:
    """Return `data` with the filters of a YAML file: its `filters`, or those of its `data` where it is a preset.

    Raises: ConfigurationError for what does not hold, with the line; UsageError where the file has no filters.
    """
    draft = load_preset(file)
    inside = draft.values.get("data")
    stated = draft.values.get("filters")
    around: tuple[str, ...] = ("filters",)
    if stated is None and isinstance(inside, dict):
        stated, around = inside.get("filters"), ("data", "filters")
    if not isinstance(stated, list):
        raise UsageError(f"{file}: expected a list under filters: or under data: filters:, found none")
    values = {**data.model_dump(mode="json"), "filters": stated}
    preset: dict[str, Any] = {"phase": "prepare", "about": {"title": "filters"}, "data": values}
    lines = {
        ("data", "filters", *place[len(around) :]): line
        for place, line in draft.lines.items()
        if place[: len(around)] == around
    }
    found = [one for one in problems(Draft(preset, lines, draft.file)) if one.path.startswith("data.filters")]
    if found:
        raise ConfigurationError(found)
    section = type(data).model_validate_json(json.dumps(values))
    check_filters(section)
    return section


def check_filters(data: Data) -> None:
    """Raise ConfigurationError where a filter looks at something that the data has not."""
    wrong = [
        Problem(f"data.filters.{number}", f"looks at instructions, these are {_WORDS[data.kind]}", found=config.kind)
        for number, config in enumerate(data.filters)
        if not isinstance(data, InstructionData | PreferenceData) and isinstance(config, InstructionFilter)
    ]
    if wrong:
        raise ConfigurationError(wrong)
