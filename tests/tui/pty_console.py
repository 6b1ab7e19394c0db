"""A real console in a real pseudo-terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import sys
import termios
import time
from dataclasses import dataclass, field
from pathlib import Path

from core.run.directory import Home

ROOT = Path(__file__).parents[2]
SCRIPT = """
import os, signal, sys
from pathlib import Path
from core.run.directory import Home, RunDirectory
from tui.app import run_console
home, attach = Home(Path(sys.argv[1])), sys.argv[2]
{extra}
sys.exit(run_console(home, attach=RunDirectory(home.runs / attach) if attach else None, environment=dict(os.environ)))
"""


@dataclass
class PtyConsole:
    """The process, the master side of its terminal, and all that it wrote."""

    pid: int
    master: int
    output: bytearray = field(default_factory=bytearray)
    code: int | None = None

    def read(self, seconds: float) -> int:
        """Read for so long; return how many bytes came."""
        end, before = time.monotonic() + seconds, len(self.output)
        while (left := end - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:
                    break
                if not data:
                    break
                self.output += data
        return len(self.output) - before

    def read_until(self, words: bytes, seconds: float = 30.0) -> None:
        end = time.monotonic() + seconds
        while words not in self.output:
            assert time.monotonic() < end, f"{words!r} did not come; the end was {bytes(self.output[-2000:])!r}"
            self.read(0.1)

    def send(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, seconds: float, *, reading: bool = True) -> int | None:
        """Return the exit code, negative for a signal; None if it is still there after so long."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if reading:
                self.read(0.02)
            else:
                time.sleep(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                return self.code
        return None

    def end(self) -> None:
        if self.code is None:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(self.pid, signal.SIGKILL)
                os.waitpid(self.pid, 0)
        with contextlib.suppress(OSError):
            os.close(self.master)


def open_console(
    home: Home, *, attach: str = "", rows: int = 24, columns: int = 80, extra: str = "", **environment: str
) -> PtyConsole:
    """Start a console in a terminal of its own; `extra` is code that runs before it opens."""
    master, slave = os.openpty()
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    pid = os.fork()
    if pid == 0:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for number in (0, 1, 2):
            os.dup2(slave, number)
        os.close(master)
        values = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLORTERM": "truecolor",
            "LANG": "C.UTF-8", "HOME": str(home.path), "OMP_NUM_THREADS": "1", **environment,
        }  # fmt: skip
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):  # a test run in the background ignores these
            signal.signal(number, signal.SIG_DFL)
        os.execve(sys.executable, [sys.executable, "-c", SCRIPT.format(extra=extra), str(home.path), attach], values)
    os.close(slave)
    return PtyConsole(pid, master)
