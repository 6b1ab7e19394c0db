"""A filter's configuration made into the function that judges."""

from __future__ import annotations

from typing import assert_never

from core.config.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
    LengthFilter,
)
from core.data.filters.c4 import c4_quality_filter
from core.data.filters.fineweb import fineweb_quality_filter
from core.data.filters.gopher_quality import gopher_quality_filter
from core.data.filters.gopher_repetition import gopher_repetition_filter
from core.data.filters.language import language_filter
from core.data.filters.length import length_filter
from core.data.filters.verdict import TextFilter

DocumentFilter = (
    LengthFilter | LanguageFilter | GopherQualityFilter | GopherRepetitionFilter | C4QualityFilter
    | FineWebQualityFilter
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
        case _:
            assert_never(config)
