"""The stages of a watched pipeline: a list to choose from, and below it what those that are finished have changed."""

from __future__ import annotations

from dataclasses import dataclass

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from tui.services.run_list import is_live
from tui.services.run_tree import TreeRow
from tui.services.stages_text import change_list, stage_list
from tui.services.styled import word
from tui.services.watched import Watched
from tui.widgets.log_view import LogView
from tui.widgets.row_list import RowList
from tui.widgets.titles import set_title


class StagesPane(Vertical):
    """Follows the stage that runs until its user moves the cursor."""

    @dataclass
    class Opened(Message):
        """A stage was chosen."""

        stage: TreeRow

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._stages: tuple[TreeRow, ...] = ()
        self._shown: object = None
        self._at = ""

    def compose(self) -> ComposeResult:
        """Lay out list and table."""
        yield RowList(id="stage-list")
        yield LogView(id="changes", starts_at_end=False)

    def on_mount(self) -> None:
        """Name the parts."""
        set_title(self.query_one(RowList), [word("stages")])
        set_title(self.query_one("#changes"), [word("before and after")])

    def show(self, watched: Watched) -> None:
        """Show the stages of the watched run, where it has any."""
        rows, table = self.query_one(RowList), self.query_one("#changes", LogView)
        self._stages = watched.stages
        shown = (watched.key, watched.stages, watched.changes, self.size.width)
        if shown == self._shown:
            return
        if self._shown is None or not isinstance(self._shown, tuple) or self._shown[0] != watched.key:
            self._at = ""
        self._shown = shown
        rows.styles.height = len(self._stages) + 2
        rows.show(stage_list(self._stages, self.size.width))
        table.clear()
        table.add(change_list(self._stages, watched.changes))
        running = next((stage for stage in self._stages if is_live(stage.row.state)), None)
        if running is not None and running.key != self._at:
            self._at = running.key
            rows.move_to(self._stages.index(running))
        if self._stages and self.screen.focused is None:
            rows.focus()

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        message.stop()
        if message.index < len(self._stages):
            self.post_message(self.Opened(self._stages[message.index]))
