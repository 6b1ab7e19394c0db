"""Filters tried on a sample: what each would keep and drop, and why, without writing anything.

The same steps as in a preparation, in the same order, over documents that are held in memory. A filter over the whole
corpus sees the sample only, so duplicates of documents outside of it are not found.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from core.config.data import TextData
from core.config.filters import (
    ExactDuplicatesFilter,
    Filter,
    NearDuplicatesFilter,
    NgramPerplexityFilter,
    PerplexityFilter,
)
from core.config.preferences import Preparable
from core.data.cleaning.decisions import Scorers
from core.data.cleaning.passes import CorpusFilter
from core.data.cleaning.report import FilterCounts, FilterReport, filter_reports
from core.data.cleaning.steps import Step, StepResult, Value, keys_of, step_of, text_of
from core.data.duplicates import EXACT_WIDTH, NO_MATCH
from core.data.filters.verdict import Dropped
from core.data.ngram_perplexity import threshold
from core.data.row_formats import row_formats, unit_items
from core.data.sources.reading import describe, documents, units_of
from core.data.tally import Tally

_STEPS_KEPT = 64
_CHANGED_KEPT = 200
"""Documents that a filter changed, kept to look at, of each filter."""


@dataclass(frozen=True)
class Candidate:
    """One document of a sample."""

    source: int
    place: str
    value: Value


@dataclass(frozen=True)
class Sample:
    """The first documents of each source, about as many of each; what was bad is in the tallies."""

    kind: str
    candidates: list[Candidate]
    tallies: list[Tally]
    formats: list[str]
    is_all: bool
    """Whether these are all documents that there are."""


@dataclass(frozen=True)
class DroppedCandidate:
    """A document of a sample that a filter dropped."""

    filter: int
    rule: str
    value: str
    candidate: Candidate


@dataclass(frozen=True)
class ChangedCandidate:
    """A document of a sample that a filter changed: as it came in, as it went on, how often each rule changed it."""

    filter: int
    counts: dict[str, int]
    candidate: Candidate
    after: Value


@dataclass(frozen=True)
class TrialReport:
    """What the filters did to a sample; of those changed, the first of each filter."""

    documents: int
    kept: list[Candidate]
    filters: list[FilterReport]
    dropped: list[DroppedCandidate]
    changed: list[ChangedCandidate]

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON values; kept, dropped and changed ones are counted, not listed."""
        return {
            "documents": self.documents,
            "kept": len(self.kept),
            "filters": [report.model_dump(mode="json") for report in self.filters],
        }


