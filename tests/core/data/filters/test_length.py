from __future__ import annotations

import pytest

from core.config.filters import LengthFilter
from core.data.filters.length import length_filter
from core.data.filters.verdict import Dropped


@pytest.mark.parametrize(
    ("size", "verdict"),
    [
        (49, Dropped("length.too_short", "49 < 50")),
        (50, None),
        (100_000, None),
        (100_001, Dropped("length.too_long", "100001 > 100000")),
    ],
)
def test_both_ends(size: int, verdict: Dropped | None) -> None:
    assert length_filter(LengthFilter(kind="length"))("é" * size) == verdict
