"""The console on a pseudo-terminal: start-up, opening a run of a million steps, and the cost of watching it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyte

from tests.benchmarks.options import Options
from tests.benchmarks.referee import ROOT, environment

SIZES = ((80, 24), (160, 48))
_PAINTED_CELLS = 40
_STARTS = 5
_PATIENCE_SECONDS = 30.0
_SETTLE_SECONDS = 3.0


class Terminal:
    """A process on a pseudo-terminal, and what its screen shows."""

    def __init__(self, argv: list[str], *, columns: int, lines: int, env: dict[str, str]) -> None:
        self.bytes = 0
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._primary, secondary = pty.openpty()
        fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.begin = time.perf_counter()
        self.process = subprocess.Popen(
            argv, cwd=ROOT, env=env, stdin=secondary, stdout=secondary, stderr=secondary, start_new_session=True
        )
        os.close(secondary)

    def follow(self, *, until: Callable[[], bool], seconds: float) -> float | None:
        """Read until something holds, at most so long; return the seconds since the start, None where it never did."""
        end = time.perf_counter() + seconds
        while (now := time.perf_counter()) < end:
            if select.select([self._primary], [], [], min(0.05, end - now))[0] and not self._read():
                return None
            if until():
                return time.perf_counter() - self.begin
        return None

    def skip(self, seconds: float) -> int:
        """Read for so long without looking at it, and return how many bytes came."""
        before, end = self.bytes, time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self._primary], [], [], left)[0]:
                try:
                    self.bytes += len(os.read(self._primary, 1 << 16))
                except OSError:
                    break
        return self.bytes - before

    def _read(self) -> bool:
        try:
            data = os.read(self._primary, 1 << 16)
        except OSError:
            return False
        self.bytes += len(data)
        self._stream.feed(data)
        return bool(data)

    def cells(self) -> int:
        """Return how many cells of the screen are not blank."""
        return sum(len(line.replace(" ", "")) for line in self.screen.display)

    def text(self) -> str:
        """Return the screen."""
        return "\n".join(self.screen.display)

    def close(self) -> None:
        """End the process that was started here."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.skip(0.5)
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._primary)


def measure(options: Options) -> dict[str, Any]:
    """Return seconds to the first paint, to the monitor of a long run, and CPU share and bytes a second of watching.

    Raises: RuntimeError where the console does not open.
    """
    home = options.folder / "console"
    rows, watched, starts = (2_000, 3.0, 1) if options.quick else (1_000_000, 30.0, _STARTS)
    env = {
        **environment(options.threads), "FOOTPLATE_HOME": str(home), "TERM": "xterm-256color",
        "COLORTERM": "truecolor", "LANG": "C.UTF-8",
    }  # fmt: skip
    with _live_run(home, rows, env, options.folder / "live_run.log"):
        found: dict[str, Any] = {"rows": rows}
        for columns, lines in SIZES[-1:] if options.quick else SIZES:
            size = f"{columns}x{lines}"
            plain = [_first_paint([], columns=columns, lines=lines, env=env) for _ in range(starts + 1)][1:]
            found[f"{size}_first_paint_seconds"] = statistics.median(plain)
            found |= {f"{size}_{key}": value for key, value in _watch(columns, lines, env, watched).items()}
    return found


@contextmanager
def _live_run(home: Path, rows: int, env: dict[str, str], log: Path) -> Iterator[None]:
    argv = [sys.executable, "-m", "tests.benchmarks.live_run", str(home), "million", str(rows)]
    with log.open("ab") as errors:
        process = subprocess.Popen(
            argv, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            raise RuntimeError(f"the run to watch was not written: {log.read_text(encoding='utf-8')[-500:]}")
        yield
    finally:
        process.stdin.close()
        process.wait(timeout=30)
        process.stdout.close()


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "tui", *arguments]


def _first_paint(arguments: list[str], *, columns: int, lines: int, env: dict[str, str]) -> float:
    terminal = Terminal(_command(arguments), columns=columns, lines=lines, env=env)
    try:
        seconds = terminal.follow(until=lambda: terminal.cells() >= _PAINTED_CELLS, seconds=_PATIENCE_SECONDS)
        if seconds is None or terminal.process.poll() is not None:
            raise RuntimeError(f"the console did not open: {terminal.text().strip()[:500]}")
        return seconds
    finally:
        terminal.close()


def _watch(columns: int, lines: int, env: dict[str, str], seconds: float) -> dict[str, Any]:
    """Open the run's monitor, wait until a curve is on the screen, let it settle, then count."""
    terminal = Terminal(_command(["attach", "million"]), columns=columns, lines=lines, env=env)
    try:
        drawn = terminal.follow(until=lambda: _has_curve(terminal.text()), seconds=_PATIENCE_SECONDS)
        if drawn is None:
            raise RuntimeError(f"the monitor drew no curve:\n{terminal.text()}")
        terminal.skip(min(_SETTLE_SECONDS, seconds))
        before, begin = _cpu_seconds(terminal.process.pid), time.perf_counter()
        received = terminal.skip(seconds)
        elapsed = time.perf_counter() - begin
        cpu = _cpu_seconds(terminal.process.pid) - before
        return {
            "curve_seconds": drawn,
            "cpu_percent_of_a_core": 100 * cpu / elapsed,
            "bytes_per_second": received / elapsed,
            "peak_bytes": _peak_bytes(terminal.process.pid),
        }
    finally:
        terminal.close()


def _has_curve(text: str) -> bool:
    return sum("\u2801" <= character <= "\u28ff" for character in text) >= 20  # braille dots


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) * 1024


def main() -> None:
    """Measure once, for a look at this part alone."""
    folder = Path(sys.argv[1])
    print(json.dumps(measure(Options(folder, None, None, threads=1, quick=True, steps=None)), indent=1))


if __name__ == "__main__":
    main()
