"""What filters did in a finished run, or would do to a sample: kept and dropped by rule, and why."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter

from core.config.filters import NgramPerplexityFilter, PerplexityFilter
from core.config.preferences import Preparable, PreparableData
from core.data.cleaning.differences import changed_lines
from core.data.cleaning.plan import file_states
from core.data.cleaning.report import DROPPED, read_report
from core.data.cleaning.scoring import Scorer
from core.data.cleaning.steps import text_of
from core.data.cleaning.trial import Candidate, ChangedCandidate, DroppedCandidate, Trials, take_sample
from core.data.estimate import shares_of
from core.data.filter_choice import check_filters
from core.data.filters.language import identifier
from core.data.formats.conversation import loaded
from core.errors import DataError, UsageError
from core.queries.bounds import bounded
from core.queries.data import DataQuestion
from core.queries.estimate import estimate_of
from core.queries.model import Say
from core.run.directory import Home, RunDirectory

SHOWN_CHARACTERS = 4_000
_CHANGED_LINES = 20
_LINE_CHARACTERS = 1_000
"""Of a document that was changed: so many lines that differ, so much of each."""
_DATA: TypeAdapter[Preparable] = TypeAdapter(PreparableData)
_LANGUAGE_CHARACTERS = 2_000
_EDGES = [0, *(step * 10**power for power in range(1, 10) for step in (1, 2, 5))]
"""Of the bars of lengths in characters: 0, 10, 20, 50, 100, ..."""


class FilterReportQuestion(DataQuestion):
    """What the filters of `data` do to a sample of it, or with `run`, the folder of a finished prepare run, did there.

    `rule`: list the documents that this rule dropped or changed only; `dropped`: list so many in all, about as many of
    each rule; `changed`: so many of those that were changed, of a sample. `seed`: by which data.damage spoils
    answers.

    Answer: documents, kept, filters (filter, settings, counts: input, kept, dropped and changed by rule; threshold),
    dropped (filter, rule, value, source, place, characters, text); of a run sources besides; of a sample changed
    (filter, counts by rule, source, place, lines: before and after of each line that differs), formats,
    complete (whether it is all that there is), bad_rows, errors, lengths (edges, counts) of what is kept, languages of
    what came in, estimate of what stays of the whole (documents, tokens, bytes, exact, stands_in; null where nobody
    can say).
    """

    run: str | None = Field(default=None, min_length=1, max_length=4096)
    sample: int = Field(default=1_000, ge=1, le=100_000)
    rule: str | None = Field(default=None, min_length=1, max_length=255)
    dropped: int = Field(default=200, ge=0, le=10_000)
    changed: int = Field(default=50, ge=0, le=10_000)
    seed: int = Field(default=17, ge=0, le=2**32 - 1)


def filter_report(question: FilterReportQuestion, say: Say, home: Home) -> dict[str, Any]:
    """Return the report.

    Raises: UsageError where the question means nothing; DataError where the data or the report cannot be used.
    """
    if question.run is None:
        return bounded(_of_sample(question, say, home))
    if question.path is not None or question.data is not None:
        raise UsageError("a question about filters has either a run or data")
    folder = RunDirectory(Path(question.run)).data
    report = read_report(folder)
    counts = report.dropped()
    _check_rule(question.rule, counts)
    dropped = chosen(dropped_in(folder), counts, question.rule, question.dropped)
    return bounded({**report.as_json(), "dropped": dropped})


def dropped_in(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the dropped documents that a finished preparation kept to look at."""
    path = folder / DROPPED
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    yield _told(json.loads(line))
                except ValueError as error:
                    raise DataError(f"{path}:{number}: expected a JSON object, found: {error}") from error
    except FileNotFoundError as error:
        raise DataError(f"{path}: expected dropped documents, found no file") from error


def _told(row: dict[str, Any]) -> dict[str, Any]:
    """Return a dropped row with its turns one below the other, as `text_of` has them."""
    if not str(row.get("text")).startswith(('[{"role": ', '{"prompt": [', '{"label": ')):
        return row
    try:
        text = text_of(loaded(row["text"]))
    except (ValueError, TypeError):  # a document that looks like one, or a row of which the end was cut off
        return row
    return {**row, "text": text, "characters": len(text)}


