"""What each filter of a finished preparation dropped, and why: over the monitor, from the run's own report."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.screen import ModalScreen

from core.run.directory import RunDirectory
from tui.services.data_detail import refused_lines
from tui.services.data_questions import DataAnswered, DataProgress, DataQuestions, DataRefused
from tui.services.data_state import Refusal
from tui.services.report_text import RunReport, report_lines, report_rows, report_title
from tui.services.safe_text import safe
from tui.services.styled import line, word
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.lines import LinesView
from tui.widgets.page_view import PageView
from tui.widgets.row_list import RowList
from tui.widgets.titles import set_title

if TYPE_CHECKING:
    from tui.console import FootplateApp

DROPPED = 1_000
"""Documents that are asked for, about as many of each rule."""
_HINTS = [
    Hint("↑↓", "filter", ""), Hint("tab", "its documents", "app.focus_next"), Hint("esc", "back", "screen.leave"),
]  # fmt: skip


class ReportScreen(ModalScreen[None]):
    """The filters on the left, what the one under the cursor dropped beside them."""

    AUTO_FOCUS = "RowList"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "leave", "back", show=False, id="report.back", tooltip="Back to the monitor"),
        Binding("tab", "app.focus_next", "pane", show=False, id="report.pane", tooltip="Go to the documents, and back"),
    ]

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self._run = run
        self._report: RunReport | None = None
        self._refusal: Refusal | None = None

    @property
    def console_app(self) -> FootplateApp:
        """The application."""
        return cast("FootplateApp", self.app)

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield LinesView(id="head")
        with Horizontal(id="body"):
            yield RowList(id="list")
            yield PageView(id="detail")
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Ask for the report."""
        self.query_one(KeyLine).show_hints([_HINTS])
        set_title(self.query_one(RowList), [word("filters", "title")])
        self._questions = DataQuestions(self.post_message, self.console_app.helper_environment, self.console_app.helper)
        question = {"verb": "filter_report", "run": str(self._run.path.absolute()), "dropped": DROPPED}
        self._questions.ask("report", question)
        self._show()

    def on_unmount(self) -> None:
        """End the helper."""
        self._questions.end()

    @on(DataAnswered)
    @on(DataRefused)
    @on(DataProgress)
    def _answered(self, message: DataAnswered | DataRefused | DataProgress) -> None:
        match message:
            case DataAnswered():
                self._report = RunReport.of(message.result)
            case DataRefused():
                self._refusal = Refusal(message.message, message.hint)
            case DataProgress():
                return
        self._show()

    def _show(self) -> None:
        report = self._report
        right = [] if report is None else [word(f"{report.trial.kept:,} of {report.trial.rows:,} kept ", "good")]
        name = safe(self._run.name, limit=64)
        head = line(word(" FOOTPLATE", "title"), word("  what filters dropped  ", "strong"), name, right=right)
        self.query_one("#head", LinesView).show([head])
        self.query_one(RowList).show(report_rows(report) if report is not None else [])
        self._show_detail()

    @on(RowList.Moved)
    def _show_detail(self) -> None:
        detail, row, report = self.query_one("#detail", PageView), self.query_one(RowList).cursor, self._report
        if report is None:
            refusal = self._refusal
            detail.show(lambda width: refused_lines(refusal, width) or [line(word("reading the report …", "muted"))])
            return
        set_title(detail, [word(report_title(report, row), "title")])
        detail.show(lambda width: report_lines(report, row, width), subject=row)

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.query_one("#detail").focus()

    @on(KeyLine.Pressed)
    async def _pressed(self, message: KeyLine.Pressed) -> None:
        await self.run_action(message.action)

    def action_leave(self) -> None:
        """Go back to the monitor."""
        self.dismiss(None)
