"""One record of a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Row:
    """Columns and the place they came from: a file, `file:line`, `file:row n`.

    A reader of documents (pages, papers, books) gives their text as `text`, and what it knows besides, such as `url`,
    `title` and `licence`, as further columns.
    """

    values: dict[str, Any]
    place: str
