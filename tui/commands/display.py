"""How a run is shown while a command watches it: drawn on a terminal, as lines in a pipe, or as events."""

from __future__ import annotations

import errno
import math
import shutil
from collections.abc import Sequence
from typing import Protocol

from core.run.event_log import encode
from core.run.events import AnyEvent, Finished, Metrics, Progress, Sampled, Started
from tui.commands.context import Context
from tui.commands.failure import TerminalLost
from tui.commands.lines import line, named_values, progress_line, sample_line, step_text
from tui.commands.output import bar, clip, shown
from tui.commands.picture import Picture
from tui.services.words import clock_text, duration_text, seconds_of

_ASCII = str.maketrans({"→": "->", "⏎": "\\n", "…": "..."})
_SECONDS_BETWEEN_STEP_LINES = 1.0
_SECONDS_BETWEEN_PROGRESS_LINES = 5.0
_CLEAR_BELOW = "\x1b[J"


class Display(Protocol):
    """What a watch shows a run on."""

    picture: Picture

    def take(self, events: Sequence[AnyEvent]) -> None:
        """Show events, in their order."""

    def tick(self, status: str) -> None:
        """Show that time passed; `status` is the run's status in words."""

    def words(self, text: str) -> None:
        """Say something to the person who watches."""

    def close(self) -> None:
        """Leave the terminal as it was found."""


def display_for(name: str, context: Context, *, as_json: bool) -> Display:
    """Return the display that fits the output: events with --json, drawn on a terminal, else lines."""
    if as_json:
        return JSONDisplay(context)
    return DrawnDisplay(name, context) if context.draws else LinesDisplay(context)


class JSONDisplay:
    """The events themselves, one object a line, metrics rows in their place."""

    def __init__(self, context: Context) -> None:
        self.picture = Picture()
        self._context = context

    def take(self, events: Sequence[AnyEvent]) -> None:
        """Write events as JSON."""
        for event in events:
            self.picture.take(event)
        if events:
            write(self._context, b"".join(encode(event) for event in events).decode("ascii"))

    def tick(self, status: str) -> None:
        """Show nothing."""

    def words(self, text: str) -> None:
        """Say something on the stream for words."""
        self._context.say(text)

    def close(self) -> None:
        """Do nothing."""


class LinesDisplay:
    """One line an event; of the steps at most about one a second of the run's own time."""

    def __init__(self, context: Context) -> None:
        self.picture = Picture()
        self._context = context
        self._waiting: tuple[str, str] | None = None
        self._last_step_seconds = float("-inf")
        self._last_progress: tuple[str, float] = ("", float("-inf"))

    def take(self, events: Sequence[AnyEvent]) -> None:
        """Write events as lines."""
        lines: list[str] = []
        for event in events:
            self.picture.take(event)
            text = line(event, self.picture)
            match event:
                case Metrics():
                    self._take_step(event, text, lines)
                case Progress():
                    self._take_progress(event, text, lines)
                case _:
                    self._flush(lines)
                    lines.append(f"{clock_text(event.wall)}  {text}")
        if lines:
            write(self._context, "".join(f"{text}\n" for text in lines))

    def tick(self, status: str) -> None:
        """Show nothing: a file does not want to know that time passes."""

    def words(self, text: str) -> None:
        """Say something on the stream for words."""
        self._context.say(text)

    def close(self) -> None:
        """Write the step that still waits for its second to pass."""
        lines: list[str] = []
        self._flush(lines)
        if lines:
            write(self._context, f"{lines[0]}\n")

    def _take_step(self, event: Metrics, text: str, lines: list[str]) -> None:
        now = seconds_of(event.wall)
        if not now - self._last_step_seconds < _SECONDS_BETWEEN_STEP_LINES:  # NaN, no time at all, is a line too
            self._waiting = None
            self._last_step_seconds = self._last_step_seconds if math.isnan(now) else now
            lines.append(f"{clock_text(event.wall)}  {text}")
        else:
            self._waiting = (event.wall, text)

    def _take_progress(self, event: Progress, text: str, lines: list[str]) -> None:
        stage, at = self._last_progress
        now = seconds_of(event.wall)
        is_last = event.total is not None and event.done >= event.total
        if event.stage != stage or is_last or not now - at < _SECONDS_BETWEEN_PROGRESS_LINES:
            self._last_progress = (event.stage, now)
            lines.append(f"{clock_text(event.wall)}  {text}")

    def _flush(self, lines: list[str]) -> None:
        if self._waiting is not None:
            wall, text = self._waiting
            lines.append(f"{clock_text(wall)}  {text}")
            self._waiting = None


