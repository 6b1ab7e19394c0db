"""What the filters of a finished preparation did, in lines. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tui.services.data_detail import filter_lines
from tui.services.data_text import count_spans, share_text
from tui.services.json_values import Json, counts_of, list_of, maps, text_of, whole_of
from tui.services.safe_text import safe
from tui.services.styled import Line, line, word
from tui.services.trial_answers import Trial, trial_of
from tui.services.words import count_text


@dataclass(frozen=True)
class SourceRead:
    """What one source of a run gave; `left_out` are bad rows and skipped files by reason."""

    name: str
    format: str
    rows: int
    documents: int
    kept: int
    left_out: tuple[tuple[str, int], ...]

    @classmethod
    def of(cls, value: Json) -> SourceRead:
        """Return a source from the report."""
        rows, documents, kept = (whole_of(value, name) or 0 for name in ("rows", "documents", "kept"))
        left_out = (*counts_of(value, "bad"), *counts_of(value, "skipped"))
        return cls(text_of(value, "source"), text_of(value, "format"), rows, documents, kept, left_out)


@dataclass(frozen=True)
class RunReport:
    """What a preparation read, and what its filters did to that."""

    trial: Trial
    sources: tuple[SourceRead, ...]

    @classmethod
    def of(cls, answer: Json) -> RunReport:
        """Return the report from the helper's answer."""
        return cls(trial_of(answer), tuple(map(SourceRead.of, maps(list_of(answer, "sources")))))


def report_rows(report: RunReport) -> list[Line]:
    """Return a row for the whole, then one for each filter."""
    trial = report.trial
    share = share_text(trial.rows - trial.kept, trial.rows)
    rows = [line(word(" all", "strong"), right=[word(f" {count_text(trial.kept)} "), word(f"{share:>6} ", "warning")])]
    for number, one in enumerate(trial.filters, 1):
        name = one.kind.replace("_", " ")
        rows.append(line(word(f" {number} {name}", "strong"), right=count_spans(one)))
    return rows


def report_title(report: RunReport, row: int) -> str:
    """Return what the detail of a row is about."""
    return report.trial.filters[row - 1].kind.replace("_", " ") if row else "sources"


def report_lines(report: RunReport, row: int, width: int) -> list[Line]:
    """Return what is known of a row of `report_rows`."""
    if row:
        return filter_lines(report.trial, row - 1, width)
    lines: list[Line] = []
    for source in report.sources:
        lines.append(line((safe(_short(source.name), limit=200), "title")))
        lines.append(line(word(f"{source.format}  ".lstrip(), "muted"), word(f"{count_text(source.rows)} rows → "),
                          word(f"{count_text(source.documents)} documents → "),
                          word(f"{count_text(source.kept)} kept", "good")))  # fmt: skip
        lines += [line(word("! ", "bad"), word(f"{reason.replace('_', ' ')} "), word(count_text(count), "warning"))
                  for reason, count in source.left_out]  # fmt: skip
    if not report.trial.filters:
        lines += [line(), line(word("There were no filters.", "muted"))]
    return lines


def _short(name: str) -> str:
    """Return the end of a source's description, where its path is: `data.sources[0] (path, /a/b.jsonl)` is b.jsonl."""
    inside = name.partition(", ")[2].removesuffix(")")
    return Path(inside).name or name
