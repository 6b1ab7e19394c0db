"""What a command says when it fails, and the exit code for it. A traceback goes to a file, never to the screen."""

from __future__ import annotations

import errno
import os
import tempfile
import time
import traceback
from pathlib import Path

from core.errors import ExitCode, FootplateError
from tui.commands.context import Context
from tui.commands.output import shown, shown_lines

BROKEN_PIPE_EXIT = 128 + 13
HANGUP_EXIT = 128 + 1
INTERRUPT_EXIT = 128 + 2
_STORAGE = frozenset({
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG, errno.ENOTDIR,
    errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE,
})  # fmt: skip


class TerminalLost(Exception):
    """The terminal or the pipe that a command writes to is gone."""


def explain(error: Exception, context: Context) -> int:
    """Say what went wrong and what to do, and return the exit code.

    An error that no one foresaw is written, with its traceback, to a file whose path is said.
    """
    match error:
        case FootplateError():
            context.say("\n".join(f"footplate: {line}" for line in shown_lines(error.message)))
            if error.hint:
                context.say("\n".join(f"  {line}" for line in shown_lines(error.hint)))
            return int(error.exit_code)
        case BrokenPipeError():
            return BROKEN_PIPE_EXIT
        case TerminalLost():
            return HANGUP_EXIT
        case OSError() if error.errno in _STORAGE:
            place = f"{error.filename}: " if error.filename else ""
            context.say(f"footplate: {shown(place)}{shown(error.strerror or str(error))}")
            home = shown(str(context.home.path))
            context.say(f"  Make room or give access there, or set FOOTPLATE_HOME (now {home}).")
            return int(ExitCode.STORAGE)
    where = _write_traceback(error, context.home.path / "crashes")
    context.say(f"footplate: unexpected {type(error).__name__}: {shown(str(error))[:300]}")
    written = f"The traceback is in {shown(str(where))}" if where else "Its traceback could not be written anywhere."
    context.say(f"  This is a bug. {written}")
    return int(ExitCode.UNEXPECTED)


def _write_traceback(error: Exception, folder: Path) -> Path | None:
    text = "".join(traceback.format_exception(error))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for place in (folder, None):
        try:
            if place is None:
                place = Path(tempfile.mkdtemp(prefix="footplate-"))
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
            file = os.open(place / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(file, "w", encoding="utf-8", errors="backslashreplace") as handle:
                handle.write(text)
        except OSError:
            continue
        return place / name
    return None
