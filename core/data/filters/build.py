"""A filter's configuration made into the function that judges."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from core.config.filters import (
    C4QualityFilter,
    ContaminationFilter,
    DeidentifyFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    InstructionFilter,
    LanguageFilter,
    LengthFilter,
    PersonalDataFilter,
)
from core.data.filters.c4 import c4_quality_filter
from core.data.filters.contamination import contamination_filter
from core.data.filters.deidentify import deidentify_filter
from core.data.filters.fineweb import fineweb_quality_filter
from core.data.filters.gopher_quality import gopher_quality_filter
from core.data.filters.gopher_repetition import gopher_repetition_filter
from core.data.filters.instruction_quality import instruction_quality_filter
from core.data.filters.language import language_filter
from core.data.filters.length import length_filter
from core.data.filters.personal_data import personal_data_filter
from core.data.filters.verdict import Dropped, TextFilter
from core.data.formats import Conversation

DocumentFilter = (
    LengthFilter | LanguageFilter | GopherQualityFilter | GopherRepetitionFilter | C4QualityFilter
    | FineWebQualityFilter | PersonalDataFilter | DeidentifyFilter | ContaminationFilter
)  # fmt: skip
"""Filters that need to know one document only."""


def text_filter(config: DocumentFilter) -> TextFilter:
    """Return the function that judges one document; the same text always gets the same verdict.

    Building it may read a model or the evaluation sets, so a process builds it once.

    Raises: UsageError where a file that the filter needs is not there; DataError where such a file is broken.
    """
    match config:
        case LengthFilter():
            return length_filter(config)
        case LanguageFilter():
            return language_filter(config)
        case GopherQualityFilter():
            return gopher_quality_filter(config)
        case GopherRepetitionFilter():
            return gopher_repetition_filter(config)
        case C4QualityFilter():
            return c4_quality_filter(config)
        case FineWebQualityFilter():
            return fineweb_quality_filter(config)
        case PersonalDataFilter():
            return personal_data_filter(config)
        case DeidentifyFilter():
            return deidentify_filter(config)
        case ContaminationFilter():
            return contamination_filter(config)
        case _:
            assert_never(config)


def instruction_filter(config: InstructionFilter) -> Callable[[Conversation], Dropped | None]:
    """Return the function that judges one conversation; the same conversation always gets the same verdict."""
    return instruction_quality_filter(config)
