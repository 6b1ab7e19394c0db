"""The list of runs: what runs, what it has come to, and where to go on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, cast

from rich.style import Style
from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widgets import DataTable

from core.run.directory import RunDirectory
from tui.messages import RunsListed
from tui.screens.app_keys import PLACE_HINTS
from tui.screens.control import ask_to_stop, export_run, open_stage, tell_waiting
from tui.screens.dialogs import ConfirmDialog
from tui.services.run_list import RunRow, is_live
from tui.services.run_tree import TreeRow, tree_rows
from tui.services.runs_text import NARROW, RIGHT, WIDE, cells, detail_lines, empty_lines
from tui.services.safe_text import safe
from tui.services.styled import Span, cell_count, line, word
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.lines import TONE_CLASSES, TONE_CSS, LinesView, tone_style
from tui.widgets.titles import cell, set_title

if TYPE_CHECKING:
    from tui.console import FootplateApp


class RunsScreen(Screen[None]):
    """A table of the newest 500 runs; what is under the cursor is explained below it."""

    AUTO_FOCUS = "DataTable"
    DEFAULT_CSS = f"RunsScreen {{ {TONE_CSS} }}"
    COMPONENT_CLASSES: ClassVar[set[str]] = TONE_CLASSES
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - Textual declares it on the instance
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (14, "-low"), (20, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "monitor", id="runs.open", tooltip="Watch the run under the cursor"),
        Binding("n", "new", "new", id="runs.new", tooltip="Choose a preset and start a run"),
        Binding("o", "fold", "stages", id="runs.fold", tooltip="Show or hide the stages of a pipeline"),
        Binding("r", "resume", "resume", id="runs.resume", tooltip="Go on from the run's last checkpoint"),
        Binding("S", "stop", "stop", id="runs.stop", tooltip="Ask the run to save and stop"),
        Binding(
            "e", "export", "export", id="runs.export", tooltip="The model of a finished run in a folder of its own"
        ),
        Binding("j", "move(1)", "down", show=False, id="runs.down", tooltip="Next run"),
        Binding("k", "move(-1)", "up", show=False, id="runs.up", tooltip="Previous run"),
        Binding("g,home", "edge(0)", "first", show=False, id="runs.first", tooltip="First run"),
        Binding("G,end", "edge(1)", "last", show=False, id="runs.last", tooltip="Last run"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, TreeRow] = {}
        self._folded: frozenset[str] = frozenset()
        self._columns: tuple[str, ...] = ()
        self._shown: dict[str, tuple[Span, ...]] = {}
        self._widths: dict[str, int] = {}
        self._listed: RunsListed | None = None

    @property
    def console_app(self) -> FootplateApp:
        """The application."""
        return cast("FootplateApp", self.app)

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield LinesView(id="head")
        yield LinesView(id="empty")
        table: DataTable[object] = DataTable(id="runs", cursor_type="row", zebra_stripes=False, cell_padding=1)
        yield table
        yield LinesView(id="detail")
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Say that the list is being read, until it is there."""
        self.query_one("#runs").display = False
        self.query_one("#detail").display = False
        self.query_one("#empty", LinesView).show([line(), line(word("  reading the list of runs …", "muted"))])
        self._show_head()
        self.query_one(KeyLine).show_hints(
            [
                [
                    Hint("⏎", "monitor", "screen.open"),
                    Hint("n", "new", "screen.new"),
                    Hint("r", "resume", "screen.resume"),
                    Hint("S", "stop", "screen.stop"),
                    Hint("e", "export", "screen.export"),
                    Hint("o", "stages", "screen.fold"),
                ],
                PLACE_HINTS,
            ]
        )

    def on_screen_resume(self) -> None:
        """Look at the list while it can be seen."""
        self.console_app.look_at_runs(on=True)

    def on_screen_suspend(self) -> None:
        """Do not look at what nobody sees."""
        self.console_app.look_at_runs(on=False)

    def show_runs(self, listed: RunsListed) -> None:
        """Show what the feed found; rows that did not change are left alone."""
        self._listed = listed
        self._rows = {row.key: row for row in tree_rows(listed.rows, self._folded)}
        table = self._table()
        has_runs = bool(listed.rows)
        self.query_one("#empty").display = not has_runs
        table.display = has_runs
        self.query_one("#detail").display = has_runs
        if not has_runs:
            self.query_one("#empty", LinesView).show(empty_lines(self.console_app.home))
        self._fill()
        self._show_head()
        self._show_detail()
        if has_runs and self.focused is None:
            table.focus()

    def on_resize(self) -> None:
        """Take other columns where the width asks for them."""
        self._fill()
        self._show_detail()

    def _table(self) -> DataTable[object]:
        return self.query_one("#runs", DataTable)

    def _fill(self) -> None:
        table = self._table()
        columns, now = WIDE if self.size.width >= 100 else NARROW, time.time()
        wanted = {name: cells(row, columns, now) for name, row in self._rows.items()}
        old = self._widths if columns == self._columns else {}
        widths = dict(old)
        for at, column in enumerate(columns):
            sizes = [cell_count(row[at][0].text) for row in wanted.values()]
            widths[column] = max([cell_count(column), old.get(column, 0), *sizes])
        if widths == old and list(wanted) == list(self._shown):
            for name, row in wanted.items():
                for column, new, before in zip(columns, row, self._shown[name], strict=True):
                    if new != before:
                        table.update_cell(name, column, self._cell(new, column))
        else:
            under = self._name_under_cursor()
            table.clear(columns=True)
            for column in columns:  # widths that Textual finds by itself come after rows may have been drawn
                table.add_column(cell(safe(column), right=column in RIGHT), key=column, width=widths[column])
            for name, row in wanted.items():
                table.add_row(*(self._cell(part, at) for part, at in zip(row, columns, strict=True)), key=name)
            if under in wanted:
                table.move_cursor(row=list(wanted).index(under), animate=False)
        self._columns, self._shown, self._widths = columns, wanted, widths

    def _cell(self, span: Span, column: str) -> object:
        look = tone_style(self)(span[1])
        return cell(span[0], Style(color=look.color, bold=look.bold), right=column in RIGHT)

    def _name_under_cursor(self) -> str:
        names = list(self._shown)
        index = self._table().cursor_row
        return names[index] if 0 <= index < len(names) else ""

    def _row_under_cursor(self) -> TreeRow | None:
        return self._rows.get(self._name_under_cursor())

    def _begun(self) -> RunRow | None:
        """Return the run under the cursor; of a stage that has not begun there is none, which is said."""
        row = self._row_under_cursor()
        if row is not None and not row.has_begun:
            tell_waiting(self.console_app, row)
            return None
        return row.row if row is not None else None

    def _show_head(self) -> None:
        listed = self._listed
        count = "" if listed is None else f"{len(listed.rows)} of {listed.total} runs" if listed.total else "no runs"
        if listed is not None and not listed.complete:
            count = f"reading {len(listed.rows)}/{listed.total} …"
        live = sum(is_live(row.state) for row in listed.rows) if listed is not None else 0
        right = [word(f"{live} running  " if live else "", "good"), word(f"{count} ", "muted")]
        home = word(str(self.console_app.home.runs), "muted")
        self.query_one("#head", LinesView).show(
            [line(word(" FOOTPLATE", "title"), word("  1 Runs   ", "strong"), home, right=right)]
        )

    def _show_detail(self) -> None:
        row = self._row_under_cursor()
        detail = self.query_one("#detail", LinesView)
        set_title(detail, [word(row.row.name if row else "")])
        detail.show(detail_lines(row, self.console_app.home, self.size.width - 2) if row else [])

    @on(DataTable.RowHighlighted)
    def _highlighted(self) -> None:
        self._show_detail()

    @on(DataTable.RowSelected)
    def _selected(self) -> None:
        self.action_open()

    @on(KeyLine.Pressed)
    async def _pressed(self, message: KeyLine.Pressed) -> None:
        await self.run_action(message.action)

    def _directory(self, row: RunRow) -> RunDirectory:
        return RunDirectory(self.console_app.home.runs / row.name)

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        table = self._table()
        table.move_cursor(row=max(0, table.cursor_row + by), animate=False)

    def action_edge(self, which: int) -> None:
        """Move the cursor to the first or the last run."""
        self._table().move_cursor(row=len(self._rows) - 1 if which else 0, animate=False)

    def action_open(self) -> None:
        """Watch the run under the cursor."""
        row = self._row_under_cursor()
        if row is not None:
            open_stage(self.console_app, row)

    def action_fold(self) -> None:
        """Show or hide the stages of the run under the cursor, or of the one to which it belongs."""
        row = self._row_under_cursor()
        owner = (row.parent or row.key) if row is not None and (row.parent or row.stages) else ""
        if owner and self._listed is not None:
            self._folded = self._folded ^ {owner}
            self.show_runs(self._listed)
            if owner in self._shown:
                self._table().move_cursor(row=list(self._shown).index(owner), animate=False)

    def action_new(self) -> None:
        """Choose a preset."""
        self.console_app.action_go("configure")

    @work
    async def action_resume(self) -> None:
        """Go on with the run under the cursor."""
        row = self._begun()
        if row is None:
            return
        if is_live(row.state):
            self.console_app.tell(safe(f"{row.name} is {row.state.word}: there is nothing to resume."), "warning")
            return
        verb = "Start" if row.state.word == "created" else "Go on with"
        text = [safe(f"{verb} {row.name}. It runs on its own; leaving this console does not stop it.")]
        if await self.app.push_screen_wait(ConfirmDialog(safe(f"{verb} {row.name}?"), text, yes=safe("start it"))):
            self.console_app.start_run(self._directory(row))

    def action_export(self) -> None:
        """Export the model of the run under the cursor."""
        row = self._begun()
        if row is not None:
            export_run(self.console_app, self._directory(row))

    @work
    async def action_stop(self) -> None:
        """Ask the run under the cursor to stop."""
        row = self._begun()
        if row is not None:
            await ask_to_stop(self.console_app, self._directory(row), row.state.word)
