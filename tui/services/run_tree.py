"""The list of runs as a tree: below a run of several stages stand the runs of these, in their order. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from core.run.status import RunStatus
from tui.services.run_list import RunRow


@dataclass(frozen=True)
class TreeRow:
    """One line: the run, how the list calls it, and where it stands.

    `key` is its name, and for a stage that has not begun that of its pipeline and its own. `title` is the name of a
    stage, that of the run elsewhere. `parent` is the run to which a stage belongs.
    """

    key: str
    row: RunRow
    title: str
    parent: str = ""
    stages: int = 0
    is_folded: bool = False
    has_begun: bool = True
    """Whether there is a run; a stage whose turn has not come has none."""

    @property
    def word(self) -> str:
        """The word of its state."""
        return self.row.state.word if self.has_begun else "waiting"


def tree_rows(rows: Sequence[RunRow], folded: frozenset[str]) -> list[TreeRow]:
    """Return the rows in their order, each run of several stages followed by those unless it is folded."""
    by_name = {row.name: row for row in rows}
    inner = {stage.run for row in rows for stage in row.stages if stage.run in by_name}
    found: list[TreeRow] = []
    for row in rows:
        if row.name in inner:
            continue
        is_folded = row.name in folded
        found.append(TreeRow(row.name, row, row.name, stages=len(row.stages), is_folded=is_folded))
        if not is_folded:
            found += stage_rows(row, by_name)
    return found


def stage_rows(row: RunRow, by_name: Mapping[str, RunRow]) -> Iterator[TreeRow]:
    """Yield the stages of a run; of one that has not begun, what is known of it."""
    for stage in row.stages:
        if (begun := by_name.get(stage.run)) is not None:
            yield TreeRow(begun.name, begun, stage.name, row.name)
            continue
        words = "waits for the stages before it" if not stage.run else f"its run {stage.run} is not among those listed"
        waiting = RunRow(stage.name, RunStatus("created", words), phase=stage.phase)
        yield TreeRow(f"{row.name}/{stage.name}", waiting, stage.name, row.name, has_begun=False)
