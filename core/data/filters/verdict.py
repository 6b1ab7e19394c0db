"""What a filter says about a document."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Dropped:
    """The document goes; `rule` is a word to count by, `value` what was found, such as `lines: 0.41`."""

    rule: str
    value: str


@dataclass(frozen=True)
class Changed:
    """The document goes on as `text`; `counts` says how often each rule changed it."""

    text: str
    counts: dict[str, int]


Verdict = Dropped | Changed | None
"""None: the document goes on as it is."""

TextFilter = Callable[[str], Verdict]
