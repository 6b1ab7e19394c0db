"""The menu of what can be asked of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.run.directory import RunDirectory
from tui.screens.dialogs import ConfirmDialog, MenuDialog, Option
from tui.services.run_list import is_live
from tui.services.run_tree import TreeRow
from tui.services.run_view import RunView
from tui.services.safe_text import safe
from tui.services.watched import Watched

if TYPE_CHECKING:
    from tui.console import FootplateApp

_LIVE = (
    ("checkpoint", "save a checkpoint now", "As soon as it can: at the end of a step or of a rollout. It goes on."),
    ("evaluate", "evaluate now", "On the held-out data, at the end of a step or of a rollout."),
    ("sample", "write samples now", "From the prompts of the configuration."),
    ("stop", "save and stop", "It keeps what is done and ends; r in the list of runs goes on from there."),
)


def export_run(app: FootplateApp, run: RunDirectory) -> None:
    """Open the export of a run, where there is something to export."""
    from tui.screens.export import ExportScreen  # after the first paint

    if run.has_model:
        app.push_screen(ExportScreen(run))
    else:
        app.tell(safe(f"{run.name} has made no model yet: there is nothing to export."), "warning")


async def ask_to_stop(app: FootplateApp, run: RunDirectory, state: str) -> None:
    """Ask a run to stop, after a question."""
    if state not in ("running", "stalled", "silent"):
        app.tell(safe(f"{run.name} is {state}: there is nothing to stop."), "warning")
        return
    text = [safe("It keeps what is done, and ends. r in the list of runs goes on from there.")]
    if await app.push_screen_wait(ConfirmDialog(safe(f"Stop {run.name}?"), text, yes=safe("save and stop"))):
        app.ask_run(run, "stop")


def open_stage(app: FootplateApp, stage: TreeRow) -> None:
    """Open the monitor of a run or of a stage; that a stage has not begun is said."""
    runs = app.home.runs
    if stage.has_begun:
        parent = RunDirectory(runs / stage.parent) if stage.parent else None
        app.watch_run(RunDirectory(runs / stage.row.name), parent=parent)
    else:
        tell_waiting(app, stage)


def tell_waiting(app: FootplateApp, stage: TreeRow) -> None:
    """Say that a stage has no run yet."""
    app.tell(safe(f"Stage {stage.title} of {stage.parent} has no run: it {stage.row.state.words}."), "warning")


def show_report(app: FootplateApp, watched: Watched) -> None:
    """Show what each filter of a finished preparation dropped, and why."""
    if watched.view.phase != "prepare":
        return
    if watched.view.is_prepared:
        from tui.screens.report import ReportScreen  # with the configuration's models, which a monitor needs not

        app.push_screen(ReportScreen(watched.run))
    else:
        app.tell(safe("What was dropped can be looked at once the run has finished."), "warning")


async def choose_panel(app: FootplateApp, view: RunView, picked: int) -> str | None:
    """Let the user choose one of a run's charts; None where there is none, or none is chosen."""
    from tui.screens.monitor_charts import panel_options  # numpy and plotext, which the list of runs opens without

    options = panel_options(view.panels())
    return await app.push_screen_wait(MenuDialog(safe("Charts"), options, cursor=picked)) if options else None


async def ask_of_run(app: FootplateApp, watched: Watched) -> None:
    """Let the user choose what to ask of a run, and ask it."""
    name, state = watched.view.name, watched.state
    if state is None or not is_live(state):
        words = f"The run's state is {state.word if state else 'not known yet'}: nothing else can be asked of it."
        options = [Option("resume", safe("go on from the last checkpoint"), safe(words))]
        if watched.run.has_model:
            about = "As a folder of its own, with a card; e does the same."
            options.insert(0, Option("export", safe("export its model"), safe(about)))
        match await app.push_screen_wait(MenuDialog(safe(name), options)):
            case "resume":
                app.start_run(watched.run)
            case "export":
                export_run(app, watched.run)
            case _:
                pass
        return
    options = [Option(value, safe(title), safe(about)) for value, title, about in _LIVE]
    match await app.push_screen_wait(MenuDialog(safe(f"Ask {name} to …"), options)):
        case "stop":
            await ask_to_stop(app, watched.run, state.word)
        case "checkpoint" | "evaluate" | "sample" as verb:
            app.ask_run(watched.run, verb)
        case _:
            pass