def take_sample(data: Preparable, count: int, *, seed: int = 17) -> Sample:
    """Return the first documents of each source, `count` of all sources together; `seed` is for data.damage.

    Raises: UsageError, DataError where a source cannot be read.
    """
    tallies = [Tally(describe(source, number), 1.0) for number, source in enumerate(data.sources)]
    each = max(1, count // len(data.sources))
    candidates: list[Candidate] = []
    formats: list[str] = []
    is_all = True
    for number, tally in enumerate(tallies):
        shape, stream = _stream(data, number, tally, seed)
        found = list(islice(stream, each + 1))
        is_all = is_all and len(found) <= each
        candidates += found[:each]
        formats.append(shape)
    return Sample(data.kind, candidates, tallies, formats, is_all)


def _stream(data: Preparable, number: int, tally: Tally, seed: int) -> tuple[str, Iterator[Candidate]]:
    source = data.sources[number]
    if isinstance(data, TextData):
        return "", (Candidate(number, found.place, found.text) for found in documents(source, tally))
    shapes = row_formats(data, number)
    stream = (
        Candidate(number, place, row)
        for unit in units_of(source, number)
        for place, row in unit_items(data, unit, shapes.get(unit.file), tally, seed=seed)
    )
    return ", ".join(dict.fromkeys(shapes.values())), stream


@dataclass
class Trials:
    """Tries filters on one sample.

    Steps that were built (models, evaluation sets) and their verdicts are kept from trial to trial: where one filter
    moves, only that one judges again.
    """

    sample: Sample
    scorers: Scorers
    _steps: OrderedDict[str, tuple[Step, dict[Value, StepResult]]] = field(default_factory=OrderedDict)
    _scores: dict[str, dict[int, float]] = field(default_factory=dict)

    def run(self, filters: Sequence[Filter], heard: Callable[[int, int], None] | None = None) -> TrialReport:
        """Return what some filters do to the sample; `heard` hears which filter is at work, of how many.

        Raises: UsageError, DataError where something that a filter needs is not there.
        """
        kept = list(self.sample.candidates)
        counts: dict[int, FilterCounts] = {}
        limits: dict[int, float] = {}
        dropped: list[DroppedCandidate] = []
        changed: list[ChangedCandidate] = []
        for number, config in enumerate(filters):
            if heard is not None:
                heard(number, len(filters))
            found = counts[number] = FilterCounts(input=len(kept))
            going_on: list[Candidate] = []
            if isinstance(config, CorpusFilter):
                verdicts, limit = self._over_all(config, kept)
                if limit is not None:
                    limits[number] = limit
            else:
                verdicts = self._judged(config, kept)
            for candidate, verdict in zip(kept, verdicts, strict=True):
                if isinstance(verdict, Dropped):
                    found.drop(verdict.rule)
                    dropped.append(DroppedCandidate(number, verdict.rule, verdict.value, candidate))
                elif verdict is None:
                    going_on.append(candidate)
                else:
                    value, changes = verdict
                    found.change(changes)
                    changed.append(ChangedCandidate(number, changes, candidate, value))
                    going_on.append(Candidate(candidate.source, candidate.place, value))
            found.kept = len(going_on)
            kept = going_on
            changed = _first_of_each(changed)
        return TrialReport(
            documents=len(self.sample.candidates),
            kept=kept,
            filters=filter_reports(filters, counts, limits),
            dropped=dropped,
            changed=changed,
        )

    def _judged(self, config: Filter, kept: list[Candidate]) -> list[StepResult]:
        name = config.model_dump_json()
        if name not in self._steps:
            self._steps[name] = step_of(config), {}
            if len(self._steps) > _STEPS_KEPT:
                self._steps.popitem(last=False)
        step, known = self._steps[name]
        for candidate in kept:
            if candidate.value not in known:
                known[candidate.value] = step(candidate.value)
        return [known[candidate.value] for candidate in kept]

    def _over_all(self, config: CorpusFilter, kept: list[Candidate]) -> tuple[list[StepResult], float | None]:
        match config:
            case ExactDuplicatesFilter() | NearDuplicatesFilter():
                return _duplicates(config, kept), None
            case PerplexityFilter() | NgramPerplexityFilter():
                return self._unlikely(config, kept)

    def _unlikely(
        self, config: PerplexityFilter | NgramPerplexityFilter, kept: list[Candidate]
    ) -> tuple[list[StepResult], float | None]:
        # Scores do not depend on the threshold: moving it asks the model for nothing.
        name = config.model_dump_json(exclude={"max_perplexity", "percentile"})
        known = self._scores.setdefault(name, {})
        texts = [text_of(candidate.value) for candidate in kept]
        new = [number for number, text in enumerate(texts) if hash(text) not in known]
        if new:
            found = self.scorers(config)([texts[number] for number in new])
            known.update({hash(texts[number]): float(score) for number, score in zip(new, found, strict=True)})
        scores = np.array([known[hash(text)] for text in texts], dtype=np.float64)
        limit = threshold(scores, maximum=config.max_perplexity, percentile=config.percentile)
        verdicts: list[StepResult] = []
        for score in scores:
            if np.isnan(score):
                verdicts.append(Dropped(f"{config.kind}.unscored", ""))
            elif score > limit:
                verdicts.append(Dropped(f"{config.kind}.too_high", f"{score:.6g} > {limit:.6g}"))
            else:
                verdicts.append(None)
        return verdicts, limit


def _first_of_each(changed: list[ChangedCandidate]) -> list[ChangedCandidate]:
    seen: Counter[int] = Counter()
    kept = []
    for one in changed:
        seen[one.filter] += 1
        if seen[one.filter] <= _CHANGED_KEPT:
            kept.append(one)
    return kept


def _duplicates(config: ExactDuplicatesFilter | NearDuplicatesFilter, kept: list[Candidate]) -> list[StepResult]:
    """Return a verdict a document; groups hang together as in a preparation, and the first one of each stays."""
    keys_for, words = keys_of(config)
    assert keys_for is not None
    width = EXACT_WIDTH if isinstance(config, ExactDuplicatesFilter) else 1
    first = list(range(len(kept)))

    def root(number: int) -> int:
        while first[number] != number:
            first[number] = first[first[number]]
            number = first[number]
        return number

    seen: dict[tuple[int, bytes], int] = {}
    for number, candidate in enumerate(kept):
        keys = keys_for(candidate.value).reshape(words // width, width)
        for column, key in enumerate(keys):
            if key[0] == NO_MATCH:
                continue
            other = root(seen.setdefault((column, key.tobytes()), number))
            mine = root(number)
            first[max(other, mine)] = min(other, mine)
    return [
        None if root(number) == number else Dropped(f"{config.kind}.duplicate", f"as {kept[root(number)].place}")
        for number in range(len(kept))
    ]
