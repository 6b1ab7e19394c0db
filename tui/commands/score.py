"""`score`: what a reward run's model says of the answers in a file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.run.runs import find_run_with_model
from tui.commands.context import Context
from tui.commands.display import write
from tui.commands.output import shown
from tui.commands.query import ask

_SECONDS = 3600
"""A large model takes minutes to load, and minutes for 64 rows on a CPU; after each of them it says so."""
_SHOWN_ERRORS = 5


@dataclass
class Summary:
    """What the scores of a file are together."""

    scores: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)

    def add(self, row: Mapping[str, Any]) -> None:
        """Count a row as the helper gave it."""
        if "margin" in row:
            self.margins.append(float(row["margin"]))
            self.scores += [float(row["chosen"]), float(row["rejected"])]
        else:
            self.scores.append(float(row["score"]))

    def words(self, answer: Mapping[str, Any]) -> list[str]:
        """Return the summary as lines for a person; `answer` is the helper's last one."""
        singles = len(self.scores) - 2 * len(self.margins)
        counts = [*([_count(singles, "answer")] if singles else []), *self._pairs()]
        spread = statistics.pstdev(self.scores)
        lines = [f"{', '.join(counts)}: mean score {statistics.fmean(self.scores):.4f}, spread {spread:.4f}"]
        if self.margins:
            better = sum(margin > 0 for margin in self.margins) / len(self.margins)
            lines.append(f"the better answer is above the worse one in {better:.1%} of pairs, "
                         f"by {statistics.fmean(self.margins):.4f} in the mean")  # fmt: skip
        return lines + bad_words(answer)

    def _pairs(self) -> list[str]:
        return [_count(len(self.margins), "pair")] if self.margins else []


def score(text: str, file: str, context: Context, *, as_json: bool) -> int:
    """Print the score of each row of a file in its order, and say what they are together.

    Raises: UsageError where the run has no model, or nothing is at `file`; what the helper answers.
    """
    run = find_run_with_model(context.home, text)
    path = Path(file).expanduser().absolute()
    if not path.exists():
        raise UsageError(f"there is nothing at {path}", hint="Name a file or a folder of rows.")
    summary = Summary()

    def take(progress: Mapping[str, Any]) -> None:
        rows = progress.get("scores", ())
        for row in rows:
            summary.add(row)
        write(context, "".join(f"{json.dumps(row) if as_json else line(row)}\n" for row in rows))

    question = {"verb": "score", "run": str(run.path), "file": str(path)}
    answer = ask(question, context, seconds=_SECONDS, progress=take)
    for words in summary.words(answer):
        context.say(words)
    return 0


def line(row: Mapping[str, Any]) -> str:
    """Return a row's scores for a person."""
    place = shown(str(row["place"]))
    if "margin" in row:
        return f"{place}  {row['chosen']:.4f}  {row['rejected']:.4f}  {row['margin']:+.4f}"
    label = "" if "label" not in row else "  good" if row["label"] else "  bad"
    return f"{place}  {row['score']:.4f}{label}"


def bad_words(answer: Mapping[str, Any]) -> list[str]:
    """Return which rows could not be scored; nothing where all could."""
    count = int(answer.get("bad_rows", 0))
    if not count:
        return []
    errors = [f"  {shown(str(error))}" for error in answer.get("errors", [])[:_SHOWN_ERRORS]]
    more = [f"  and {count - len(errors):,} more"] if count > len(errors) else []
    return [f"{_count(count, 'row')} could not be scored:", *errors, *more]


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"
