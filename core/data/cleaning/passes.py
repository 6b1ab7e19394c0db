"""One pass over one unit: read it, filter each document on its own, write down what is left.

Filters that look at the whole corpus (duplicates, a percentile of perplexities) end a pass: it gathers what they need,
a decision is made over all units, and the next pass reads what was kept. So a unit never needs another one, any number
of processes or machines may share the units, and a unit that is done is never done again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.config.data import TextData
from core.config.filters import (
    ExactDuplicatesFilter,
    Filter,
    NearDuplicatesFilter,
    NgramPerplexityFilter,
    PerplexityFilter,
)
from core.data.cleaning.decisions import Decision
from core.data.cleaning.plan import Plan, read_plan
from core.data.cleaning.report import FilterCounts
from core.data.cleaning.steps import Step, Value, keys_of, payload_of, step_of
from core.data.cleaning.unit_files import Item, UnitFiles, UnitWriter
from core.data.filters.verdict import Dropped
from core.data.formats import loaded
from core.data.row_formats import unit_items
from core.data.sources.reading import documents
from core.data.splits import is_held_out, question_of
from core.data.tally import Tally

CorpusFilter = ExactDuplicatesFilter | NearDuplicatesFilter | PerplexityFilter | NgramPerplexityFilter
Heard = Callable[[int], None]
"""Hears how many documents of the unit were read so far."""


@dataclass(frozen=True)
class Pass:
    """Filters that look at one document, and the one over the whole corpus that ends the pass."""

    alone: tuple[int, ...]
    """Numbers of filters in the configuration."""
    over_all: int | None


def passes_of(filters: list[Filter]) -> list[Pass]:
    """Return the passes that some filters need, in their order; the last one has none over the whole corpus."""
    passes: list[Pass] = []
    alone: list[int] = []
    for number, config in enumerate(filters):
        if isinstance(config, CorpusFilter):
            passes.append(Pass(tuple(alone), number))
            alone = []
        else:
            alone.append(number)
    return [*passes, Pass(tuple(alone), None)]


def folder_of(work: Path, number: int) -> Path:
    """Return the folder of a pass."""
    return work / f"pass-{number}"


def run_unit(work: Path, number: int, unit: int, heard: Heard | None = None) -> None:
    """Do one pass over one unit; nothing where that is done.

    Raises: UsageError, DataError where the unit cannot be read; OSError.
    """
    files = UnitFiles(folder_of(work, number), unit)
    if files.is_done:
        return
    plan = read_plan(work)
    chain = _chain(work, number)
    tally = plan.tallies()[plan.units[unit].source] if number == 0 else None
    writer = UnitWriter(files, columns=chain.columns, samples=plan.data.dropped_samples)
    counts = {index: FilterCounts() for index in chain.numbers(number)}
    try:
        if tally is not None and heard is not None:
            tally.on_row = partial(_tell, heard, tally)
        read = _read(plan, unit, tally) if tally is not None else _kept(work, number, unit, counts, writer)
        for done, item in enumerate(read):
            if heard is not None:
                heard(done)
            _pass_on(plan, chain, item, counts, writer)
        writer.close(tally, {str(index): found for index, found in counts.items()})
    except BaseException:
        writer.abandon()
        raise


@dataclass(frozen=True)
class _Chain:
    steps: tuple[tuple[int, Step], ...]
    keys: Callable[[Value], NDArray[np.uint64]] | None
    columns: int
    """Keys of a document."""
    earlier: int | None
    """Number of the filter whose decision the pass reads."""

    def numbers(self, number: int) -> list[int]:
        """Return the filters that count in this pass."""
        return [*([self.earlier] if self.earlier is not None else []), *(index for index, _ in self.steps)]


@lru_cache(maxsize=4)
def _chain(work: Path, number: int) -> _Chain:
    plan = read_plan(work)
    passes = passes_of(plan.data.filters)
    this = passes[number]
    keys, columns = None, 0
    if this.over_all is not None:
        keys, columns = keys_of(plan.data.filters[this.over_all])
    return _Chain(
        steps=tuple((index, step_of(plan.data.filters[index])) for index in this.alone),
        keys=keys,
        columns=columns,
        earlier=passes[number - 1].over_all if number else None,
    )


def _pass_on(plan: Plan, chain: _Chain, item: Item, counts: dict[int, FilterCounts], writer: UnitWriter) -> None:
    is_text = isinstance(plan.data, TextData)
    value: Value = item.payload if is_text else loaded(item.payload)
    is_changed = False
    for index, step in chain.steps:
        found = counts[index]
        found.input += 1
        result = step(value)
        if isinstance(result, Dropped):
            found.drop(result.rule)
            writer.drop(index, item, result)
            return
        found.kept += 1
        if result is not None:
            value, changes = result
            is_changed = True
            found.change(changes)
    payload = payload_of(value) if is_changed else item.payload
    keys = chain.keys(value) if chain.keys is not None else None
    held_out = is_held_out(question_of(value), seed=plan.seed, fraction=plan.data.held_out_fraction)
    writer.add(Item("held_out" if held_out else "train", item.source, item.place, payload), keys)


def _read(plan: Plan, number: int, tally: Tally) -> Iterator[Item]:
    for unit, shape in plan.units[number].units():
        if isinstance(plan.data, TextData):
            for document in documents(plan.data.sources[unit.source], tally, unit):
                yield Item("train", unit.source, document.place, document.text)
            continue
        for place, item in unit_items(plan.data, unit, shape, tally, seed=plan.seed):
            payload = item.dumped()
            tally.documents += 1
            tally.text_bytes += len(payload.encode())
            yield Item("train", unit.source, place, payload)


def _tell(heard: Heard, tally: Tally) -> None:
    heard(tally.documents)


def _kept(
    work: Path, number: int, unit: int, counts: dict[int, FilterCounts], writer: UnitWriter
) -> Iterator[Item]:
    """Yield what the decision of the pass before kept of a unit; count the rest."""
    decision = Decision.read(folder_of(work, number - 1))
    files = UnitFiles(folder_of(work, number - 1), unit)
    earlier = passes_of(read_plan(work).data.filters)[number - 1].over_all
    assert earlier is not None
    found = counts[earlier]
    for index, item in enumerate(files.items()):
        found.input += 1
        verdict = decision.verdict(unit, index)
        if verdict is None:
            found.kept += 1
            yield item
        else:
            found.drop(verdict.rule)
            writer.drop(earlier, item, verdict)

