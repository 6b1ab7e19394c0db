"""The held-out split in parts: the documents of each group of sources, and those of none."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Generic

from core.data.manifest import DocumentRange, SplitRecord
from core.run.events import GROUP_LOSS, Notice, Series
from core.training.batches import R_co, Rows

_IN_ONE_PANEL = 3
"""So many groups are drawn beside the loss of training; a chart has five colours."""


@dataclass(frozen=True)
class HeldOut(Generic[R_co]):
    """Held-out sequences. Their loss is shown apart by the name of their `group`; None where they belong to none."""

    group: str | None
    rows: Rows[R_co]


class _InTurn(Generic[R_co]):
    """The rows of several ranges of documents, one range after another."""

    def __init__(self, parts: Sequence[Rows[R_co]]) -> None:
        self._parts = parts
        self._ends = list(accumulate(len(part) for part in parts))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> R_co:
        part = bisect_right(self._ends, index)
        return self._parts[part][index - (self._ends[part - 1] if part else 0)]


def held_out_parts(split: SplitRecord, rows_of: Callable[[range], Rows[R_co]]) -> tuple[HeldOut[R_co], ...]:
    """Return every held-out document once: a part for each group, then one for those of no group, where there are any.

    `rows_of` gives the rows of documents that lie one after another; no row holds documents of two parts.
    """
    parts = [HeldOut(group.name, _rows(group.ranges, rows_of)) for group in split.groups]
    rest = list(_others(split))
    if rest or not parts:
        parts.append(HeldOut(None, _rows(rest, rows_of)))
    return tuple(parts)


def _rows(ranges: Sequence[DocumentRange], rows_of: Callable[[range], Rows[R_co]]) -> Rows[R_co]:
    return _InTurn([rows_of(range(part.first, part.first + part.documents)) for part in ranges])


def _others(split: SplitRecord) -> Iterator[DocumentRange]:
    """Yield the ranges of documents that belong to no group."""
    end = 0
    for part in sorted((part for group in split.groups for part in group.ranges), key=lambda part: part.first):
        if part.first > end:
            yield DocumentRange(first=end, documents=part.first - end)
        end = part.first + part.documents
    if end < split.documents:
        yield DocumentRange(first=end, documents=split.documents - end)


def series_of_group(group: str) -> str:
    """Return the name of the series of a group's held-out loss."""
    return f"{GROUP_LOSS}{group}"


def group_series(parts: Sequence[HeldOut[Any]]) -> tuple[Series, ...]:
    """Return the series of the groups, in the panel of the loss where it has room for all."""
    groups = [part.group for part in parts if part.group is not None]
    panel = "loss" if len(groups) <= _IN_ONE_PANEL else "held-out loss by group"
    return tuple(
        Series(
            name=series_of_group(group), title=f"held-out loss of {group}", unit="nats", panel=panel,
            lower_is_better=True,
        )
        for group in groups
    )  # fmt: skip


def empty_groups(parts: Sequence[HeldOut[Any]]) -> Iterator[Notice]:
    """Yield a warning for each group whose loss cannot be shown, where there is a held-out split."""
    if not any(len(part.rows) for part in parts):
        return
    for part in parts:
        if part.group is not None and not len(part.rows):
            message = f"no held-out document belongs to the group {part.group}, so that its loss is not shown"
            hint = "raise data.held_out_fraction, or take another seed"
            yield Notice(level="warning", code="empty_group", message=f"{message}: {hint}")
