"""The application: its places, what they share, and the boundary where actions and failures become words."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual import work
from textual.app import App
from textual.binding import BindingType
from textual.filter import Monochrome, NoColor
from textual.screen import Screen

from core.run.control import Verb
from core.run.directory import Home, RunDirectory
from core.run.launch import make_home
from tui.messages import (
    ActionDone,
    ActionFailed,
    CurvesReady,
    FeedFailed,
    LogGrew,
    MachineSeen,
    RunBatch,
    RunsListed,
    RunStated,
    StagesSeen,
)
from tui.screens import leaving
from tui.screens.app_keys import KEYS
from tui.screens.places import PLACES
from tui.screens.runs import RunsScreen
from tui.services import run_actions
from tui.services.data_questions import HELPER
from tui.services.event_feed import EventFeed, MachineWatch
from tui.services.look import THEMES, look_of
from tui.services.run_view import RunView
from tui.services.safe_text import SafeText, safe
from tui.services.watched import Watched
from tui.widgets.titles import say

if TYPE_CHECKING:
    from tui.screens.monitor import MonitorScreen
    from tui.services.curves import CurveRequest
    from tui.services.machine import MachineReading
    from tui.services.terminal import TerminalGuard

Severity = Literal["information", "warning", "error"]
BUSY_WRITES = 2
"""More waiting writes than this, and charts wait: a full queue (30) would stop the event loop."""


class FootplateApp(App[None]):
    """The console. It owns no run: it reads run directories and asks."""

    TITLE = "Footplate"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = PLACES
    DEFAULT_MODE = "runs"
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(
        self, home: Home, *, attach: RunDirectory | None = None, environment: Mapping[str, str], follow: bool = True
    ) -> None:
        super().__init__()
        self.home = home
        self.watched: Watched | None = None
        self.machine_reading: MachineReading | None = None
        self.guard: TerminalGuard | None = None
        self.last_words: list[SafeText] = []
        self.look = look_of(environment)
        self.helper_environment = {**environment, "FOOTPLATE_HOME": str(home.path.absolute())}
        self.helper: Sequence[str] = HELPER
        self._attached_run = attach
        self._opened = 0
        self._follow = follow
        self._feed = EventFeed(home, self.post_message)
        self._machine = MachineWatch(home.path, self.post_message)
        self.animation_level = "none"
        self._take_look()

    def _take_look(self) -> None:
        self.theme = self.look.theme
        if not self.look.has_color:  # Textual's own way turns colours to greys and fails on segments without a style
            self.no_color = True
            self._filters = [one for one in self._filters if not isinstance(one, Monochrome | NoColor)] + [NoColor()]

    async def on_mount(self) -> None:
        """Start what watches, after the first picture is out."""
        if self.guard is not None:
            self.guard.begin()
        if self._attached_run is not None:
            self._open(self._attached_run)
            await self.switch_mode("monitor")
        if self._follow:
            self.call_after_refresh(self._start_threads)

    def _start_threads(self) -> None:
        self._feed.start()
        self._machine.start()

    def on_unmount(self) -> None:
        """End the threads."""
        self._feed.end()
        self._machine.end()

    def look_at_runs(self, *, on: bool) -> None:
        """Follow the list of runs, or no more."""
        self._feed.list_runs(on=on)

    def look_at_run(self, wanted: CurveRequest | None) -> None:
        """Follow the watched run and make these curves; None follows nothing."""
        if self.watched is None or wanted is None:
            self._feed.pause()
        else:
            self._feed.watch(self.watched.run, self.watched.key, wanted)

    def look_at_machine(self, *, on: bool) -> None:
        """Read the machine, or no more."""
        if on:
            self._machine.on.set()
        else:
            self._machine.on.clear()

    @property
    def is_link_busy(self) -> bool:
        """Whether the terminal takes what is written more slowly than it comes (private names of Textual 8.2.8)."""
        writer = getattr(self._driver, "_writer_thread", None)
        return writer is not None and writer._queue.qsize() > BUSY_WRITES

    def _monitor(self) -> MonitorScreen | None:
        stack = self._screen_stacks.get("monitor")
        return stack[0] if stack else None  # type: ignore[return-value]

    def on_runs_listed(self, message: RunsListed) -> None:
        """Hand the list to its screen."""
        stack = self._screen_stacks.get("runs")
        if stack and isinstance(stack[0], RunsScreen):
            stack[0].show_runs(message)

    def _watched_by(self, key: int) -> Watched | None:
        return self.watched if self.watched is not None and self.watched.key == key else None

    def on_run_batch(self, message: RunBatch) -> None:
        """Take events of the watched run."""
        self._feed.taken()
        if (watched := self._watched_by(message.key)) is None:
            return
        log, samples = watched.take_events(message.events)
        if (monitor := self._monitor()) is not None:
            monitor.show_lines(log, samples)
            if not message.has_more:
                monitor.show_state()

    def on_run_stated(self, message: RunStated) -> None:
        """Take the state of the watched run."""
        if (watched := self._watched_by(message.key)) is None:
            return
        watched.state = message.state
        if (monitor := self._monitor()) is not None:
            monitor.show_state()

    def on_curves_ready(self, message: CurvesReady) -> None:
        """Take the curves of the watched run."""
        if (watched := self._watched_by(message.key)) is None:
            return
        watched.frame = message.frame
        if (monitor := self._monitor()) is not None:
            monitor.show_curves()

    def on_stages_seen(self, message: StagesSeen) -> None:
        """Take the stages of the watched run."""
        if (watched := self._watched_by(message.key)) is None:
            return
        watched.stages, watched.changes = message.stages, message.changes
        if (monitor := self._monitor()) is not None:
            monitor.show_state()

    def on_log_grew(self, message: LogGrew) -> None:
        """Take output of the watched run's worker."""
        if (watched := self._watched_by(message.key)) is None:
            return
        lines = watched.take_output(message.lines)
        if (monitor := self._monitor()) is not None:
            monitor.show_lines(lines, [])

    def on_machine_seen(self, message: MachineSeen) -> None:
        """Take a reading of the machine."""
        self.machine_reading = message.reading
        if (monitor := self._monitor()) is not None:
            monitor.show_machine()

    def on_feed_failed(self, message: FeedFailed) -> None:
        """Say that a thread stumbled, and keep its words."""
        path = run_actions.write_error(self.home, message.words.text)
        self.tell(safe(f"What follows the runs stumbled and goes on in 5 s; the runs are not touched. {path}"), "error")

    def watch_run(self, run: RunDirectory, *, parent: RunDirectory | None = None) -> None:
        """Open the monitor of a run; `parent` is the one to which it belongs as a stage."""
        if self.watched is None or self.watched.run != run:
            self._open(run)
        if self.watched is not None:
            self.watched.parent = parent
        if (monitor := self._monitor()) is not None:
            monitor.show_run()
        self.switch_mode("monitor")

    def _open(self, run: RunDirectory) -> None:
        self._opened += 1
        self.watched = Watched(run, RunView(run.name), self._opened)

    def create_and_start(self, name: str, stem: str, config: str) -> None:
        """Make a run of this configuration, start it, and go to its monitor."""
        self._act(lambda: run_actions.create_and_start(self.home, name, stem, config))

    def start_run(self, run: RunDirectory) -> None:
        """Start a run, or go on with it."""
        self._act(lambda: run_actions.start(run))

    def ask_run(self, run: RunDirectory, verb: Verb) -> None:
        """Leave a request for a run."""
        self._act(lambda: run_actions.ask(run, verb))

    @work(thread=True, exit_on_error=False)
    def _act(self, act: Callable[[], ActionDone]) -> None:
        self.post_message(run_actions.outcome_of(act, self.home))

    def on_action_done(self, message: ActionDone) -> None:
        """Tell that it is done; a run that was started is watched."""
        self.tell(message.words)
        if message.starts:
            self.watch_run(message.run)

    def on_action_failed(self, message: ActionFailed) -> None:
        """Tell what was refused and why."""
        self.tell(message.words, "error")

    def prepare_home(self) -> None:
        """Make the home's folders. Raises: FootplateError."""
        make_home(self.home)

    def action_go(self, place: str) -> None:
        """Go to a place."""
        if self.current_mode != place:
            self.switch_mode(place)

    def action_help(self) -> None:
        """Show all keys."""
        from tui.screens.help import HelpScreen

        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen.of(self))

    def action_next_theme(self) -> None:
        """Take the next theme; without colour there is one."""
        if self.look.has_color:
            here = THEMES.index(self.theme) if self.theme in THEMES else 0
            self.theme = THEMES[(here + 1) % len(THEMES)]
            self.tell(safe(f"theme: {self.theme}"))

    def action_picture(self) -> None:
        """Write what is seen to a file in the home."""
        path = run_actions.write_picture(self.home, self.export_screenshot())
        self.tell(safe(f"Written to {path}."))

    def tell(self, words: SafeText, severity: Severity = "information") -> None:
        """Show words in a corner."""
        say(self, words, severity=severity, seconds=10.0 if severity == "error" else 5.0)

    def action_leave(self) -> None:
        """Leave; runs go on."""
        self.last_words = leaving.what_goes_on(self.watched)
        self.exit()

    @work
    async def action_ask_to_leave(self) -> None:
        """Ask before leaving: Ctrl-C is also a slip of the finger. A second one answers yes."""
        if await leaving.wants_to_leave(self):
            self.action_leave()

    @work
    async def action_leave_and_stop(self) -> None:
        """Ask the watched run to stop, then leave."""
        await leaving.leave_and_stop(self)

    def leave_with(self, code: int) -> None:
        """Leave because of a signal or a lost terminal."""
        self.exit(return_code=code)

    def _handle_exception(self, error: Exception) -> None:
        """Write what happened to a file and leave; Textual would print the locals, with whatever text is in them."""
        self.last_words = run_actions.words_of_a_bug(self.home, error)
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()
