"""What a filter changed in a text, as the lines before and after."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

_MOST_LINES = 2_000
"""Of each text; the time of the comparison may grow with the square of it."""


def changed_lines(before: str, after: str) -> Iterator[tuple[str, str]]:
    """Yield each stretch of lines that differs, as it was and as it is; "" where there were none, or are none."""
    old, new = before.splitlines()[:_MOST_LINES], after.splitlines()[:_MOST_LINES]
    if len(old) == len(new):
        yield from ((one, other) for one, other in zip(old, new, strict=True) if one != other)
        return
    for kind, start, end, new_start, new_end in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind != "equal":
            yield "\n".join(old[start:end]), "\n".join(new[new_start:new_end])
