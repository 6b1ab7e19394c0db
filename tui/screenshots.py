"""Writes pictures of the console that shows real runs: `python -m tui.screenshots HOME RUN [RUN ...] FOLDER`.

SVG always, PNG besides where resvg-py is installed. The glyphs of a terminal stand in a grid; an SVG viewer with
another font for braille would shift them, so each gets its own place.
"""

from __future__ import annotations

import asyncio
import html
import re
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from core.errors import FootplateError
from core.run.directory import Home, RunDirectory
from core.run.runs import find_run
from tui.console import FootplateApp
from tui.screens.data import DataScreen
from tui.screens.data_editing import go_to
from tui.screens.form import FormScreen
from tui.screens.monitor import MonitorScreen
from tui.services.data_draft import Step
from tui.services.pictured_data import pictured_form, write_rows
from tui.widgets.chart import ChartView
from tui.widgets.page_view import PageView

SIZES = ((160, 48), (80, 24))
FONT = "DejaVu Sans Mono"
_ENVIRONMENT = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "LANG": "C.UTF-8"}
_TEXT = re.compile(r'<text (?P<before>[^>]*?)x="(?P<x>[\d.]+)"(?P<between>[^>]*?) textLength="(?P<length>[\d.]+)"'
                   r"(?P<after>[^>]*)>(?P<text>[^<]*)</text>")  # fmt: skip
_PATIENCE_SECONDS = 30.0


async def screenshot(home: Home, runs: Sequence[RunDirectory], folder: Path) -> list[Path]:
    """Write runs, data, form and presets, and the monitor of each run, at 160x48 and 80x24, and return the files.

    The first run's monitor is `monitor`, that of a further one has its name besides.
    Data are rows about functions of the standard library, tokens those of SmolLM2 where this home has it.
    Raises: FootplateError where the run, or the data, show nothing within half a minute.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for width, height in SIZES:
        app = FootplateApp(home, environment=_ENVIRONMENT)
        async with app.run_test(size=(width, height)) as pilot:
            await _until(lambda app=app: runs[0].name in _shown(app), "the list of runs")  # type: ignore[misc]
            await pilot.pause(0.5)
            written += _write(app, folder / f"runs-{width}x{height}")
            await _try_data(app, pilot)
            written += _write(app, folder / f"data-{width}x{height}")
            await pilot.press("3")
            await _until(lambda app=app: "quickstart" in _shown(app), "the presets")  # type: ignore[misc]
            written += _write(app, folder / f"presets-{width}x{height}")
            await pilot.press("enter")
            await _until(lambda app=app: isinstance(app.screen, FormScreen), "the form")  # type: ignore[misc]
            await pilot.pause(0.5)
            written += _write(app, folder / f"configure-{width}x{height}")
            for run in runs:
                app.watch_run(run)
                await _until(lambda app=app, run=run: _is_drawn(app, run), "the monitor")  # type: ignore[misc]
                await pilot.pause(2.5)  # the machine's first reading, and its second with a figure for the CPU
                name = "monitor" if run is runs[0] else f"monitor-{run.name}"
                written += _write(app, folder / f"{name}-{width}x{height}")
    return written


async def _try_data(app: FootplateApp, pilot: Pilot[Any]) -> None:
    """Put a preparation on the Data screen, with its second filter under the cursor and the tokens of a row."""
    with tempfile.TemporaryDirectory(prefix="footplate-pictures-") as place:
        rows = write_rows(Path(place))
        await pilot.press("2")
        screen = app.screen
        assert isinstance(screen, DataScreen)
        screen.begin(pictured_form(rows, app.home), is_new=False)
        state = screen.state
        await _until(lambda: state.trial is not None and not state.waiting, "the trial")
        go_to(screen, Step("filter", 1, ("data", "filters", 1)))
        while state.view != "tokens":
            await pilot.press("t")
        await _until(lambda: state.row in state.tokens, "the tokens")
        await pilot.pause(0.5)
        screen.query_one("#sample", PageView).scroll_end(animate=False)  # where the answer stands
        await pilot.pause()


async def _until(condition: Callable[[], bool], what: str) -> None:
    for _ in range(int(_PATIENCE_SECONDS / 0.1)):
        if condition():
            return
        await asyncio.sleep(0.1)
    hint = "Is the run in this home, and the machine idle?"
    raise FootplateError(f"{what} did not come within {_PATIENCE_SECONDS:.0f} s", hint=hint)


def _shown(app: FootplateApp) -> str:
    return app.export_screenshot().replace("&#160;", " ")


def _is_drawn(app: FootplateApp, run: RunDirectory) -> bool:
    if not isinstance(app.screen, MonitorScreen) or app.watched is None or app.watched.run.name != run.name:
        return False
    if app.watched.frame is None:
        return False
    charts = [chart for chart in app.screen.query(ChartView) if chart.display]
    return bool(app.watched.frame.panels) and not any(chart.is_due for chart in charts)


def _write(app: FootplateApp, stem: Path) -> list[Path]:
    svg = _placed(app.export_screenshot(title="Footplate"))
    path = stem.with_suffix(".svg")
    path.write_text(svg, encoding="utf-8")
    try:
        import resvg_py
    except ImportError:
        return [path]
    picture = stem.with_suffix(".png")
    picture.write_bytes(bytes(resvg_py.svg_to_bytes(svg_string=svg, font_family=FONT)))
    return [path, picture]


def _placed(svg: str) -> str:
    """Return the picture without fonts from the network, each character at its own place of the grid."""
    svg = re.sub(r"@font-face\s*{[^}]*}", "", svg)
    svg = re.sub(r"font-family:\s*[^;]+;", f"font-family: {FONT}, monospace;", svg)
    return _TEXT.sub(_with_places, svg)


def _with_places(found: re.Match[str]) -> str:
    text = html.unescape(found["text"])
    step = float(found["length"]) / max(1, len(text))
    start = float(found["x"])
    places = " ".join(f"{start + index * step:.1f}" for index in range(len(text)))
    return f'<text {found["before"]}x="{places}"{found["between"]}{found["after"]}>{found["text"]}</text>'


def main(arguments: list[str]) -> int:
    """Write the pictures and name the files; 2 where the arguments do not hold."""
    if len(arguments) < 3:
        print("python -m tui.screenshots HOME RUN [RUN ...] FOLDER", file=sys.stderr)
        return 2
    home = Home(Path(arguments[0]).absolute())
    try:
        files = asyncio.run(screenshot(home, [find_run(home, name) for name in arguments[1:-1]], Path(arguments[-1])))
    except FootplateError as error:
        print(error, file=sys.stderr)
        return int(error.exit_code)
    print("\n".join(map(str, files)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
