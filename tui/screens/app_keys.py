"""The keys that hold on every screen."""

from __future__ import annotations

from textual.binding import Binding, BindingType

from tui.widgets.key_line import Hint

PLACE_HINTS = [
    Hint("1", "Runs", "app.go('runs')"),
    Hint("2", "Data", "app.go('data')"),
    Hint("3", "Configure", "app.go('configure')"),
    Hint("4", "Monitor", "app.go('monitor')"),
    Hint("?", "help", "app.help"),
    Hint("q", "leave", "app.leave"),
]

KEYS: list[BindingType] = [
    Binding("1", "go('runs')", "runs", id="go.runs", tooltip="The list of runs"),
    Binding("2", "go('data')", "data", id="go.data", tooltip="Sources, filters and tokens, tried on a sample"),
    Binding("3", "go('configure')", "configure", id="go.configure", tooltip="Presets and their forms"),
    Binding("4", "go('monitor')", "monitor", id="go.monitor", tooltip="The watched run"),
    Binding("question_mark,f1", "help", "help", id="app.help", tooltip="All keys and what the marks mean"),
    Binding("T", "next_theme", "theme", id="app.theme", tooltip="The next theme"),
    Binding("f12", "picture", "picture", id="app.picture", tooltip="Write this screen to an SVG file"),
    Binding("q", "leave", "leave", id="app.leave", tooltip="Leave; runs go on"),
    Binding("Q", "leave_and_stop", "leave and stop", id="app.leave_and_stop", tooltip="Leave and stop the watched run"),
    Binding("ctrl+c,ctrl+q", "ask_to_leave", "leave", show=False, priority=True, id="app.ask_to_leave"),
]
