"""What a preparation is likely to come to: documents, tokens and disk."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pydantic import Field, TypeAdapter

from core.config.data import InstructionData, PreparableData, TextData
from core.data.estimate import DocumentCount, bytes_a_token, count_documents, tokens_each
from core.queries.filter_report import reading_of, states_of, trials_of
from core.queries.tokens import TokensQuestion, tokenizer_of
from core.run.directory import Home

_DATA: TypeAdapter[TextData | InstructionData] = TypeAdapter(PreparableData)
_SECONDS = 1.5


class EstimateQuestion(TokensQuestion):
    """What `data` comes to, through its filters; `sample` as in a trial, so that both share one.

    Answer: documents and tokens that stay, bytes that they take in the shards (None where nobody can say before all
    is read), exact (whether the documents were counted), tokenizer, stands_in. The mix is left out of account: every
    document is taken once.
    """

    sample: int = Field(default=1_000, ge=1, le=100_000)


def estimate(question: EstimateQuestion, home: Home) -> dict[str, Any]:
    """Return the estimate.

    Raises: UsageError where there is no tokenizer; DataError where the data cannot be used.
    """
    data = question.section()
    tokenizer, place, stands_in = tokenizer_of(question, data, home)
    trials = trials_of(data, question.sample, home)
    report = trials.run(data.filters)
    share = len(report.kept) / report.documents if report.documents else 0.0
    counted: DocumentCount | None
    if trials.sample.is_all:
        counted = DocumentCount(float(report.documents), is_exact=True)
    else:
        counted = _counted(reading_of(data), states_of(data))
    each = tokens_each([candidate.value for candidate in report.kept], data, tokenizer)
    kept = None if counted is None else counted.documents * share
    tokens = None if kept is None else kept * each
    return {
        "documents": kept,
        "tokens": tokens,
        "bytes": None if tokens is None else tokens * bytes_a_token(data, tokenizer),
        "tokens_each": each,
        "exact": counted is not None and counted.is_exact,
        "tokenizer": str(place),
        "stands_in": stands_in,
    }


@lru_cache(maxsize=4)
def _counted(reading: str, states: str) -> DocumentCount | None:
    """Return the count, kept while the sources stay as they are."""
    return count_documents(_DATA.validate_json(reading), seconds=_SECONDS)
