"""What the filters did: kept and dropped by rule, which together are what came in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from core.config.filters import Filter
from core.errors import DataError

REPORT = "report.json"
DROPPED = "dropped.jsonl"


class FilterCounts(BaseModel):
    """What one filter did to some documents."""

    model_config = ConfigDict(extra="forbid", strict=True)

    input: int = 0
    kept: int = 0
    dropped: dict[str, int] = {}
    """By rule."""
    changed: dict[str, int] = {}
    """How often each rule changed something."""

    def drop(self, rule: str) -> None:
        """Count a dropped document."""
        self.dropped[rule] = self.dropped.get(rule, 0) + 1

    def change(self, changes: Mapping[str, int]) -> None:
        """Count what rules changed in a document that goes on."""
        for rule, times in changes.items():
            self.changed[rule] = self.changed.get(rule, 0) + times

    def add(self, other: FilterCounts) -> None:
        """Add the counts of other documents."""
        self.input += other.input
        self.kept += other.kept
        self.dropped = dict(Counter(self.dropped) + Counter(other.dropped))
        self.changed = dict(Counter(self.changed) + Counter(other.changed))

    def check(self, name: str) -> None:
        """Raise DataError where what was kept and what was dropped are not what came in."""
        if self.kept + sum(self.dropped.values()) != self.input:
            raise DataError(f"{name}: {self.kept} kept and {self.dropped} dropped do not make {self.input}")


class FilterReport(BaseModel):
    """One filter's part of the report."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    filter: str
    """Its kind."""
    settings: dict[str, Any]
    counts: FilterCounts
    threshold: float | None = None
    """What a percentile came to."""


class SourceCounts(BaseModel):
    """What one source gave."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    source: str
    format: str
    rows: int
    documents: int
    empty: int
    bad: dict[str, int]
    repaired: dict[str, int]
    skipped: dict[str, int] = {}
    """Files that were left out, by reason."""
    kept: int
    """Documents that went through all filters."""


class Report(BaseModel):
    """The content of report.json."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    documents: int
    """What came out of the sources."""
    kept: int
    sources: list[SourceCounts]
    filters: list[FilterReport]

    def dropped(self) -> dict[str, int]:
        """Return how many documents each rule dropped."""
        total: Counter[str] = Counter()
        for report in self.filters:
            total.update(report.counts.dropped)
        return dict(total)

    def check_kept(self) -> None:
        """Raise DataError where nothing is left to make tokens of."""
        if not self.kept:
            rules = ", ".join(f"{rule} {count:,}" for rule, count in self.dropped().items())
            raise DataError(
                f"expected documents that stay, found none: the filters dropped all {self.documents:,} ({rules})",
                hint="Loosen the filters in a new run; `footplate data filter-report` tries them on a sample.",
            )

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return self.model_dump(mode="json")


def read_report(folder: Path) -> Report:
    """Return the report of a prepared folder.

    Raises: DataError where there is none, or one that this version cannot read.
    """
    path = folder / REPORT
    try:
        return Report.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected a report, found none", hint="Run the prepare run to its end.") from error
    except ValidationError as error:
        raise DataError(f"{path}: expected a report, found: {error.errors()[0]['msg']}") from error


def filter_reports(
    filters: Sequence[Filter], counts: dict[int, FilterCounts], thresholds: dict[int, float]
) -> list[FilterReport]:
    """Return the report of each filter, sorted rules and checked sums.

    Raises: DataError where a sum does not hold.
    """
    reports = []
    for number, config in enumerate(filters):
        found = counts.get(number, FilterCounts())
        found.check(f"data.filters[{number}] ({config.kind})")
        tidy = FilterCounts(
            input=found.input,
            kept=found.kept,
            dropped=dict(sorted(found.dropped.items())),
            changed=dict(sorted(found.changed.items())),
        )
        settings = config.model_dump(mode="json", exclude={"kind"})
        reports.append(
            FilterReport(filter=config.kind, settings=settings, counts=tidy, threshold=thresholds.get(number))
        )
    return reports


def merge_dropped(paths: Iterable[Path], target: Path, *, samples: int) -> None:
    """Write the first `samples` dropped documents of each rule, in the order of filters' passes and units."""
    seen: Counter[str] = Counter()
    with target.open("wb") as file:
        for path in paths:
            with path.open("rb") as lines:
                for line in lines:
                    rule = json.loads(line)["rule"]
                    if seen[rule] < samples:
                        seen[rule] += 1
                        file.write(line)
