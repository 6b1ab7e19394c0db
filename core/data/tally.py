"""What a source gave: rows, bad rows with their places, and the policy for too many of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from core.errors import DataError

KEPT_ERRORS = 20
_ALL_BAD_LIMIT = 1000


class RowError(Exception):
    """One row that cannot be used; `code` is a word to count by, the text says what was found and expected."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def _nothing() -> None:
    """Hear of a row and do nothing."""


@dataclass
class Tally:
    """Counts of one source while it is read.

    `rows` counts the physical records that were looked at (lines, objects, pages, files), bad and empty ones
    included; `documents` what came out of them. `repaired` counts rows that a stated rule changed, `skipped` files
    that a stated rule left out. The first 20 bad rows are kept with file and line.
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
    skipped: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    columns_seen: Counter[str] = field(default_factory=Counter)
    """In how many rows each column of a text_template was there."""
    on_row: Callable[[], None] = field(default=_nothing, compare=False, repr=False)
    """Called while rows go by, those that give no document included; what it raises ends the reading."""

    def refuse(self, place: str, error: RowError, *, rows: int = 1) -> None:
        """Count a bad row, or the several that one bad record is made of, such as the lines of a document.

        Raises: DataError where the first 1,000 rows were all bad: such a source is of another shape than stated.
        """
        self.on_row()
        self.bad[error.code] += rows
        if len(self.errors) < KEPT_ERRORS:
            self.errors.append(f"{place}: {error}")
        if self.bad.total() == self.rows == _ALL_BAD_LIMIT and self.max_bad_share < 1:
            raise self._too_many(self.bad.total(), self.rows)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON values, for `add`."""
        return {
            "rows": self.rows,
            "empty": self.empty,
            "documents": self.documents,
            "text_bytes": self.text_bytes,
            "bad": dict(sorted((+self.bad).items())),
            "repaired": dict(sorted((+self.repaired).items())),
            "skipped": dict(sorted((+self.skipped).items())),
            "columns_seen": dict(sorted(self.columns_seen.items())),
            "errors": [error.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for error in self.errors],
        }

    def add(self, values: Mapping[str, Any]) -> None:
        """Add what `as_json` returned of another part of the same source."""
        self.rows += values["rows"]
        self.empty += values["empty"]
        self.documents += values["documents"]
        self.text_bytes += values["text_bytes"]
        self.bad.update(values["bad"])
        self.repaired.update(values["repaired"])
        self.skipped.update(values["skipped"])
        self.columns_seen.update(values.get("columns_seen", {}))
        self.errors += values["errors"][: KEPT_ERRORS - len(self.errors)]

    def drop(self, values: Mapping[str, Any]) -> None:
        """Count documents that were given out and could not be used, as `as_json` of their tally has them.

        What was repaired there are documents that a stated rule left out.
        """
        left_out = values.get("repaired", {})
        self.documents -= sum(values["bad"].values()) + sum(left_out.values())
        self.bad.update(values["bad"])
        self.repaired.update(left_out)
        self.errors += values["errors"][: KEPT_ERRORS - len(self.errors)]

    def check(self) -> None:
        """Raise DataError where the source gave nothing, or no row has a column that its template names."""
        if self.documents:
            self._check_columns()
            return
        if self.bad.total() > self.max_bad_share * self.rows:
            raise self._too_many(self.bad.total(), self.rows)
        if self.bad:  # as many as may be, which here are all
            raise DataError(
                f"{self.source}: expected at least one document, found {_rows(self.bad.total())} that cannot be used:\n"
                f"{_listed(self.errors, self.bad.total())}",
                hint="Mend the rows, or name the right field or format.",
            )
        found = f"only empty text ({self.empty} times)" if self.empty else "nothing"
        raise DataError(
            f"{self.source}: expected at least one document, found {found}",
            hint="Check the path, the patterns and the field of this source, or leave the source out.",
        )

    def _check_columns(self) -> None:
        unseen = [name for name, count in self.columns_seen.items() if not count]
        if unseen:
            raise DataError(
                f"{self.source}: expected the columns {', '.join(map(repr, unseen))} of text_template in some row, "
                f"found them in none of {self.rows:,}",
                hint="`footplate data inspect` shows the columns that are there; name those, or leave the part out.",
            )

    def _too_many(self, bad: int, rows: int) -> DataError:
        return too_many_bad_rows([self], bad=bad, rows=rows, max_share=self.max_bad_share)


def too_many_bad_rows(tallies: list[Tally], *, bad: int, rows: int, max_share: float) -> DataError:
    """Return the error that says how many rows were bad, where, and what may be done."""
    shown = [error for tally in tallies for error in tally.errors][:KEPT_ERRORS]
    names = ", ".join(tally.source for tally in tallies if tally.bad)
    return DataError(
        f"{names}: {bad} of {rows} rows ({100 * bad / max(rows, 1):.3g} %) cannot be used, "
        f"at most {100 * max_share:.3g} % may be (data.max_bad_rows):\n{_listed(shown, bad)}",
        hint="Mend the rows, name the right field or format, or raise data.max_bad_rows.",
    )


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _listed(errors: list[str], count: int) -> str:
    more = f"\n  ... and {count - len(errors)} more" if count > len(errors) else ""
    return "\n".join(f"  {error}" for error in errors) + more


def check_shares(tallies: list[Tally], max_share: float) -> None:
    """Raise DataError where the share of bad rows over all sources is above `max_share`, or a source gave nothing."""
    bad = sum(tally.bad.total() for tally in tallies)
    # A row such as a tree of messages may give several documents, each of which may turn out bad.
    rows = sum(max(tally.rows - tally.empty, tally.documents + tally.bad.total(), 0) for tally in tallies)
    if bad > max_share * rows:
        raise too_many_bad_rows(tallies, bad=bad, rows=rows, max_share=max_share)
    for tally in tallies:
        tally.check()


def show(value: object, limit: int = 60) -> str:
    """Return a value as it may stand in a message: its repr, shortened."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
