"""What the stages of a watched pipeline are at, and what those that are finished have changed."""

from __future__ import annotations

from core.run.before_after import BeforeAfter, before_after
from core.run.directory import RunDirectory
from tui.services.run_list import RunSummary
from tui.services.run_tree import TreeRow, stage_rows

Stages = tuple[tuple[TreeRow, ...], dict[str, tuple[BeforeAfter, ...]]]


class StagesWatch:
    """Looks at the runs of a pipeline's stages; of a run that is no pipeline there is nothing to look at."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._summary = RunSummary(run)
        self._inner: dict[str, RunSummary] = {}
        self._changes: dict[str, tuple[BeforeAfter, ...]] = {}
        self._told: Stages | None = None

    def look(self) -> Stages | None:
        """Return the stages and the changes by the stage's name, None where nothing is new."""
        row = self._summary.row()
        if not row.stages:
            return None
        rows = {}
        for stage in row.stages:
            run = RunDirectory(self._run.home.runs / stage.run)
            if stage.run and run.config.exists():
                rows[stage.run] = self._inner.setdefault(stage.run, RunSummary(run)).row()
        stages = tuple(stage_rows(row, rows))
        for one in stages:
            if one.row.state.word != "finished":
                self._changes.pop(one.title, None)
            elif one.title not in self._changes:
                self._changes[one.title] = tuple(before_after(RunDirectory(self._run.home.runs / one.row.name)))
        found = stages, dict(self._changes)
        if found == self._told:
            return None
        self._told = found
        return found
