"""What the console asks of runs and writes into its home. Blocking: called in threads, and by the way out."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable

from core.errors import FootplateError
from core.run.control import Verb, request
from core.run.directory import Home, RunDirectory
from core.run.launch import create_run, launch, make_home
from core.run.private import write_atomic
from tui.messages import ActionDone, ActionFailed
from tui.services.safe_text import SafeText, safe, safe_text


def create_and_start(home: Home, name: str, stem: str, config: str) -> ActionDone:
    """Make a run of the configuration and start it. Raises: FootplateError."""
    run = create_run(home, name, stem, config)
    launch(run)
    return ActionDone(run, safe(f"{run.name} runs, detached from this console."), starts=True)


def start(run: RunDirectory) -> ActionDone:
    """Start a run, or go on with it from its last checkpoint. Raises: FootplateError."""
    from core.run.overrides import write_overrides  # the configuration's models, after the first paint

    write_overrides(run, (), allow_inexact=False)  # what an earlier resume allowed does not hold for this one
    attempt = launch(run)
    return ActionDone(run, safe(f"{run.name} runs (attempt {attempt}), detached from this console."), starts=True)


def ask(run: RunDirectory, verb: Verb) -> ActionDone:
    """Leave a request for a run. Raises: FootplateError."""
    request(run, verb)
    return ActionDone(run, safe(f"Asked {run.name}: {verb}. Its log says when that is done."))


def outcome_of(act: Callable[[], ActionDone], home: Home) -> ActionDone | ActionFailed:
    """Do something that was asked for, and return what came of it: whatever happens becomes words."""
    try:
        return act()
    except FootplateError as error:
        return ActionFailed(safe_text(str(error)))
    except Exception as error:  # the console's action boundary
        path = write_error(home, traceback.format_exc())
        return ActionFailed(safe(f"unexpected {error!r}; see {path}"))


def words_of_a_bug(home: Home, error: Exception) -> list[SafeText]:
    """Write the traceback of what ended the console into the home, and return what the shell is told."""
    path = write_error(home, "".join(traceback.format_exception(error)))
    return [
        safe(f"footplate: the console stumbled: {type(error).__name__}: {error}"),
        safe(f"  This is a bug. The traceback is in {path}. Runs are not touched: footplate attach RUN"),
    ]


def write_error(home: Home, words: str) -> str:
    """Write a traceback into the home and return its path, or why it could not be written."""
    return _write(home, "console-error", "txt", words)


def write_picture(home: Home, svg: str) -> str:
    """Write a picture of the screen into the home and return its path."""
    return _write(home, "console", "svg", svg)


def _write(home: Home, stem: str, ending: str, text: str) -> str:
    path = home.path / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}.{ending}"
    try:
        make_home(home)
        write_atomic(path, text.encode("utf-8", "backslashreplace"), root=home.path)
    except (FootplateError, OSError) as error:
        return f"(no file could be written: {error})"
    return str(path)
