"""Rows of any format, read as the pipeline reads them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from core.config.data import RowFormat
from core.config.sources import Columns
from core.data.formats import Canonical, canonical
from core.data.rows import Row
from core.data.tally import Tally


@dataclass
class Read:
    """What some rows gave."""

    items: list[Canonical]
    places: list[str]
    tally: Tally

    @property
    def said(self) -> list[list[tuple[str, str]]]:
        """Each conversation as (role, content with input)."""
        return [[(m["role"], m["content"]) for m in item.messages()] for item in self.items]  # type: ignore[union-attr]


@pytest.fixture
def read() -> Callable[..., Read]:
    """Read rows of a format; what is bad is in the tally."""

    def reading(shape: RowFormat, *rows: dict[str, Any], columns: Columns | None = None) -> Read:
        tally = Tally("data.sources[0]", 1.0, rows=len(rows))
        stream = [Row(values, f"rows.jsonl:{number}") for number, values in enumerate(rows, start=1)]
        found = list(canonical(stream, shape, columns or Columns(), tally))
        return Read([item for _, item in found], [place for place, _ in found], tally)

    return reading
