"""The stages of a pipeline in lines, and what they have changed. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from core.run.before_after import BeforeAfter
from tui.services.run_list import RunRow
from tui.services.run_tree import TreeRow
from tui.services.styled import Line, Span, Tone, line, word
from tui.services.words import count_text, progress_bar, state_mark, value_text

_CHANGE_HEAD = "measured"


def stage_list(stages: Sequence[TreeRow], width: int) -> list[Line]:
    """Return a line for each stage: its state, how far it is, its newest numbers."""
    names = max((len(stage.title) for stage in stages), default=0)
    return [_stage(stage, min(names, 24), width) for stage in stages]


def _stage(stage: TreeRow, names: int, width: int) -> Line:
    row = stage.row
    mark, tone = state_mark(stage.word)
    spans: list[Span] = [(mark, tone), word(" "), word(stage.title[:names].ljust(names), "strong"), word("  ")]
    spans += [word(f"{row.phase:<9}", "muted"), word(f"{stage.word:<10}", tone)]
    if not stage.has_begun:
        return line(*spans)
    if row.step is not None and row.steps:
        spans += [progress_bar(row.step / row.steps, 10 if width < 100 else 24)]
        spans += [word(f" {count_text(row.step)}/{count_text(row.steps)}  ")]
    elif row.progress:
        spans += [word(f"{row.progress}  ")]
    return line(*spans, *_numbers(row))


def _numbers(row: RunRow) -> Iterator[Span]:
    for name, value in (("loss", row.loss), ("eval", row.evaluation)):
        if value is not None:
            yield word(f"{name} ", "muted")
            yield word(f"{value_text(value)}  ")


def change_list(stages: Sequence[TreeRow], changes: Mapping[str, tuple[BeforeAfter, ...]]) -> list[Line]:
    """Return what the finished stages have changed on held-out data, stage by stage, by the titles of the series."""
    shown = [(stage.title, change) for stage in stages for change in changes.get(stage.title, ())]
    rows = [
        (
            title,
            f"{change.series.title} ({change.series.unit})" if change.series.unit else change.series.title,
            value_text(change.before),
            value_text(change.after),
            change,
        )
        for title, change in shown
    ]
    if not rows:
        return []
    head = ("stage", _CHANGE_HEAD, "before", "after")
    widths = [max(len(head[at]), *(len(str(row[at])) for row in rows)) for at in range(4)]
    lines = [line(word("  ".join(_cells(head, widths)), "muted"))]
    for title, series, before, after, change in rows:
        cells = _cells((title, series, before, after), widths)
        spans = [word(f"{cells[0]}  {cells[1]}  {cells[2]}  "), word(cells[3], "strong")]
        lines.append(line(*spans, word(f"  {_difference(change)}", _tone(change))))
    return lines


def _cells(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [
        text.ljust(size) if at < 2 else text.rjust(size)
        for at, (text, size) in enumerate(zip(row, widths, strict=True))
    ]


def _difference(change: BeforeAfter) -> str:
    if change.first_step == change.last_step:
        return "(once)"
    sign = "+" if change.after > change.before else ""
    words = {True: " better", False: " worse", None: ""}[change.is_better]
    return f"{sign}{value_text(change.after - change.before)}{words}"


def _tone(change: BeforeAfter) -> Tone:
    match change.is_better:
        case True:
            return "good"
        case False:
            return "warning"
        case None:
            return "muted"
