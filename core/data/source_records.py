"""What each source gave to a prepared folder, for its manifest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from core.config.sources import CodeSource
from core.data.cleaning.clean import Cleaned
from core.data.manifest import SourceRecord, Split
from core.data.sources.code_files import licence_files
from core.data.tokens.encoding import OVER_LONG_LEFT_OUT


def source_records(cleaned: Cleaned, given: Mapping[Split, Sequence[tuple[int, int]]]) -> list[SourceRecord]:
    """Return the record of each source; `given` has the documents and tokens that it gave to each split.

    Raises: UsageError, DataError where a source of code is not there any more.
    """
    plan = cleaned.plan
    return [
        SourceRecord(
            source=tally.source,
            format=plan.formats[number],
            rows=tally.rows,
            documents=tally.documents,
            text_bytes=tally.text_bytes,
            empty=tally.empty,
            bad=dict(sorted(tally.bad.items())),
            repaired=dict(sorted(tally.repaired.items())),
            skipped=dict(sorted(tally.skipped.items())),
            licences=licence_files(source) if isinstance(source, CodeSource) else {},
            errors=tally.errors,
            files=plan.files[number],
            train_documents=given["train"][number][0],
            train_tokens=given["train"][number][1],
            held_out_documents=given["held_out"][number][0],
            held_out_tokens=given["held_out"][number][1],
        )
        for number, (tally, source) in enumerate(zip(cleaned.tallies, plan.data.sources, strict=True))
    ]


def dropped_rows(cleaned: Cleaned) -> dict[str, int]:
    """Return how many rows did not become documents that are trained on, by reason."""
    total: Counter[str] = Counter(cleaned.report.dropped())
    for tally in cleaned.tallies:
        total.update(tally.bad)
        total["empty"] += tally.empty
        total["over_long"] += tally.repaired[OVER_LONG_LEFT_OUT]
    return {reason: count for reason, count in sorted(total.items()) if count}
