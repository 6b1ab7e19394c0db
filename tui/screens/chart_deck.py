"""The charts of a monitor: one large, up to three small ones below it, drawn one after another."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from tui.screens.monitor_charts import ChartSettings, chart_data, chart_title, cursor_words
from tui.screens.monitor_layout import CHARTS
from tui.services.watched import Watched
from tui.widgets.chart import ChartView
from tui.widgets.plot import Look

NEXT_SECONDS = 0.03
BUSY_SECONDS = 0.3


class ChartDeck(Vertical):
    """Shows panels in its charts. A key never waits for more than one chart, and a slow terminal for none."""

    def __init__(self, look: Look, is_busy: Callable[[], bool], *, id: str) -> None:
        super().__init__(id=id)
        self._look = look
        self._is_busy = is_busy

    def compose(self) -> ComposeResult:
        """Lay out the charts."""
        yield ChartView(id="chart-0")
        with Horizontal(id="row"):
            for index in range(1, CHARTS):
                yield ChartView(id=f"chart-{index}")

    def on_mount(self) -> None:
        """Give the charts their look."""
        for chart in self.charts:
            chart.look = self._look

    @property
    def charts(self) -> list[ChartView]:
        """All charts, the large one first."""
        return [self.query_one(f"#chart-{index}", ChartView) for index in range(CHARTS)]

    def wanted(self, shown: Sequence[str]) -> list[tuple[str, int]]:
        """Return the shown panels with the columns that their charts have."""
        return [(name, chart.columns) for chart, name in zip(self.charts, shown, strict=False) if chart.columns > 1]

    def pick(self, shown: Sequence[str], picked: str) -> None:
        """Mark the chart of the picked panel."""
        for index, chart in enumerate(self.charts):
            chart.set_class(len(shown) > 1 and list(shown[index : index + 1]) == [picked], "-picked")

    def show(self, watched: Watched, shown: Sequence[str], settings: ChartSettings) -> None:
        """Show the watched run's frame in the charts of the shown panels."""
        if watched.frame is None:
            return
        panels = watched.view.panels()
        names = list(panels)
        for chart, name in zip(self.charts, shown, strict=False):
            data = chart_data(name, panels[name], watched.frame, settings, watched.clip)
            place = f"{names.index(name) + 1}/{len(names)}" if len(names) > len(shown) else ""
            chart.show(chart_title(name, panels[name], settings, place), data)
            chart.below = cursor_words(watched.frame, panels[name], settings)
        self._draw_next()

    def _draw_next(self) -> None:
        due = [chart for chart in self.charts if chart.is_due and chart.display]
        if not due:
            return
        if self._is_busy():  # what waits to be sent goes first
            self.set_timer(BUSY_SECONDS, self._draw_next)
            return
        due[0].draw_now()
        if len(due) > 1:
            self.set_timer(NEXT_SECONDS, self._draw_next)