def chosen(rows: Iterable[dict[str, Any]], counts: dict[str, int], rule: str | None, most: int) -> list[dict[str, Any]]:
    """Return at most `most` dropped rows, about as many of each rule, or those of one rule."""
    wanted = {rule} if rule is not None else set(counts)
    each = max(1, most // max(1, len(wanted)))
    seen: Counter[str] = Counter()
    found: list[dict[str, Any]] = []
    for row in rows:
        if row["rule"] in wanted and seen[row["rule"]] < each and len(found) < most:
            seen[row["rule"]] += 1
            found.append({**row, "text": row["text"][:SHOWN_CHARACTERS]})
    return found


def _check_rule(rule: str | None, counts: dict[str, int]) -> None:
    if rule is not None and rule not in counts:
        raise UsageError(
            f"no document was dropped or changed by a rule {rule!r}", hint=f"Rules: {', '.join(counts) or 'none'}."
        )


def _of_sample(question: FilterReportQuestion, say: Say, home: Home) -> dict[str, Any]:
    data = question.section()
    check_filters(data)
    trials, shares = _trials(_reading(data), question.sample, _states(data), home, seed=question.seed)

    def heard(done: int, total: int) -> None:
        say({"type": "progress", "stage": data.filters[done].kind, "done": done, "total": total, "unit": "filters"})

    report = trials.run(data.filters, heard)
    counts = dict(sum((Counter(one.counts.dropped) for one in report.filters), Counter[str]()))
    changes = sum((Counter(one.counts.changed) for one in report.filters), Counter[str]())
    _check_rule(question.rule, {**counts, **changes})
    sample = trials.sample
    return {
        **report.as_json(),
        "dropped": chosen(map(_row, report.dropped), counts, question.rule, question.dropped),
        "changed": _changed(report.changed, question.rule, question.changed),
        "formats": sample.formats,
        "complete": sample.is_all,
        "bad_rows": sum(tally.bad.total() for tally in sample.tallies),
        "errors": [error for tally in sample.tallies for error in tally.errors],
        "lengths": lengths(report.kept),
        "languages": languages(sample.candidates),
        "estimate": estimate_of(data, shares, report.kept, home),
    }


def _row(dropped: DroppedCandidate) -> dict[str, Any]:
    text = text_of(dropped.candidate.value)
    return {"filter": dropped.filter, "rule": dropped.rule, "value": dropped.value, "source": dropped.candidate.source,
            "place": dropped.candidate.place, "characters": len(text), "text": text}  # fmt: skip


def _changed(rows: Iterable[ChangedCandidate], rule: str | None, most: int) -> list[dict[str, Any]]:
    wanted = [one for one in rows if rule is None or rule in one.counts]
    each = max(1, most // max(1, len({one.filter for one in wanted})))
    seen: Counter[int] = Counter()
    found: list[dict[str, Any]] = []
    for one in wanted:
        seen[one.filter] += 1
        if seen[one.filter] <= each and len(found) < most:
            pairs = islice(changed_lines(text_of(one.candidate.value), text_of(one.after)), _CHANGED_LINES)
            lines = [
                {"before": before[:_LINE_CHARACTERS], "after": after[:_LINE_CHARACTERS]} for before, after in pairs
            ]
            found.append({"filter": one.filter, "counts": one.counts, "source": one.candidate.source,
                          "place": one.candidate.place, "lines": lines})  # fmt: skip
    return found


def _states(data: Preparable) -> str:
    """Return what tells at a glance that a source changed."""
    return json.dumps([one.model_dump() for one in file_states(data.sources)])


def _reading(data: Preparable) -> str:
    """Return what of a data section decides which documents there are."""
    return data.model_dump_json(include={"kind", "sources", "format", "tokenizer", "damage", "held_out_fraction"})


@lru_cache(maxsize=1)
def _trials(reading: str, count: int, states: str, home: Home, *, seed: int) -> tuple[Trials, list[float | None]]:
    """Return a sample and which part of each source it is.

    They are kept while neither the sources nor the wish change: filters are tried on a sample again and again.
    """
    data = _DATA.validate_json(reading)
    sample = take_sample(data, count, seed=seed)
    return Trials(sample, _scorers(home)), shares_of(data, sample)


def _scorers(home: Home) -> Callable[[PerplexityFilter | NgramPerplexityFilter], Scorer]:
    def scorer(config: PerplexityFilter | NgramPerplexityFilter) -> Scorer:
        if isinstance(config, NgramPerplexityFilter):
            from core.data.ngram_perplexity import NgramScorer

            return NgramScorer(Path(config.model))
        from core.evaluation.perplexity import scorer_for  # torch

        return scorer_for(config, home)

    return scorer


def lengths(kept: Iterable[Candidate]) -> dict[str, list[int]]:
    """Return how many documents have how many characters, between edges that hold them all."""
    sizes = sorted(len(text_of(candidate.value)) for candidate in kept)
    if not sizes:
        return {"edges": [], "counts": []}
    first = max(number for number, edge in enumerate(_EDGES) if edge <= sizes[0])
    last = next((number for number, edge in enumerate(_EDGES) if edge > sizes[-1]), len(_EDGES) - 1)
    edges = _EDGES[first : last + 1]
    counts = [sum(low <= size < high for size in sizes) for low, high in pairwise(edges)]
    return {"edges": edges, "counts": counts}


def languages(candidates: Iterable[Candidate]) -> dict[str, int]:
    """Return how many documents are in which language, most frequent first, by the beginning of each."""
    found = Counter(_language(text_of(candidate.value)[:_LANGUAGE_CHARACTERS]) for candidate in candidates)
    return dict(found.most_common())


@lru_cache(maxsize=20_000)
def _language(text: str) -> str:
    return _identify()(text)[0] or "none"


@lru_cache(maxsize=1)
def _identify() -> Callable[[str], tuple[str, float]]:
    return identifier()
