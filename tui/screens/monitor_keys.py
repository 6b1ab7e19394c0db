"""The keys of the monitor."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from tui.services.safe_text import safe
from tui.services.watched import Watched
from tui.widgets.key_line import Hint

HINTS = [
    Hint("[ ]", "charts", "screen.page(1)"), Hint("y", "log", "screen.logarithmic"), Hint("x", "axis", "screen.axis"),
    Hint("s", "smooth", "screen.smooth"), Hint("i", "read", "screen.cursor"), Hint("z", "zoom", "screen.zoom(1)"),
    Hint("f", "full", "screen.full"), Hint("c", "control", "screen.control"), Hint("L", "log/samples", "screen.log"),
]  # fmt: skip

PREPARE_HINTS = [HINTS[-2], HINTS[-1]]
PREPARED_HINTS = [Hint("⏎", "what filters dropped", "screen.report"), *PREPARE_HINTS]


STAGES_HINTS = [Hint("⏎", "stage", "screen.report"), *PREPARE_HINTS]


def hints_of(watched: Watched | None) -> list[Hint]:
    """Return the keys that do something: a preparation has no charts, a finished one a report, a pipeline stages."""
    if watched is not None and watched.stages:
        return STAGES_HINTS
    if watched is None or watched.view.phase != "prepare":
        return HINTS
    return PREPARED_HINTS if watched.view.is_prepared else PREPARE_HINTS


PAUSED = safe("The view is held; the run goes on. p lets it go.")
NO_PANES = safe("Log and samples are hidden; L shows them again.")

KEYS: list[BindingType] = [
    Binding("left", "pick(-1)", "chart", show=False, id="monitor.left", tooltip="The chart before; cursor left"),
    Binding("right", "pick(1)", "chart", show=False, id="monitor.right", tooltip="The next chart; cursor right"),
    Binding("left_square_bracket", "page(-1)", "page", id="monitor.back", tooltip="The charts before"),
    Binding("right_square_bracket", "page(1)", "page", id="monitor.forth", tooltip="The next charts"),
    Binding("m", "menu", "menu", id="monitor.menu", tooltip="Choose the large chart from a list"),
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
    Binding("enter", "report", "dropped", id="monitor.report", tooltip="What the filters of a preparation dropped"),
    Binding("p", "pause", "pause", id="monitor.pause", tooltip="Hold the view still; the run goes on"),
    Binding("L", "log", "log", id="monitor.log", tooltip="Log and samples, log, samples, neither"),
    Binding("c", "control", "control", id="monitor.control", tooltip="Stop, save, evaluate, sample"),
    Binding("e", "export", "export", id="monitor.export", tooltip="The model of a finished run in a folder of its own"),
    Binding(
        "escape",
        "leave",
        "back",
        show=False,
        id="monitor.leave",
        tooltip="Out of the cursor, the full view, to the pipeline of a stage, to the runs",
    ),
]
