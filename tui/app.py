"""Opens the console. Light: Textual is imported only once its settings stand.

Textual reads its settings when it is imported, so whatever depends on the link is set before that.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from core.errors import UsageError
from core.run.directory import Home, RunDirectory

SSH_FRAMES_PER_SECOND = 15


def run_console(home: Home, *, attach: RunDirectory | None = None, environment: Mapping[str, str]) -> int:
    """Show the console until it is left, and return the exit code of the command. Runs are not touched by its end.

    `attach` opens the monitor of that run. 0: left by its user; 1: a bug of the console, whose traceback was written
    to a file; 128+n: ended by signal n, or 129 because its terminal went away.
    Raises: UsageError where there is no terminal to show it on.
    """
    if sys.__stdin__ is None or sys.__stderr__ is None or not (sys.__stdin__.isatty() and sys.__stderr__.isatty()):
        raise UsageError(
            "the console needs a terminal for its input and its standard error",
            hint="Use `footplate runs`, `footplate attach RUN` or `footplate run PRESET` instead.",
        )
    from textual import constants

    if environment.get("SSH_CONNECTION"):
        vars(constants).update(MAX_FPS=SSH_FRAMES_PER_SECOND, SMOOTH_SCROLL=False)
    vars(constants).update(TEXTUAL_ANIMATIONS="none")  # an animation is a full repaint, sixty times a second
    from tui.console import FootplateApp
    from tui.services.terminal import TerminalGuard

    app = FootplateApp(home, attach=attach, environment=environment)
    guard = TerminalGuard(app.leave_with)
    guard.keep()
    app.guard = guard
    app.run()
    guard.let_go()
    for words in app.last_words:
        print(words.text, file=sys.stderr)
    return app.return_code or 0
