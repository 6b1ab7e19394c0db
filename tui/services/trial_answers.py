"""What the helper answers about filters tried on a sample, as values; what is missing is taken as unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tui.services.data_changes import ChangedRow, changed_rows
from tui.services.json_values import Json, counts_of, error_words, list_of, maps, number_of, shown, text_of, whole_of


@dataclass(frozen=True)
class DroppedRow:
    """A document that a filter dropped: by which rule, for what value, and its beginning."""

    filter: int
    rule: str
    value: str
    place: str
    text: str


@dataclass(frozen=True)
class FilterCount:
    """What one filter did on the sample: documents that came in and went, and how often each rule was the reason.

    `changed` counts how often each rule changed something, which may be many times in one document.
    """

    kind: str
    seen: int
    dropped: int
    changed: tuple[tuple[str, int], ...]
    rules: tuple[tuple[str, int], ...]
    is_counted: bool
    note: str

    @property
    def kept(self) -> int:
        """What went on to the next filter."""
        return self.seen - self.dropped


@dataclass(frozen=True)
class Trial:
    """The filters tried on a sample."""

    rows: int
    kept: int
    filters: tuple[FilterCount, ...]
    dropped: tuple[DroppedRow, ...]
    lengths: Histogram | None
    languages: tuple[tuple[str, int], ...]
    estimate: Estimate | None
    is_all: bool = False
    bad_rows: int = 0
    errors: tuple[str, ...] = ()
    changed: tuple[ChangedRow, ...] = ()


@dataclass(frozen=True)
class Histogram:
    """Counts between edges: bar i counts values from edges[i] up to edges[i + 1]."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Estimate:
    """What the whole is likely to come to; None where nobody can say. `is_exact`: all documents were looked at."""

    documents: float | None
    tokens: float | None
    bytes: float | None
    is_exact: bool
    stands_in: bool

    @classmethod
    def of(cls, answer: Json) -> Estimate:
        """Return an estimate from the helper's answer."""
        documents, tokens, size = (number_of(answer, name) for name in ("documents", "tokens", "bytes"))
        return cls(documents, tokens, size, answer.get("exact") is True, answer.get("stands_in") is True)


def trial_of(answer: Json) -> Trial:
    """Return what the filters did on the sample."""
    rows = whole_of(answer, "documents") or 0
    filters = tuple(map(_filter_count, maps(list_of(answer, "filters"))))
    dropped = tuple(map(_dropped, maps(list_of(answer, "dropped"))))
    kept = whole_of(answer, "kept")
    return Trial(
        rows=rows,
        kept=rows if kept is None else kept,
        filters=filters,
        dropped=dropped,
        lengths=_histogram(answer.get("lengths")),
        languages=counts_of(answer, "languages"),
        estimate=Estimate.of(found) if isinstance(found := answer.get("estimate"), Mapping) else None,
        is_all=answer.get("complete") is True,
        bad_rows=whole_of(answer, "bad_rows") or 0,
        errors=tuple(map(error_words, list_of(answer, "errors"))),
        changed=changed_rows(answer),
    )


def _filter_count(value: Json) -> FilterCount:
    counts = value.get("counts")
    dropped, changed = counts_of(counts, "dropped"), counts_of(counts, "changed")
    return FilterCount(
        kind=text_of(value, "filter"),
        seen=whole_of(counts, "input") or 0,
        dropped=sum(count for _, count in dropped),
        changed=changed,
        rules=dropped,
        is_counted=isinstance(counts, Mapping),
        note=text_of(value, "note"),
    )


def _dropped(value: Json) -> DroppedRow:
    number = whole_of(value, "filter")
    found = shown(value.get("value", ""))
    return DroppedRow(-1 if number is None else number, text_of(value, "rule"), found, text_of(value, "place"),
                      text_of(value, "text"))  # fmt: skip


def _histogram(value: object) -> Histogram | None:
    edges = [one for one in list_of(value, "edges") if isinstance(one, int | float)]
    counts = [one for one in list_of(value, "counts") if isinstance(one, int)]
    return Histogram(tuple(edges), tuple(counts)) if counts else None
