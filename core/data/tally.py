"""What a source gave: rows, bad rows with their places, and the policy for too many of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from core.errors import DataError

KEPT_ERRORS = 20
_ALL_BAD_LIMIT = 1000


class RowError(Exception):
    """One row that cannot be used; `code` is a word to count by, the text says what was found and expected."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Tally:
    """Counts of one source while it is read.

    `rows` counts what was looked at (files, lines, objects), bad ones included, empty ones not. `repaired` counts
    rows that a stated rule changed. The first 20 bad rows are kept with file and line.
    """

    source: str
    """The source as a user finds it in the preset, such as `data.sources[0] (json, rows.jsonl)`."""
    max_bad_share: float
    rows: int = 0
    empty: int = 0
    documents: int = 0
    text_bytes: int = 0
    bad: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)

    def refuse(self, place: str, error: RowError) -> None:
        """Count a bad row.

        Raises: DataError where the first 1,000 rows were all bad: such a source is of another shape than stated.
        """
        self.bad[error.code] += 1
        if len(self.errors) < KEPT_ERRORS:
            self.errors.append(f"{place}: {error}")
        if self.bad.total() == self.rows == _ALL_BAD_LIMIT and self.max_bad_share < 1:
            raise self._too_many(self.bad.total(), self.rows)

    def check(self) -> None:
        """Raise DataError where the source gave nothing."""
        if self.documents:
            return
        if self.bad:
            raise self._too_many(self.bad.total(), self.rows)
        found = f"only empty text ({self.empty} times)" if self.empty else "nothing"
        raise DataError(
            f"{self.source}: expected at least one document, found {found}",
            hint="Check the path, the patterns and the field of this source, or leave the source out.",
        )

    def _too_many(self, bad: int, rows: int) -> DataError:
        return too_many_bad_rows([self], bad=bad, rows=rows, max_share=self.max_bad_share)


def too_many_bad_rows(tallies: list[Tally], *, bad: int, rows: int, max_share: float) -> DataError:
    """Return the error that says how many rows were bad, where, and what may be done."""
    shown = [error for tally in tallies for error in tally.errors][:KEPT_ERRORS]
    names = ", ".join(tally.source for tally in tallies if tally.bad)
    lines = "\n".join(f"  {line}" for line in shown)
    more = f"\n  ... and {bad - len(shown)} more" if bad > len(shown) else ""
    return DataError(
        f"{names}: {bad} of {rows} rows ({100 * bad / max(rows, 1):.3g} %) cannot be used, "
        f"at most {100 * max_share:.3g} % may be (data.max_bad_rows):\n{lines}{more}",
        hint="Mend the rows, name the right field or format, or raise data.max_bad_rows.",
    )


def check_shares(tallies: list[Tally], max_share: float) -> None:
    """Raise DataError where the share of bad rows over all sources is above `max_share`, or a source gave nothing."""
    bad = sum(tally.bad.total() for tally in tallies)
    rows = sum(tally.rows for tally in tallies)
    if bad > max_share * rows:
        raise too_many_bad_rows(tallies, bad=bad, rows=rows, max_share=max_share)
    for tally in tallies:
        tally.check()


def show(value: object, limit: int = 60) -> str:
    """Return a value as it may stand in a message: its repr, shortened."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
