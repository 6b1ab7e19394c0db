"""`run`, `resume` and `attach`: starting runs and watching them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from core.config.paths import placed
from core.config.presets import dump_config, find_preset, load_preset, resolve
from core.errors import RunHeldError
from core.run.directory import RunDirectory
from core.run.launch import create_run, launch
from core.run.launch_memory import launch_memory
from core.run.overrides import write_overrides
from core.run.runs import find_run
from core.run.status import read_status
from tui.commands.comparison import tell_comparison
from tui.commands.context import Context
from tui.commands.display import display_for, write
from tui.commands.ending import exit_code_of, is_at_work
from tui.commands.failure import TerminalLost
from tui.commands.findings import logout_finding
from tui.commands.output import shown
from tui.commands.signals import Received, received
from tui.commands.summary import tell_result, tell_what_next
from tui.commands.watch import Left, Watch


@dataclass(frozen=True)
class Start:
    """How a run is to be started and shown."""

    overrides: tuple[str, ...] = ()
    name: str | None = None
    detach: bool = False
    as_json: bool = False


def run(preset: str, start: Start, context: Context) -> int:
    """Start a run from a preset and watch it; return the run's exit code, or how the watch was left.

    Nothing is created where the configuration does not hold. Raises: ConfigurationError, UsageError, StorageError.
    """
    path = find_preset(preset, context.home.presets)
    config = placed(resolve(load_preset(path), start.overrides), Path.cwd(), runs=context.home.runs)
    _warn_of_logout(context)
    for words in launch_memory(config, context.home):
        context.say(shown(words))
    made = create_run(context.home, start.name, path.stem, dump_config(config))
    return _start(made, start, context)


def resume(text: str, start: Start, context: Context, *, allow_inexact: bool) -> int:
    """Start a run again from its last checkpoint and watch it, as `run`.

    Raises: RunHeldError where it runs already; ConfigurationError where the overrides do not hold; UsageError where it
    has nothing left to do.
    """
    made = find_run(context.home, text)
    _raise_if_held(made)
    write_overrides(made, start.overrides, allow_inexact=allow_inexact)
    _warn_of_logout(context)
    return _start(made, start, context)


def attach(text: str, context: Context, *, as_json: bool) -> int:
    """Show a run from its beginning: in the console on a terminal, as lines or events elsewhere until it ends."""
    made = find_run(context.home, text)
    if context.draws and context.input_is_terminal and not as_json:
        from tui.commands.console import console

        return console(context, attach=made)
    status = read_status(made)
    if status.word == "created":
        context.say(f"{shown(made.name)} was never started. Start it: footplate resume {shown(made.name)}")
        return 0
    with received(passing_on=False) as noted:
        return _watch(made, context, noted, _View(0, status.attempt, as_json))


def _raise_if_held(made: RunDirectory) -> None:
    """Raise RunHeldError where a process works on the run."""
    status = read_status(made)
    if is_at_work(status):
        raise RunHeldError(
            f"{made.name} is {status.words}",
            hint=f"Watch it: footplate attach {made.name}. Stop it: footplate stop {made.name}.",
        )


def _start(made: RunDirectory, start: Start, context: Context) -> int:
    name, place = shown(made.name), shown(str(made.path))
    if start.detach:
        attempt = launch(made)
        answer = {"run": made.name, "path": str(made.path), "attempt": attempt, "pid": read_status(made).pid}
        write(context, f"{json.dumps(answer)}\n" if start.as_json else f"{name}\n")
        context.say(f"It runs in {place}. Watch it: footplate attach {name}. Stop it: footplate stop {name}")
        return 0
    with received(passing_on=True) as noted:  # before the launch, so that no signal can come too early
        attempt = launch(made)
        context.say(f"{name} runs in {place}. Ctrl-C leaves this display, and the run goes on.")
        return _watch(made, context, noted, _View(attempt, attempt, start.as_json))


@dataclass(frozen=True)
class _View:
    shown_from: int
    waits_for: int
    as_json: bool


def _watch(made: RunDirectory, context: Context, noted: Received, view: _View) -> int:
    display = display_for(made.name, context, as_json=view.as_json)
    watch = Watch(made, display, shown_from=view.shown_from, waits_for=view.waits_for)
    try:
        end = watch.follow(noted)
    except (BrokenPipeError, TerminalLost):
        context.say(f"Nobody reads this any more; {shown(made.name)} goes on.")
        raise
    if isinstance(end, Left):
        return end.exit_code
    if not view.as_json:
        tell_result(made, display.picture, context)
    if end.word == "finished":
        tell_comparison(made, context, as_json=view.as_json)
    tell_what_next(made, display.picture, end, context)
    return exit_code_of(end)


def _warn_of_logout(context: Context) -> None:
    finding = logout_finding(context.environment, user=os.getuid())
    if finding.state != "ok":
        context.say(f"footplate: {finding.text}\n  {finding.hint}")
