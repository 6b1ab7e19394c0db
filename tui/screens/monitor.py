"""One run, live: its curves, numbers, samples and log, and what one can ask of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen

from tui.screens.dialogs import MenuDialog, Option
from tui.screens.monitor_charts import (
    ChartSettings,
    chart_data,
    chart_title,
    cursor_words,
    curve_request,
)
from tui.services.monitor_text import ending_lines, fact_lines, head_lines, machine_line, machine_lines, stage_lines
from tui.services.run_list import is_live
from tui.services.safe_text import safe
from tui.services.styled import Line, line, word
from tui.services.watched import Watched
from tui.widgets.chart import ChartView
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.lines import LinesView
from tui.widgets.log_view import LogView
from tui.widgets.plot import Look
from tui.widgets.titles import set_title

if TYPE_CHECKING:
    from tui.console import FootplateApp

_CHARTS = 4
_HINTS = [
    Hint("[ ]", "charts", "screen.page(1)"), Hint("y", "log", "screen.logarithmic"), Hint("x", "axis", "screen.axis"),
    Hint("s", "smooth", "screen.smooth"), Hint("i", "read", "screen.cursor"), Hint("z", "zoom", "screen.zoom(1)"),
    Hint("f", "full", "screen.full"), Hint("c", "control", "screen.control"), Hint("L", "log/samples", "screen.log"),
]  # fmt: skip


class MonitorScreen(Screen[None]):
    """The watched run. The screen only shows: what it shows comes as messages, what it asks for goes to the feed."""

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (60, "-medium"), (100, "-wide")]  # noqa: RUF012 - as Textual declares it
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (10, "-small"), (16, "-low"), (20, "-normal"), (35, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "pick(-1)", "chart", show=False, id="monitor.left", tooltip="The chart before; cursor left"),
        Binding("right", "pick(1)", "chart", show=False, id="monitor.right", tooltip="The next chart; cursor right"),
        Binding("left_square_bracket", "page(-1)", "page", id="monitor.back", tooltip="The charts before"),
        Binding("right_square_bracket", "page(1)", "page", id="monitor.forth", tooltip="The next charts"),
        Binding("y", "logarithmic", "log y", id="monitor.log_y", tooltip="Logarithmic y axis, true log10"),
        Binding("x", "axis", "x axis", id="monitor.axis", tooltip="x: steps, tokens or time"),
        Binding("s", "smooth", "smoothing", id="monitor.smooth", tooltip="Smoothing: 0, .5, .9, .97, .99"),
        Binding("a", "range", "y range", id="monitor.range", tooltip="y: the middle 98 % of the values, or all"),
        Binding("z", "zoom(1)", "zoom in", id="monitor.zoom_in", tooltip="Half the x range"),
        Binding("Z", "zoom(-1)", "zoom out", id="monitor.zoom_out", tooltip="Twice the x range"),
        Binding("0", "zoom(0)", "all", id="monitor.zoom_reset", tooltip="The whole x range"),
        Binding("i", "cursor", "read", id="monitor.cursor", tooltip="Read exact values: ← → move, ⇧ by tens"),
        Binding("shift+left", "pick(-10)", show=False, id="monitor.far_left"),
        Binding("shift+right", "pick(10)", show=False, id="monitor.far_right"),
        Binding("f", "full", "full", id="monitor.full", tooltip="Only the picked chart"),
        Binding("p", "pause", "pause", id="monitor.pause", tooltip="Hold the view still; the run goes on"),
        Binding("L", "log", "log", id="monitor.log", tooltip="Log and samples, log, samples, neither"),
        Binding("c", "control", "control", id="monitor.control", tooltip="Stop, save, evaluate, sample"),
        Binding(
            "escape",
            "leave",
            "back",
            show=False,
            id="monitor.leave",
            tooltip="Out of the cursor, the full view, to the runs",
        ),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.settings = ChartSettings()
        self._first = 0
        self._picked = 0
        self._is_full = False
        self._is_paused = False
        self._panes = 0

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
                yield LinesView(id="stages")
                yield ChartView(id="chart-0")
                with Horizontal(id="row"):
                    for index in range(1, _CHARTS):
                        yield ChartView(id=f"chart-{index}")
            with Vertical(id="side"):
                yield LinesView(id="facts", wraps=True)
                yield LinesView(id="machine")
        yield LinesView(id="machine-line")
        with Horizontal(id="bottom"):
            yield LogView(id="log")
            yield LogView(id="samples")
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Name the panes."""
        look = Look(self.console_app.charset, self.console_app.has_color)
        for chart in self._charts():
            chart.look = look
        for name in ("facts", "machine", "log", "samples"):
            set_title(self.query_one(f"#{name}"), [word("run" if name == "facts" else name)])
        self.query_one(KeyLine).show_hints([_HINTS, self.console_app.place_hints()])
        self.show_run()

    def on_screen_resume(self) -> None:
        """Look at the run and the machine while they can be seen."""
        self.console_app.look_at_machine(on=True)
        self.show_run()

    def on_screen_suspend(self) -> None:
        """Do not look at what nobody sees."""
        self.console_app.look_at_machine(on=False)
        self.console_app.look_at_run(None)

    def on_resize(self) -> None:
        """Ask for curves of the new width once it has settled."""
        self.call_after_refresh(self._show_all)

    # what came from the feed

    def show_run(self) -> None:
        """Show another run from its beginning."""
        log, samples = self.query_one("#log", LogView), self.query_one("#samples", LogView)
        log.clear()
        samples.clear()
        if self.watched is not None:
            log.add(self.watched.log)
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
            self._show_nothing()
            return
        view = watched.view
        width = self.size.width
        self.query_one("#head", LinesView).show(head_lines(view, watched.state, watched.frame, width))
        self.query_one("#facts", LinesView).show(fact_lines(view, watched.state))
        self._show_parts()
        self.query_one("#stages", LinesView).show([line(), *stage_lines(view, self.query_one("#stages").size.width)])
        self._ask()

    def show_curves(self) -> None:
        """Show a new frame: the picked chart now, the others one after another, so that no key waits for all."""
        watched = self.watched
        if watched is None or watched.frame is None or self._is_paused:
            return
        self._show_parts()
        self.query_one("#head", LinesView).show(head_lines(watched.view, watched.state, watched.frame, self.size.width))
        panels = watched.view.panels()
        names = list(panels)
        for chart, name in zip(self._charts(), self._shown(), strict=False):
            data = chart_data(name, panels[name], watched.frame, self.settings, watched.clip)
            place = f"{names.index(name) + 1}/{len(names)}" if len(names) > self._visible_count() else ""
            chart.show(chart_title(name, panels[name], self.settings, place), data)
            chart.below = cursor_words(watched.frame, panels[name], self.settings)
        self._draw_next()

    def show_machine(self) -> None:
        """Show the machine's newest reading."""
        reading = self.console_app.machine_reading
        panel = self.query_one("#machine", LinesView)
        panel.show(machine_lines(reading, panel.size.width))
        self.query_one("#machine-line", LinesView).show([machine_line(reading)])

    def _draw_next(self) -> None:
        due = [chart for chart in self._charts() if chart.is_due and chart.display]
        if not due:
            return
        if self.console_app.is_link_busy:  # a slow terminal: what waits to be sent goes first
            self.set_timer(0.3, self._draw_next)
            return
        due[0].draw_now()
        if len(due) > 1:
            self.set_timer(0.03, self._draw_next)

    def _show_nothing(self) -> None:
        head = line(word(" FOOTPLATE", "title"), word("  4 Monitor", "strong"))
        self.query_one("#head", LinesView).show([head])
        self._show_parts()
        words = [line(), line(word("  No run is being watched.")), line()]
        words.append(line(word("  1", "accent"), word("  go to the list of runs and press ⏎ on one")))
        self.query_one("#stages", LinesView).show(words)

    # layout

    def _charts(self) -> list[ChartView]:
        return [self.query_one(f"#chart-{index}", ChartView) for index in range(_CHARTS)]

    def _visible_count(self) -> int:
        roomy = self.has_class("-wide") and (self.has_class("-tall") or self.has_class("-normal"))
        return 1 if self._is_full or not roomy else _CHARTS

    def _shown(self) -> list[str]:
        """Return the panels in sight, first the large one."""
        names = list(self.watched.view.panels()) if self.watched is not None else []
        if not names:
            return []
        count = min(len(names), self._visible_count())
        first = self._picked if count == 1 else self._first
        return [names[(first + index) % len(names)] for index in range(count)]

    def _show_parts(self) -> None:
        """Show and hide what there is room and reason for."""
        watched = self.watched
        shown = self._shown()
        has_rows = watched is not None and watched.frame is not None and watched.frame.step > 0
        too_small = self.has_class("-tiny") or (self.has_class("-narrow") and self.size.width < 40)
        stages = watched is None or (not has_rows and bool(watched.view.progress or not shown))
        self.query_one("#stages").display = stages and not too_small
        for index, chart in enumerate(self._charts()):
            chart.display = index < len(shown) and not stages and not too_small
            chart.set_class(len(shown) > 1 and index == self._picked_place(shown), "-picked")
        self.query_one("#row").display = len(shown) > 1 and not stages
        ending = ending_lines(watched.view) if watched is not None else []
        panel = self.query_one("#ending", LinesView)
        panel.display = bool(ending) and not self.has_class("-tiny")
        panel.styles.height = len(ending)
        panel.show(ending)
        self.query_one("#side").display = self.has_class("-wide") and not self._is_full
        self.query_one("#log").display = self._panes in (0, 1)
        self.query_one("#samples").display = self._panes == 2 or (self._panes == 0 and self.has_class("-wide"))
        self.query_one("#bottom").display = self._panes != 3 and self.has_class("-normal") | self.has_class("-tall")
        self.query_one("#machine-line").display = not self.has_class("-wide") and not self.has_class("-tiny")

    def _picked_place(self, shown: list[str]) -> int:
        names = list(self.watched.view.panels()) if self.watched is not None else []
        picked = names[self._picked % len(names)] if names else ""
        return shown.index(picked) if picked in shown else 0

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
        charts = zip(self._charts(), self._shown(), strict=False)
        shown = [(name, chart.columns) for chart, name in charts if chart.columns > 1]
        request = curve_request(watched.view, shown, self.settings, watched.frame)
        self.console_app.look_at_run(request)

    # actions

    def _change(self, settings: ChartSettings) -> None:
        self.settings = settings
        self._ask()
        self.show_curves()

    def _picked_panel(self) -> str:
        names = list(self.watched.view.panels()) if self.watched is not None else []
        return names[self._picked % len(names)] if names else ""

    def action_pick(self, by: int) -> None:
        """Pick another chart, or move the cursor."""
        if self.settings.cursor is not None:
            self._move_cursor(by)
            return
        names = list(self.watched.view.panels()) if self.watched is not None else []
        if names:
            self._picked = (self._picked + (1 if by > 0 else -1)) % len(names)
            if self._visible_count() > 1 and names[self._picked] not in self._shown():
                self._first = self._picked
            self._show_all()

    def action_page(self, by: int) -> None:
        """Show other charts: the next becomes the large one."""
        names = list(self.watched.view.panels()) if self.watched is not None else []
        if names:
            self._first = (self._first + by) % len(names)
            self._picked = self._first if self._visible_count() > 1 else (self._picked + by) % len(names)
            self._show_all()

    def _move_cursor(self, by: int) -> None:
        frame = self.watched.frame if self.watched is not None else None
        if frame is None or self.settings.cursor is None:
            return
        column = (frame.last - frame.first) / max(1, self._charts()[0].columns - 1)
        at = min(max(frame.first, self.settings.cursor + by * column), min(frame.last, frame.newest))
        self._change(replace(self.settings, cursor=at))

    def action_cursor(self) -> None:
        """Read exact values under a cursor, or no more."""
        frame = self.watched.frame if self.watched is not None else None
        if self.settings.cursor is not None:
            self._change(replace(self.settings, cursor=None))
        elif frame is not None:
            self._change(replace(self.settings, cursor=min(frame.newest, frame.last)))

    def action_logarithmic(self) -> None:
        """Switch the picked chart between a linear and a logarithmic y axis."""
        self._change(replace(self.settings, logarithmic=self.settings.logarithmic ^ {self._picked_panel()}))

    def action_range(self) -> None:
        """Switch the picked chart between the usual and the full y range."""
        self._change(replace(self.settings, full=self.settings.full ^ {self._picked_panel()}))

    def action_axis(self) -> None:
        """Take the next x axis."""
        self._change(self.settings.next_axis())

    def action_smooth(self) -> None:
        """Take the next strength of smoothing."""
        self._change(self.settings.next_smoothing())

    def action_zoom(self, by: int) -> None:
        """Zoom in, out, or all the way out."""
        self._change(replace(self.settings, zoom=max(0, min(16, self.settings.zoom + by)) if by else 0))

    def action_full(self) -> None:
        """Show only the picked chart, or all again."""
        self._is_full = not self._is_full
        self.call_after_refresh(self._show_all)
        self._show_parts()

    def action_pause(self) -> None:
        """Hold the curves still, or let them go on."""
        self._is_paused = not self._is_paused
        self.console_app.tell(
            safe("The view is held; the run goes on. p lets it go." if self._is_paused else "Live again.")
        )
        self.show_curves()

    def action_log(self) -> None:
        """Show other panes at the bottom."""
        self._panes = (self._panes + 1) % 4
        self._show_parts()
        self.call_after_refresh(self._show_all)

    def action_leave(self) -> None:
        """Leave the cursor, the full view, or the monitor."""
        if self.settings.cursor is not None:
            self.action_cursor()
        elif self._is_full:
            self.action_full()
        else:
            self.console_app.action_go("runs")

    @work
    async def action_control(self) -> None:
        """Choose what to ask of the run."""
        watched = self.watched
        if watched is None:
            return
        if watched.state is None or not is_live(watched.state):
            await self._offer_resume(watched.view.name)
            return
        options = [
            Option(
                "checkpoint", safe("save a checkpoint now"), safe("At the end of the step that runs; the run goes on.")
            ),
            Option("evaluate", safe("evaluate now"), safe("On the held-out data, at the end of the step that runs.")),
            Option("sample", safe("write samples now"), safe("From the prompts of the configuration.")),
            Option(
                "stop", safe("save and stop"), safe("It saves a checkpoint and ends; r in the list of runs goes on.")
            ),
        ]
        answer = await self.app.push_screen_wait(MenuDialog(safe(f"Ask {watched.view.name} to …"), options))
        if answer == "stop":
            await self.console_app.ask_to_stop(watched.view.name, watched.state.word)
        elif answer is not None:
            self.console_app.ask_run(watched.view.name, answer)

    async def _offer_resume(self, name: str) -> None:
        state = (
            self.watched.state.word if self.watched is not None and self.watched.state is not None else "not known yet"
        )
        options = [
            Option(
                "resume",
                safe("go on from the last checkpoint"),
                safe(f"The run is {state}; nothing else can be asked."),
            )
        ]
        if await self.app.push_screen_wait(MenuDialog(safe(name), options)) == "resume":
            self.console_app.start_run(name)

    @on(KeyLine.Pressed)
    async def _pressed(self, message: KeyLine.Pressed) -> None:
        await self.run_action(message.action)
