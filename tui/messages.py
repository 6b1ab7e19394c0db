"""What the threads of the console tell its screens. Nothing else crosses over, and no thread touches a widget.

`key` says for which opening of a run a message is (services/watched.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

from core.run.before_after import BeforeAfter
from core.run.directory import RunDirectory
from core.run.events import AnyEvent
from core.run.status import RunStatus
from tui.services.run_list import RunRow
from tui.services.run_tree import TreeRow
from tui.services.safe_text import SafeText

if TYPE_CHECKING:  # numpy is imported after the first paint
    from tui.services.curves import Frame
    from tui.services.machine import MachineReading


@dataclass
class RunsListed(Message):
    """The runs of the home, newest first; `total` counts also those that are not listed."""

    rows: tuple[RunRow, ...]
    total: int
    complete: bool

    def can_replace(self, message: Message) -> bool:
        """Return whether `message` supersedes this one: a newer list does."""
        return isinstance(message, RunsListed)


@dataclass
class RunBatch(Message):
    """Further events of the watched run, in their order. Never replaced: it is data."""

    key: int
    events: tuple[AnyEvent, ...]
    has_more: bool = False


@dataclass
class RunStated(Message):
    """How the watched run is."""

    key: int
    state: RunStatus

    def can_replace(self, message: Message) -> bool:
        """Return whether `message` supersedes this one: a newer state does."""
        return isinstance(message, RunStated) and message.key == self.key


@dataclass
class CurvesReady(Message):
    """The curves that the monitor asked for."""

    key: int
    frame: Frame

    def can_replace(self, message: Message) -> bool:
        """Return whether `message` supersedes this one: a newer frame does."""
        return isinstance(message, CurvesReady) and message.key == self.key


@dataclass
class StagesSeen(Message):
    """The stages of the watched run, and what those that are finished have changed, by the stage's name."""

    key: int
    stages: tuple[TreeRow, ...]
    changes: Mapping[str, tuple[BeforeAfter, ...]]

    def can_replace(self, message: Message) -> bool:
        """Return whether `message` supersedes this one: a newer look does."""
        return isinstance(message, StagesSeen) and message.key == self.key


@dataclass
class LogGrew(Message):
    """Further lines of the worker's output."""

    key: int
    lines: tuple[SafeText, ...]


@dataclass
class MachineSeen(Message):
    """What this machine does."""

    reading: MachineReading

    def can_replace(self, message: Message) -> bool:
        """Return whether `message` supersedes this one: a newer reading does."""
        return isinstance(message, MachineSeen)


@dataclass
class FeedFailed(Message):
    """A thread of the console ended with an error; `words` say which and what it means."""

    words: SafeText


@dataclass
class ActionDone(Message):
    """An action that ran in a thread succeeded: `run` is the run that it was about, `words` what to tell."""

    run: RunDirectory
    words: SafeText
    starts: bool = False


@dataclass
class ActionFailed(Message):
    """An action that ran in a thread was refused."""

    words: SafeText
