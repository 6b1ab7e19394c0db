"""What happens to the console when its terminal goes away, and how to give a terminal back.

Textual restores the terminal only on its ordinary way out, and burns a core when its input has ended while SIGHUP is
ignored (its reader spins on end of file). So: signals and a hang-up, which `poll` reports without costing anything,
ask the app to leave; a deadline ends the process should it not manage to, which happens when its writer blocks on a
terminal that nobody reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import sys
import termios
import threading
from collections.abc import Callable
from typing import Any

DEADLINE_SECONDS = 1.5
HANGUP_CODE = 128 + signal.SIGHUP
RESTORING = (
    b"\x1b[?2004l\x1b[?7h\x1b[?2048l\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l\x1b[?1016l"
    b"\x1b[<u\x1b[?1049l\x1b[?25h\x1b[?1004l\x1b[0m"
)
"""What ends each mode that Textual's driver begins (textual/drivers/linux_driver.py, stop_application_mode)."""


class TerminalGuard:
    """Makes the console leave within two seconds when its terminal is lost or it is told to end.

    `leave(code)` is called once, on the event loop's thread.
    """

    def __init__(self, leave: Callable[[int], None]) -> None:
        self._leave = leave
        self._left = False
        self._is_lost = False
        self._attributes: list[Any] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self) -> None:
        """Keep the terminal's settings, take the signals, and watch for a hang-up. Call on the event loop."""
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup: only the end of its terminal ends it
                self._loop.add_signal_handler(number, self._end, 128 + number)
        threading.Thread(target=self._watch, name="footplate-hangup", daemon=True).start()

    def keep(self) -> None:
        """Remember how the terminal is set, before anything changes it."""
        with contextlib.suppress(termios.error, OSError, ValueError):
            self._attributes = termios.tcgetattr(sys.__stdin__.fileno() if sys.__stdin__ else 0)

    def let_go(self) -> None:
        """After the console has ended: where the terminal is gone, what is still to be flushed goes nowhere."""
        if self._is_lost:
            with open(os.devnull, "r+b", buffering=0) as nowhere:
                for descriptor in (0, 1, 2):
                    os.dup2(nowhere.fileno(), descriptor)

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(sys.__stdin__.fileno() if sys.__stdin__ else 0, 0)  # hang-up and error are always reported
        poll.poll()
        self._is_lost = True
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._end, HANGUP_CODE)
        self._start_deadline(HANGUP_CODE)

    def _end(self, code: int) -> None:
        if self._left:
            return
        self._left = True
        self._start_deadline(code)
        self._leave(code)

    def _start_deadline(self, code: int) -> None:
        timer = threading.Timer(DEADLINE_SECONDS, self._force, (code,))
        timer.daemon = True
        timer.start()

    def _force(self, code: int) -> None:
        """Restore the terminal without waiting for it and end at once: the console owns no run and no file."""
        descriptor = sys.__stderr__.fileno() if sys.__stderr__ else 2
        with contextlib.suppress(OSError):
            os.set_blocking(descriptor, False)
            os.write(descriptor, RESTORING)
        if self._attributes is not None:
            with contextlib.suppress(termios.error, OSError):
                termios.tcsetattr(descriptor, termios.TCSANOW, self._attributes)
        os._exit(code)
