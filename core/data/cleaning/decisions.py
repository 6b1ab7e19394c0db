"""Which documents a filter over the whole corpus drops, decided once between two passes."""

from __future__ import annotations

import shutil
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from core.config.filters import (
    ExactDuplicatesFilter,
    Filter,
    NearDuplicatesFilter,
    NgramPerplexityFilter,
    PerplexityFilter,
)
from core.data.cleaning.plan import read_plan
from core.data.cleaning.scoring import Scorer, score_units
from core.data.cleaning.unit_files import UnitFiles
from core.data.construction import write_whole
from core.data.duplicates import EXACT_WIDTH, first_of_group
from core.data.filters.verdict import Dropped
from core.data.ngram_perplexity import threshold
from core.data.progress import Work

Scorers = Callable[[PerplexityFilter | NgramPerplexityFilter], Scorer]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: str
    offsets: list[int]
    """The number of the first document of each unit over the whole corpus, and the number of all."""
    threshold: float | None


class Decision:
    """The decision of one pass."""

    def __init__(self, folder: Path, record: _Record) -> None:
        self.threshold = record.threshold
        self._folder = folder
        self._kind = record.kind
        self._offsets = record.offsets
        kind = "<i8" if record.threshold is None else "<f8"
        path = folder / "decision.values"
        self._values = np.memmap(path, dtype=kind, mode="r") if record.offsets[-1] else np.zeros(0, dtype=kind)

    @classmethod
    def read(cls, folder: Path) -> Decision:
        """Return the decision of the pass in `folder`."""
        return _read(folder)

    def rule(self, unit: int, index: int) -> str | None:
        """Return the rule that drops a document of a unit, None where it stays."""
        number = self._offsets[unit] + index
        value = self._values[number]
        if self.threshold is None:
            return f"{self._kind}.duplicate" if value != number else None
        if np.isnan(value):
            return f"{self._kind}.unscored"
        return f"{self._kind}.too_high" if value > self.threshold else None

    def verdict(self, unit: int, index: int) -> Dropped | None:
        """Return what drops a document of a unit, with its value; None where it stays."""
        rule = self.rule(unit, index)
        if rule is None:
            return None
        value = self._values[self._offsets[unit] + index]
        if self.threshold is None:
            return Dropped(rule, f"as {self._place(int(value))}")
        return Dropped(rule, f"{value:.6g} > {self.threshold:.6g}")

    def _place(self, number: int) -> str:
        unit = bisect_right(self._offsets, number) - 1
        return UnitFiles(self._folder, unit).item(number - self._offsets[unit]).place


@lru_cache(maxsize=4)
def _read(folder: Path) -> Decision:
    return Decision(folder, _Record.model_validate_json((folder / "decision.json").read_bytes()))


def decide(folder: Path, config: Filter, plan_folder: Path, scorers: Scorers, work: Work) -> None:
    """Make the decision that ends the pass in `folder`; nothing where it is made.

    Raises: UsageError, DataError where a model cannot be used; PreparationStopped; OSError.
    """
    target = folder / "decision.json"
    if target.is_file():
        return
    plan = read_plan(plan_folder)
    units = [UnitFiles(folder, number) for number in range(len(plan.units))]
    offsets = [0]
    for files in units:
        offsets.append(offsets[-1] + files.record().items)
    limit: float | None = None
    match config:
        case ExactDuplicatesFilter() | NearDuplicatesFilter():
            columns, width = (1, EXACT_WIDTH) if isinstance(config, ExactDuplicatesFilter) else (config.bands, 1)
            keys = [files.path("keys") for files in units]
            first = first_of_group(keys, columns=columns, total=offsets[-1], folder=folder / "grouping", width=width)
            first.rename(folder / "decision.values")
        case PerplexityFilter() | NgramPerplexityFilter():
            score_units(units, lambda: scorers(config), plan.data.kind == "text", work)
            limit = threshold(
                [np.memmap(files.path("scores"), dtype="<f8", mode="r") for files in units if files.record().items],
                maximum=config.max_perplexity,
                percentile=config.percentile,
            )
            _join([files.path("scores") for files in units], folder / "decision.values")
        case _:
            raise ValueError(f"{config.kind} looks at one document")
    record = _Record(kind=config.kind, offsets=offsets, threshold=limit)
    write_whole(target, record.model_dump_json().encode())


def _join(paths: Sequence[Path], target: Path) -> None:
    with target.open("wb") as joined:
        for path in paths:
            with path.open("rb") as file:
                shutil.copyfileobj(file, joined)
