"""`footplate` alone, and `attach` on a terminal: the console."""

from __future__ import annotations

from core.errors import UsageError
from core.run.directory import RunDirectory
from tui.commands.context import Context


def console(context: Context, *, attach: RunDirectory | None) -> int:
    """Open the console, at the monitor of `attach` where that is given, and return its exit code."""
    if not (context.draws and context.input_is_terminal):
        raise UsageError(
            "the console needs a terminal that can draw (TERM is set, and not dumb)",
            hint="`footplate --help` lists the commands that work without one.",
        )
    from tui.app import run_console

    return run_console(context.home, attach=attach, environment=context.environment)
