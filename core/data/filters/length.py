"""Documents that are too short or too long."""

from __future__ import annotations

from core.config.filters import LengthFilter
from core.data.filters.verdict import Dropped, TextFilter, Verdict


def length_filter(config: LengthFilter) -> TextFilter:
    """Return the filter: characters are Unicode code points, space around the text included."""
    least, most = config.min_characters, config.max_characters

    def verdict(text: str) -> Verdict:
        if len(text) < least:
            return Dropped("length.too_short", f"{len(text)} < {least}")
        if len(text) > most:
            return Dropped("length.too_long", f"{len(text)} > {most}")
        return None

    return verdict
