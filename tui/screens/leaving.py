"""Leaving the console: what is said, what is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import FootplateError
from core.run.control import request
from tui.screens.dialogs import ConfirmDialog
from tui.services.run_list import is_live
from tui.services.safe_text import SafeText, safe
from tui.services.watched import Watched

if TYPE_CHECKING:
    from tui.console import FootplateApp


def what_goes_on(watched: Watched | None) -> list[SafeText]:
    """Return what the shell is told when the console is left while a run that it watched goes on."""
    if watched is None or watched.state is None or not is_live(watched.state):
        return []
    name = watched.view.name
    return [safe(f"{name} goes on. Watch it again: footplate attach {name}    stop it: footplate stop {name}")]


async def wants_to_leave(app: FootplateApp) -> bool:
    """Ask whether to leave; where that is asked already, answer yes, and where something would be lost, no."""
    if isinstance(app.screen, ConfirmDialog):
        app.screen.action_take()
        return False
    text = [safe("Runs go on by themselves; nothing is stopped by leaving.")]
    return await app.push_screen_wait(ConfirmDialog(safe("Leave the console?"), text, yes=safe("leave")))


async def leave_and_stop(app: FootplateApp) -> None:
    """Ask whether to stop the watched run, ask it to, and leave."""
    watched = app.watched
    if watched is None or watched.state is None or not is_live(watched.state):
        app.action_leave()
        return
    name = watched.view.name
    text = [safe(f"{name} keeps what is done, and ends.")]
    dialog = ConfirmDialog(safe(f"Stop {name} and leave?"), text, yes=safe("stop and leave"))
    if not await app.push_screen_wait(dialog):
        return
    try:
        request(watched.run, "stop")
    except FootplateError as error:
        app.tell(safe(str(error)), "error")
        return
    app.last_words = [safe(f"{name} was asked to stop. See: footplate runs")]
    app.exit()
