"""One run, live: its curves, numbers, samples and log, and what one can ask of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen, Screen

from tui.screens import monitor_panes
from tui.screens.app_keys import PLACE_HINTS
from tui.screens.chart_deck import ChartDeck
from tui.screens.control import ask_of_run, choose_panel, export_run, open_stage, show_report
from tui.screens.monitor_charts import ChartSettings, Pages, curve_request
from tui.screens.monitor_keys import KEYS, NO_PANES, PAUSED, hints_of
from tui.screens.monitor_layout import HIDDEN, Room, parts_of
from tui.screens.stages_pane import StagesPane
from tui.services.monitor_text import ending_lines
from tui.services.safe_text import safe
from tui.services.styled import Line
from tui.services.watched import Watched
from tui.widgets.chart import ChartView
from tui.widgets.key_line import KeyLine
from tui.widgets.lines import LinesView
from tui.widgets.log_view import LogView
from tui.widgets.plot import Look

if TYPE_CHECKING:
    from tui.console import FootplateApp


class MonitorScreen(Screen[None]):
    """The watched run. The screen only shows: what it shows comes as messages, what it asks for goes to the feed."""

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-medium"), (100, "-wide")]  # noqa: RUF012 - as Textual declares it
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (10, "-small"), (16, "-low"), (20, "-normal"), (35, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self) -> None:
        super().__init__()
        self.settings = ChartSettings()
        self.pages = Pages()
        self._is_full = False
        self._is_paused = False
        self._panes = 0
        self._key = 0

    @property
    def console_app(self) -> FootplateApp:
        """The application."""
        return cast("FootplateApp", self.app)

    @property
    def watched(self) -> Watched | None:
        """The run that is shown."""
        return self.console_app.watched

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield LinesView(id="head")
        with Horizontal(id="body"):
            with Vertical(id="charts"):
                yield LinesView(id="ending")
                yield StagesPane(id="tree")
                yield LinesView(id="stages")
                look = self.console_app.look
                yield ChartDeck(Look(look.charset, look.has_color), lambda: self.console_app.is_link_busy, id="deck")
            with Vertical(id="side"):
                yield LinesView(id="facts", wraps=True)
                yield LinesView(id="machine")
        yield LinesView(id="machine-line")
        with Horizontal(id="bottom"):
            yield LogView(id="log")
            yield LogView(id="samples", empty="no samples")
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Name the panes."""
        monitor_panes.name_panes(self)
        self.show_run()

    def on_screen_resume(self) -> None:
        """Look at the run and the machine while they can be seen."""
        self.console_app.look_at_machine(on=True)
        self._show_all()

    def on_screen_suspend(self) -> None:
        """Do not look at what nobody sees; behind a question it still shows."""
        if not isinstance(self.app.screen, ModalScreen):
            self.console_app.look_at_machine(on=False)
            self.console_app.look_at_run(None)

    def on_resize(self) -> None:
        """Ask for curves of the new width once it has settled."""
        self.call_after_refresh(self._show_all)

    def show_run(self) -> None:
        """Show another run from its beginning, and whole: zoom and cursor are places in the run before."""
        log, samples = self.query_one("#log", LogView), self.query_one("#samples", LogView)
        log.clear()
        samples.clear()
        if self.watched is not None:
            if self.watched.key != self._key:
                self._key, self._is_full, self.settings = self.watched.key, False, self.settings.whole()
            log.add(list(self.watched.log))
            samples.add(self.watched.sample_lines())
        self._show_all()

    def show_lines(self, log: list[Line], samples: list[Line]) -> None:
        """Append to log and samples."""
        self.query_one("#log", LogView).add(log)
        self.query_one("#samples", LogView).add(samples)

    def show_state(self) -> None:
        """Show how the run is: head, facts, stages; and ask for the curves that are missing."""
        watched = self.watched
        if watched is None:
            monitor_panes.show_nothing(self)
            self._show_parts()
            return
        monitor_panes.show_head(self, watched)
        monitor_panes.show_facts(self, watched)
        self._show_parts()
        monitor_panes.show_stages(self, watched)
        self._ask()

    def show_curves(self) -> None:
        """Show a new frame."""
        watched = self.watched
        if watched is None or watched.frame is None or self._is_paused:
            return
        self._show_parts()
        monitor_panes.show_head(self, watched)
        self._deck.show(watched, self._shown(), self.settings)

    def show_machine(self) -> None:
        """Show the machine's newest reading."""
        monitor_panes.show_machine(self, self.console_app.machine_reading)

    @property
    def _deck(self) -> ChartDeck:
        return self.query_one(ChartDeck)

    @property
    def room(self) -> Room:
        """The room that there is, and what is asked to be seen."""
        return Room(self.size.width, self.size.height, self._is_full, self._panes)

    def _names(self) -> list[str]:
        return list(self.watched.view.panels()) if self.watched is not None else []

    def _shown(self) -> list[str]:
        return self.pages.shown(self._names(), self.room.charts)

    def _show_parts(self) -> None:
        """Show and hide what there is room and reason for."""
        watched, shown = self.watched, self._shown()
        self.query_one(KeyLine).show_hints([hints_of(watched), PLACE_HINTS])
        picked = self.pages.picked_name(self._names())
        ending = ending_lines(watched.view, watched.state, self.room.body_width) if watched is not None else []
        parts = parts_of(self.room, watched, shown=len(shown), has_ending=bool(ending))
        for name, is_shown in parts.items():
            self.query_one(f"#{name}").display = is_shown
        self._deck.pick(shown, picked)
        monitor_panes.show_ending(self, ending)

    def _show_all(self) -> None:
        self._show_parts()
        self.show_machine()
        self.show_state()
        self.show_curves()

    def _ask(self) -> None:
        """Ask the feed for the curves in sight."""
        watched = self.watched
        if watched is None or not self.is_current:
            return
        wanted = self._deck.wanted(self._shown())
        request = curve_request(watched.view, wanted, self.settings, watched.frame)
        self.console_app.look_at_run(request)

    def _change(self, settings: ChartSettings) -> None:
        self.settings = settings
        self._ask()
        self.show_curves()

    def action_pick(self, by: int) -> None:
        """Pick another chart, or move the cursor."""
        if self.settings.cursor is not None:
            self._move_cursor(by)
        else:
            self.pages.pick(1 if by > 0 else -1, self._names(), self.room.charts)
            self._show_all()

    def action_page(self, by: int) -> None:
        """Show other charts: the next becomes the large one."""
        self.pages.page(by, self._names(), self.room.charts)
        self._show_all()

    @work
    async def action_menu(self) -> None:
        """Choose the large chart from a list of all."""
        if self.watched is not None:
            name = await choose_panel(self.console_app, self.watched.view, self.pages.picked)
            self.pages.choose(name or "", self._names())
            self._show_all()

    def _move_cursor(self, by: int) -> None:
        if self.watched is not None and self.watched.frame is not None:
            columns = self._deck.charts[0].columns
            self._change(self.settings.moved_cursor(by, self.watched.frame, columns))

    def action_cursor(self) -> None:
        """Read exact values under a cursor, or no more."""
        if self.watched is not None and self.watched.frame is not None:
            self._change(self.settings.toggled_cursor(self.watched.frame))

    def action_logarithmic(self) -> None:
        """Switch the picked chart between a linear and a logarithmic y axis."""
        picked = {self.pages.picked_name(self._names())}
        self._change(replace(self.settings, logarithmic=self.settings.logarithmic ^ picked))

    def action_range(self) -> None:
        """Switch the picked chart between the usual and the full y range."""
        picked = {self.pages.picked_name(self._names())}
        self._change(replace(self.settings, full=self.settings.full ^ picked))

    def action_axis(self) -> None:
        """Take the next x axis."""
        self._change(self.settings.next_axis())

    def action_smooth(self) -> None:
        """Take the next strength of smoothing."""
        self._change(self.settings.next_smoothing())

    def action_zoom(self, by: int) -> None:
        """Zoom in, out, or all the way out; where no chart is seen there is nothing to zoom."""
        self._change(self.settings.zoomed(by if self._deck.display else 0))

    def action_full(self) -> None:
        """Show only the picked chart, where there is one, or all again."""
        self._is_full = self._deck.display and not self._is_full
        self.call_after_refresh(self._show_all)
        self._show_parts()

    def action_pause(self) -> None:
        """Hold the curves still, or let them go on."""
        self._is_paused = not self._is_paused
        self.console_app.tell(PAUSED if self._is_paused else safe("Live again."))
        self.show_curves()

    def action_log(self) -> None:
        """Show other panes at the bottom."""
        self._panes = self.room.next_panes
        if self._panes == HIDDEN:
            self.console_app.tell(NO_PANES)
        self._show_parts()
        self.call_after_refresh(self._show_all)

    def action_leave(self) -> None:
        """Leave the cursor, the full view, or the monitor."""
        if self.settings.cursor is not None or self._is_full:
            self.action_cursor() if self.settings.cursor is not None else self.action_full()
        elif self.watched is not None and self.watched.parent is not None:
            self.console_app.watch_run(self.watched.parent)
        else:
            self.console_app.action_go("runs")

    def action_report(self) -> None:
        """Show what each filter of a finished preparation dropped, and why."""
        if self.watched is not None:
            show_report(self.console_app, self.watched)

    @work
    async def action_control(self) -> None:
        """Choose what to ask of the run."""
        if self.watched is not None:
            await ask_of_run(self.console_app, self.watched)

    def action_export(self) -> None:
        """Export the model of the run."""
        if self.watched is not None:
            export_run(self.console_app, self.watched.run)

    @on(StagesPane.Opened)
    def _opened(self, message: StagesPane.Opened) -> None:
        open_stage(self.console_app, message.stage)

    @on(ChartView.Widened)
    def _widened(self) -> None:
        self._ask()

    @on(KeyLine.Pressed)
    async def _pressed(self, message: KeyLine.Pressed) -> None:
        await self.run_action(message.action)
