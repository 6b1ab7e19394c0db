"""Faults in the tokens of instruction data that are to stop a launch, unless the configuration accepts them by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from core.config.data import Accepted
from core.errors import DataError

Fault = Literal["unlabelled_rows", "double_begin", "no_end_of_turn", "over_long_answers"]
KEPT_PLACES = 5

WORDS: dict[Fault, str] = {
    "unlabelled_rows": "have no token that the loss counts",
    "double_begin": "begin with two begin tokens",
    "no_end_of_turn": "have an answer without a special token at its end, so that nothing teaches the model to stop",
    "over_long_answers": "have an answer that alone is longer than data.max_tokens",
}
_HINTS: dict[Fault, str] = {
    "unlabelled_rows": "Look at the rows' loss weights, or raise data.max_unlabelled_rows.",
    "double_begin": "The chat template writes the begin token twice: mend chat_template.jinja.",
    "no_end_of_turn": "Set template: alpaca, or mend chat_template.jinja so that it ends an answer with a special "
    "token.",
    "over_long_answers": "Raise data.max_tokens.",
}
_ACCEPTED_BY: dict[Fault, tuple[Accepted, ...]] = {
    "unlabelled_rows": ("unlabelled_rows",),
    "double_begin": ("double_begin",),
    "no_end_of_turn": ("no_end_of_turn",),
    "over_long_answers": ("dropped_answers", "cut_answers"),
}


@dataclass
class Faults:
    """How many rows have which fault, with the first places of each."""

    rows: int = 0
    """Rows that were looked at."""
    counts: Counter[Fault] = field(default_factory=Counter)
    places: dict[Fault, list[str]] = field(default_factory=dict)

    def count(self, fault: Fault, place: str) -> None:
        """Count a row."""
        self.counts[fault] += 1
        kept = self.places.setdefault(fault, [])
        if len(kept) < KEPT_PLACES:
            kept.append(place)

    def as_json(self) -> dict[str, Any]:
        """Return the counts as JSON values, for `add`."""
        places = {
            fault: [place.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for place in kept]
            for fault, kept in sorted(self.places.items())
        }
        return {"rows": self.rows, "counts": dict(sorted(self.counts.items())), "places": places}

    def add(self, values: Mapping[str, Any]) -> None:
        """Add what `as_json` returned of other rows."""
        self.rows += values["rows"]
        self.counts.update(values["counts"])
        for fault, places in values["places"].items():
            kept = self.places.setdefault(fault, [])
            kept += places[: KEPT_PLACES - len(kept)]

    def check(self, accept: Sequence[Accepted], max_unlabelled_rows: float) -> None:
        """Raise DataError where a fault is not accepted; rows without labels may be a share of all rows."""
        found = self.refused(accept, max_unlabelled_rows)
        if found:
            raise DataError("\n".join(self.message(fault) for fault in found), hint="\n".join(map(self.hint, found)))

    def refused(self, accept: Sequence[Accepted], max_unlabelled_rows: float) -> list[Fault]:
        """Return the faults that are not accepted."""
        return [
            fault
            for fault in WORDS
            if self.counts[fault]
            and not set(accept) & set(_ACCEPTED_BY[fault])
            and not (fault == "unlabelled_rows" and self.counts[fault] <= max_unlabelled_rows * self.rows)
        ]

    def message(self, fault: Fault) -> str:
        """Return what was found, and where first."""
        count = self.counts[fault]
        places = "".join(f"\n  {place}" for place in self.places.get(fault, []))
        more = count - len(self.places.get(fault, []))
        share = f"{count} of {self.rows} rows ({100 * count / max(self.rows, 1):.3g} %)"
        return f"{share} {WORDS[fault]}:{places}" + (f"\n  ... and {more} more" if more else "")

    def hint(self, fault: Fault) -> str:
        """Return what may be done about a fault, the name by which it is accepted included."""
        accepted = _ACCEPTED_BY[fault]
        if fault == "over_long_answers":
            ways = "data.accept: [dropped_answers] leaves such rows out and counts them, [cut_answers] cuts the answers"
            return f"{_HINTS[fault]} {ways} at their ends."
        return f"{_HINTS[fault]} data.accept: [{accepted[0]}] accepts it."