class DrawnDisplay:
    """A few lines at the bottom that are drawn again, and above them what shall stay.

    It changes nothing about the terminal (no other screen, no hidden cursor, no raw mode), so there is nothing to
    restore, however the watch ends.
    """

    def __init__(self, name: str, context: Context) -> None:
        self.picture = Picture()
        self._name = name
        self._context = context
        self._drawn_lines = 0
        self._kept: list[str] = []

    def take(self, events: Sequence[AnyEvent]) -> None:
        """Take events in; those that shall stay are written above the drawing at the next tick."""
        for event in events:
            self.picture.take(event)
            if not isinstance(event, Metrics | Progress | Sampled | Finished | Started):
                self._kept.append(f"{clock_text(event.wall)}  {line(event, self.picture)}")

    def tick(self, status: str) -> None:
        """Draw the run again."""
        columns = shutil.get_terminal_size().columns
        head, *rest = (clip(text, columns - 1) for text in self._lines(status, columns))
        self._draw([f"\x1b[1m{head}\x1b[m" if self._context.colours else head, *rest])

    def words(self, text: str) -> None:
        """Write something that stays, above the drawing."""
        self._kept.extend(text.splitlines())

    def close(self) -> None:
        """Leave the last drawing where it stands, below what was kept."""
        if self._kept:
            self._draw([])

    def _draw(self, lines: Sequence[str]) -> None:
        back = f"\r\x1b[{self._drawn_lines}A" if self._drawn_lines else "\r"
        frame = "".join(f"{text}\n" for text in (*self._kept, *lines))
        if not self._context.unicode:
            frame = frame.translate(_ASCII)
        write(self._context, f"{back}{_CLEAR_BELOW}{frame}")
        self._kept.clear()
        self._drawn_lines = len(lines)

    def _lines(self, status: str, columns: int) -> list[str]:
        picture = self.picture
        head = "  ".join(text for text in (self._name, picture.phase, status) if text)
        lines = [shown(head), self._progress(columns)]
        if picture.values:
            lines.append(named_values(picture.values))
        if picture.held_out is not None:
            lines.append(f"{named_values(picture.held_out.values)}  (step {picture.held_out.step:,})")
        if picture.samples:
            lines.append(f"sample  {sample_line(picture.samples[-1])}")
        if picture.paused:
            lines.append(f"paused  {shown(picture.paused)}")
        return lines

    def _progress(self, columns: int) -> str:
        picture = self.picture
        width = max(10, min(40, columns - 60))
        if picture.progress is not None and picture.end is None:
            share = picture.progress.done / picture.progress.total if picture.progress.total else 0.0
            return f"{bar(share, width, unicode=self._context.unicode)}  {progress_line(picture.progress)}"
        if not picture.steps:
            return f"{duration_text(picture.elapsed_seconds)} so far"
        rest = picture.remaining_seconds
        eta = "" if rest is None or picture.end is not None else f"  ETA {duration_text(rest)}"
        share = picture.step / picture.steps
        done = f"{bar(share, width, unicode=self._context.unicode)}  {step_text(picture, picture.step)}  {share:.0%}"
        return f"{done}{eta}  {duration_text(picture.elapsed_seconds)} so far"


def write(context: Context, text: str) -> None:
    """Write to the output at once.

    Raises: BrokenPipeError where the reader of a pipe left, TerminalLost where a terminal is gone.
    """
    try:
        context.output.write(text)
        context.output.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENXIO, errno.ENOTTY, errno.EBADF):
            raise TerminalLost from error
        raise
