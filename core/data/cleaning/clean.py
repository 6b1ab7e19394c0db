"""Sources → clean items on disk and a report, going on where it was left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from core.config.filters import NgramPerplexityFilter, PerplexityFilter
from core.data.cleaning.decisions import Decision, decide
from core.data.cleaning.passes import folder_of, passes_of, run_unit
from core.data.cleaning.plan import Plan, begin, file_states
from core.data.cleaning.pool import Heard, OverUnits, over_units
from core.data.cleaning.report import (
    DROPPED,
    FilterCounts,
    Report,
    SourceCounts,
    filter_reports,
    merge_dropped,
)
from core.data.cleaning.scoring import Scorer
from core.data.cleaning.unit_files import Item, UnitFiles, UnitRecord, forget_items, remove_leftovers
from core.data.ngram_perplexity import NgramScorer
from core.data.progress import Work
from core.data.tally import Tally, check_shares
from core.errors import DataError, UsageError


def no_language_model(config: PerplexityFilter) -> Scorer:
    """Refuse a perplexity by a language model, where what calls has none to give."""
    raise UsageError(
        f"data.filters: {config.kind} needs a language model, which cannot be had here",
        hint="Prepare the data in a run of its own (phase: prepare).",
    )


@dataclass(frozen=True)
class Means:
    """What a preparation takes from outside of this package, or of this machine."""

    language_model: Callable[[PerplexityFilter], Scorer] = no_language_model
    """Gives what scores texts for a perplexity filter."""
    over_units: OverUnits = over_units
    """Works on units: on every core of this machine, or on a cluster."""
    keeps_work: bool = False
    """Keep what was done whatever goes wrong, so that a resume goes on with it: when a disk is mounted again, a
    permission mended, a setting changed."""

    def scorer(self, config: PerplexityFilter | NgramPerplexityFilter) -> Scorer:
        """Return what scores texts for a filter.

        Raises: UsageError, DataError where the model is not there or cannot be read.
        """
        if isinstance(config, PerplexityFilter):
            return self.language_model(config)
        return NgramScorer(Path(config.model))


@dataclass(frozen=True)
class Cleaned:
    """What went through all filters, in the order of sources and their records."""

    plan: Plan
    folder: Path
    """That of the last pass."""
    tallies: list[Tally]
    report: Report
    train_bytes: int
    """UTF-8 bytes of the payloads of the training split."""

    def items(self, unit: int | None = None) -> Iterator[Item]:
        """Yield the items of one unit, or of all."""
        for number in range(len(self.plan.units)) if unit is None else (unit,):
            yield from UnitFiles(self.folder, number).items()


    def unit_items(self) -> list[int]:
        """Return how many items each unit has."""
        return [UnitFiles(self.folder, number).record().items for number in range(len(self.plan.units))]

    def unit_bytes(self, unit: int) -> int:
        """Return how many bytes the items of a unit take."""
        return UnitFiles(self.folder, unit).path("items").stat().st_size


class _Cleaning:
    """One cleaning, in the order in which it happens."""

    def __init__(self, plan: Plan, folder: Path, means: Means, work: Work) -> None:
        self._plan = plan
        self._folder = folder
        self._means = means
        self._work = work
        self._passes = passes_of(plan.data.filters)
        self._tallies = plan.tallies()
        self._counts: dict[int, FilterCounts] = {}
        self._thresholds: dict[int, float] = {}

    def run(self) -> Cleaned:
        """Do all passes."""
        for number, one in enumerate(self._passes):
            place = folder_of(self._folder, number)
            place.mkdir(exist_ok=True)
            self._pass(number)
            if number:
                forget_items(folder_of(self._folder, number - 1))
            if number == 0:
                self._check_sources(place)
            if one.over_all is not None:
                decide(place, self._plan.data.filters[one.over_all], self._folder, self._means.scorer, self._work)
                decision = Decision.read(place)
                if decision.threshold is not None:
                    self._thresholds[one.over_all] = decision.threshold
        place = folder_of(self._folder, len(self._passes) - 1)
        records = self._records(place)
        kept = [0] * len(self._tallies)
        for unit, record in zip(self._plan.units, records, strict=True):
            kept[unit.source] += record.items
        return Cleaned(
            plan=self._plan,
            folder=place,
            tallies=self._tallies,
            report=self._report(kept),
            train_bytes=sum(record.train_bytes for record in records),
        )

    def _pass(self, number: int) -> None:
        place = folder_of(self._folder, number)
        sizes = {number: unit.bytes for number, unit in enumerate(self._plan.units)}
        remove_leftovers(place)
        left = {unit: size for unit, size in sizes.items() if not UnitFiles(place, unit).is_done}
        watch = _Watch("reading" if number == 0 else f"filtering ({number + 1})", place, sizes, self._work)
        watch.know(sizes.keys() - left.keys())
        try:
            self._means.over_units(run_unit, self._folder, number, left, watch.hear)
        except OSError:
            if self._means.over_units is over_units:  # all processes have ended: make room on a full disk
                remove_leftovers(place)
            raise
        for record in self._records(place):
            for index, counts in record.filters.items():
                self._counts.setdefault(int(index), FilterCounts()).add(counts)
        watch.end()

    def _records(self, place: Path) -> list[UnitRecord]:
        return [UnitFiles(place, number).record() for number in range(len(self._plan.units))]

    def _check_sources(self, place: Path) -> None:
        for unit, record in zip(self._plan.units, self._records(place), strict=True):
            assert record.tally is not None
            self._tallies[unit.source].add(record.tally)
        check_shares(self._tallies, self._plan.data.max_bad_rows)
        if self._plan.states != file_states(self._plan.data.sources):
            raise DataError("the sources changed while they were read", hint="Start again when they are at rest.")

    def _report(self, kept: list[int]) -> Report:
        sources = [
            SourceCounts(
                source=tally.source,
                format=shape,
                rows=tally.rows,
                documents=tally.documents,
                empty=tally.empty,
                bad=dict(sorted(tally.bad.items())),
                repaired=dict(sorted(tally.repaired.items())),
                skipped=dict(sorted(tally.skipped.items())),
                kept=count,
            )
            for tally, shape, count in zip(self._tallies, self._plan.formats, kept, strict=True)
        ]
        report = Report(
            documents=sum(tally.documents for tally in self._tallies),
            kept=sum(kept),
            sources=sources,
            filters=filter_reports(self._plan.data.filters, self._counts, self._thresholds),
        )
        if report.kept + sum(report.dropped().values()) != report.documents:
            raise DataError(f"{report.kept} kept and {report.dropped()} dropped do not make {report.documents}")
        return report


def clean(plan_of: Plan, folder: Path, means: Means, work: Work) -> Cleaned:
    """Do what a plan says in `folder`, or go on with it.

    Raises: DataError where the sources changed since it was begun, or too many rows are bad; UsageError;
        OutOfMemoryError; PreparationStopped, after which another call goes on.
    """
    folder.mkdir(exist_ok=True)
    begin(folder, plan_of)
    return _Cleaning(plan_of, folder, means, work).run()


def write_dropped(cleaned: Cleaned, target: Path) -> None:
    """Write the dropped documents that are kept to look at, in the order of passes and units."""
    work = cleaned.folder.parent
    units = range(len(cleaned.plan.units))
    passes = range(len(passes_of(cleaned.plan.data.filters)))
    paths = (UnitFiles(folder_of(work, number), unit).path("dropped") for number in passes for unit in units)
    merge_dropped(paths, target / DROPPED, samples=cleaned.plan.data.dropped_samples)


class _Watch:
    """Tells how far a pass has come: bytes of units, documents, and what the rules dropped."""

    def __init__(self, stage: str, place: Path, sizes: dict[int, int], work: Work) -> None:
        self._stage = stage
        self._place = place
        self._sizes = sizes
        self._work = work
        self._begin = time.monotonic()
        self._seen = 0
        self._documents = 0
        self._new = 0
        self._bytes = 0
        self._dropped: dict[str, int] = {}

    def know(self, units: set[int]) -> None:
        """Count units that were done before."""
        for unit in units:
            self._count(unit)
        self._new = 0

    def hear(self, heard: Heard) -> None:
        """Report, and ask whether to stop."""
        for unit in heard.done[self._seen :]:
            self._count(unit)
        self._seen = len(heard.done)
        if self._work.ask():
            documents = self._documents + sum(heard.open.values())
            rate = (self._new + sum(heard.open.values())) / max(time.monotonic() - self._begin, 1e-9)
            note = f"{documents:,} documents, {rate:,.0f}/s{self._words()}"
            total = float(sum(self._sizes.values()))
            if total:
                self._work.report(self._stage, self._bytes + self._open_bytes(heard), total, "bytes", note)
            else:
                self._work.report(self._stage, float(documents), None, "documents", note)

    def end(self) -> None:
        """Report the end."""
        self._work.stage_ends(self._stage, self._documents, "documents", self._words().removeprefix("; "))

    def _open_bytes(self, heard: Heard) -> float:
        """Return about how much of the units at work is done, by the size of a document in those that are."""
        each = self._bytes / self._documents if self._documents else 0.0
        return sum(min(count * each, 0.99 * self._sizes[unit]) for unit, count in heard.open.items())

    def _count(self, unit: int) -> None:
        record = UnitFiles(self._place, unit).record()
        entered = max([record.items, *(counts.input for counts in record.filters.values())])
        self._documents += entered
        self._new += entered
        self._bytes += self._sizes[unit]
        for counts in record.filters.values():
            for rule, count in counts.dropped.items():
                self._dropped[rule] = self._dropped.get(rule, 0) + count

    def _words(self) -> str:
        if not self._dropped:
            return ""
        most = sorted(self._dropped.items(), key=lambda entry: -entry[1])[:6]
        return "; dropped: " + ", ".join(f"{rule} {count:,}" for rule, count in most)


