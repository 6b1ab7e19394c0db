"""The application: its places, what they share, and the boundary where actions and failures become words."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from textual import work
from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import Monochrome, NoColor
from textual.screen import Screen

from core.errors import FootplateError
from core.run.control import Verb, request
from core.run.directory import Home, RunDirectory
from core.run.launch import create_run, launch, make_home
from core.run.private import write_atomic
from core.run.runs import find_run
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
)
from tui.screens.dialogs import ConfirmDialog
from tui.screens.runs import RunsScreen
from tui.services.event_feed import EventFeed, MachineWatch
from tui.services.run_list import is_live
from tui.services.run_view import RunView
from tui.services.safe_text import SafeText, safe, safe_text
from tui.services.watched import Watched
from tui.widgets.key_line import Hint
from tui.widgets.titles import say

if TYPE_CHECKING:
    from tui.screens.monitor import MonitorScreen
    from tui.services.curves import CurveRequest
    from tui.services.machine import MachineReading
    from tui.services.terminal import TerminalGuard
    from tui.widgets.plot import Charset

Severity = Literal["information", "warning", "error"]
BUSY_WRITES = 2
"""More waiting writes than this, and charts wait: a full queue (30) would stop the event loop."""


def presets_screen() -> Screen[None]:
    """Return the menu of presets; imported when it is first shown."""
    from tui.screens.presets import PresetsScreen

    return PresetsScreen()


def monitor_screen() -> Screen[None]:
    """Return the monitor; imported when it is first shown, with numpy and plotext."""
    from tui.screens.monitor import MonitorScreen

    return MonitorScreen()


class FootplateApp(App[None]):
    """The console. It owns no run: it reads run directories and asks."""

    TITLE = "Footplate"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        "runs": RunsScreen,
        "configure": presets_screen,
        "monitor": monitor_screen,
    }
    DEFAULT_MODE = "runs"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "go('runs')", "runs", id="go.runs", tooltip="The list of runs"),
        Binding("3", "go('configure')", "configure", id="go.configure", tooltip="Presets and their forms"),
        Binding("4", "go('monitor')", "monitor", id="go.monitor", tooltip="The watched run"),
        Binding("question_mark,f1", "help", "help", id="app.help", tooltip="All keys and what the marks mean"),
        Binding("T", "next_theme", "theme", id="app.theme", tooltip="The next theme"),
        Binding("f12", "picture", "picture", id="app.picture", tooltip="Write this screen to an SVG file"),
        Binding("q", "leave", "leave", id="app.leave", tooltip="Leave; runs go on"),
        Binding(
            "Q", "leave_and_stop", "leave and stop", id="app.leave_and_stop", tooltip="Leave and stop the watched run"
        ),
        Binding("ctrl+c,ctrl+q", "ask_to_leave", "leave", show=False, priority=True, id="app.ask_to_leave"),
    ]

    def __init__(
        self, home: Home, *, attach: RunDirectory | None = None, environment: Mapping[str, str], follow: bool = True
    ) -> None:
        super().__init__()
        self.home = home
        self.watched: Watched | None = None
        self.machine_reading: MachineReading | None = None
        self.guard: TerminalGuard | None = None
        self.last_words: list[SafeText] = []
        self.has_color = "NO_COLOR" not in environment
        self.charset: Charset = "braille" if _has_braille(environment) else "ascii"
        self._attached_run = attach
        self._follow = follow
        self._feed = EventFeed(home, self.post_message)
        self._machine = MachineWatch(home.path, self.post_message)
        self.animation_level = "none"
        self._choose_theme(environment)

    def _choose_theme(self, environment: Mapping[str, str]) -> None:
        few_colors = not environment.get("COLORTERM") and "256color" not in environment.get("TERM", "256color")
        if not self.has_color or few_colors:
            self.theme = "ansi-dark"
        if not self.has_color:  # alone it would turn colours into greys, and stumble over segments without a style
            self.no_color = True
            self._filters = [one for one in self._filters if not isinstance(one, Monochrome | NoColor)] + [NoColor()]

    async def on_mount(self) -> None:
        """Start what watches, after the first picture is out."""
        if self.guard is not None:
            self.guard.begin()
        if self._attached_run is not None:
            self.watched = Watched(self._attached_run, RunView(self._attached_run.name))
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

    # what the screens ask of the feed

    def look_at_runs(self, *, on: bool) -> None:
        """Follow the list of runs, or no more."""
        self._feed.list_runs(on=on)

    def look_at_run(self, wanted: CurveRequest | None) -> None:
        """Follow the watched run and make these curves; None follows nothing."""
        run = self.watched.run if self.watched is not None and wanted is not None else None
        self._feed.watch(run, wanted)

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

    # what the feed says

    def _monitor(self) -> MonitorScreen | None:
        stack = self._screen_stacks.get("monitor")
        return stack[0] if stack else None  # type: ignore[return-value]

    def on_runs_listed(self, message: RunsListed) -> None:
        """Hand the list to its screen."""
        stack = self._screen_stacks.get("runs")
        if stack and isinstance(stack[0], RunsScreen):
            stack[0].show_runs(message)

    def on_run_batch(self, message: RunBatch) -> None:
        """Take events of the watched run."""
        if self.watched is None or message.run != self.watched.view.name:
            return
        log, samples = self.watched.take_events(message.events)
        monitor = self._monitor()
        if monitor is not None:
            monitor.show_lines(log, samples)
            monitor.show_state()

    def on_run_stated(self, message: RunStated) -> None:
        """Take the state of the watched run."""
        if self.watched is None or message.run != self.watched.view.name:
            return
        self.watched.state = message.state
        monitor = self._monitor()
        if monitor is not None:
            monitor.show_state()

    def on_curves_ready(self, message: CurvesReady) -> None:
        """Take the curves of the watched run."""
        if self.watched is None or message.run != self.watched.view.name:
            return
        self.watched.frame = message.frame
        monitor = self._monitor()
        if monitor is not None:
            monitor.show_curves()

    def on_log_grew(self, message: LogGrew) -> None:
        """Take output of the watched run's worker."""
        if self.watched is None or message.run != self.watched.view.name:
            return
        lines = self.watched.take_output(message.lines)
        monitor = self._monitor()
        if monitor is not None:
            monitor.show_lines(lines, [])

    def on_machine_seen(self, message: MachineSeen) -> None:
        """Take a reading of the machine."""
        self.machine_reading = message.reading
        monitor = self._monitor()
        if monitor is not None:
            monitor.show_machine()

    def on_feed_failed(self, message: FeedFailed) -> None:
        """Say that a thread stumbled, and keep its words."""
        path = self._write_error(message.words.text)
        self.tell(safe(f"What follows the runs stumbled and goes on in 5 s; the runs are not touched. {path}"), "error")

    # what the screens ask of runs; each runs in a thread and comes back as a message

    def watch_run(self, name: str) -> None:
        """Open the monitor of a run."""
        if self.watched is None or self.watched.view.name != name:
            self.watched = Watched(RunDirectory(self.home.runs / name), RunView(name))
        monitor = self._monitor()
        if monitor is not None:
            monitor.show_run()
        self.switch_mode("monitor")

    def create_and_start(self, name: str, stem: str, config: str) -> None:
        """Make a run of this configuration, start it, and go to its monitor."""

        def act() -> tuple[str, SafeText]:
            run = create_run(self.home, name, stem, config)
            launch(run)
            return run.name, safe(f"{run.name} runs, detached from this console.")

        self._act("start", act)

    def start_run(self, name: str) -> None:
        """Start a run, or go on with it."""

        def act() -> tuple[str, SafeText]:
            attempt = launch(find_run(self.home, name))
            return name, safe(f"{name} runs (attempt {attempt}), detached from this console.")

        self._act("start", act)

    def ask_run(self, name: str, verb: str) -> None:
        """Leave a request for a run."""

        def act() -> tuple[str, SafeText]:
            known: Verb = verb  # type: ignore[assignment]
            request(find_run(self.home, name), known)
            return name, safe(f"Asked {name}: {verb}. Its log says when that is done.")

        self._act("ask", act)

    async def ask_to_stop(self, name: str, state: str) -> None:
        """Ask a run to stop, after a question."""
        if state not in ("running", "stalled", "silent"):
            self.tell(safe(f"{name} is {state}: there is nothing to stop."), "warning")
            return
        text = [
            safe("It ends after the step that runs and saves a checkpoint. r in the list of runs goes on from there.")
        ]
        if await self.push_screen_wait(ConfirmDialog(safe(f"Stop {name}?"), text, yes=safe("save and stop"))):
            self.ask_run(name, "stop")

    @work(thread=True, exit_on_error=False)
    def _act(self, action: str, act: Callable[[], tuple[str, SafeText]]) -> None:
        try:
            run, words = act()
        except FootplateError as error:
            self.post_message(ActionFailed(action, safe_text(str(error))))
        except Exception as error:  # the console's action boundary: whatever happened becomes words
            path = self._write_error(traceback.format_exc())
            self.post_message(ActionFailed(action, safe(f"unexpected {error!r}; see {path}")))
        else:
            self.post_message(ActionDone(action, run, words))

    def on_action_done(self, message: ActionDone) -> None:
        """Tell that it is done; a run that was started is watched."""
        self.tell(message.words)
        if message.action == "start":
            self.watch_run(message.run)

    def on_action_failed(self, message: ActionFailed) -> None:
        """Tell what was refused and why."""
        self.tell(message.words, "error")

    def prepare_home(self) -> None:
        """Make the home's folders. Raises: FootplateError."""
        make_home(self.home)

    # going and leaving

    def place_hints(self) -> list[Hint]:
        """Return the hints that every screen shows."""
        return [
            Hint("1", "Runs", "app.go('runs')"), Hint("3", "Configure", "app.go('configure')"),
            Hint("4", "Monitor", "app.go('monitor')"), Hint("?", "help", "app.help"), Hint("q", "leave", "app.leave"),
        ]  # fmt: skip

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
        if self.has_color:
            names = ["textual-dark", "textual-light", "ansi-dark", "ansi-light", "nord", "gruvbox"]
            here = names.index(self.theme) if self.theme in names else 0
            self.theme = names[(here + 1) % len(names)]
            self.tell(safe(f"theme: {self.theme}"))

    def action_picture(self) -> None:
        """Write what is seen to a file in the home."""
        try:
            make_home(self.home)
            path = self.home.path / f"console-{time.strftime('%Y%m%d-%H%M%S')}.svg"
            write_atomic(path, self.export_screenshot().encode("utf-8"), root=self.home.path)
            self.tell(safe(f"Written to {path}."))
        except (FootplateError, OSError) as error:
            self.tell(safe(str(error)), "error")

    def tell(self, words: SafeText, severity: Severity = "information") -> None:
        """Show words in a corner."""
        say(self, words, severity=severity, seconds=10.0 if severity == "error" else 5.0)

    def action_leave(self) -> None:
        """Leave; runs go on."""
        self._say_what_goes_on()
        self.exit()

    def _say_what_goes_on(self) -> None:
        watched = self.watched
        if watched is not None and watched.state is not None and is_live(watched.state):
            name = watched.view.name
            self.last_words = [
                safe(f"{name} goes on. Watch it again: footplate attach {name}    stop it: footplate stop {name}")
            ]

    @work
    async def action_ask_to_leave(self) -> None:
        """Ask before leaving: Ctrl-C is also a slip of the finger. A second one answers yes."""
        if isinstance(self.screen, ConfirmDialog):
            self.screen.dismiss(True)
            return
        text = [safe("Runs go on by themselves; nothing is stopped by leaving.")]
        if await self.push_screen_wait(ConfirmDialog(safe("Leave the console?"), text, yes=safe("leave"))):
            self.action_leave()

    @work
    async def action_leave_and_stop(self) -> None:
        """Ask the watched run to stop, then leave."""
        watched = self.watched
        if watched is None or watched.state is None or not is_live(watched.state):
            self.action_leave()
            return
        name = watched.view.name
        text = [safe(f"{name} saves a checkpoint after the step that runs, and ends.")]
        if await self.push_screen_wait(
            ConfirmDialog(safe(f"Stop {name} and leave?"), text, yes=safe("stop and leave"))
        ):
            try:
                request(watched.run, "stop")
            except FootplateError as error:
                self.tell(safe(str(error)), "error")
                return
            self.last_words = [safe(f"{name} was asked to stop. See: footplate runs")]
            self.exit()

    def leave_with(self, code: int) -> None:
        """Leave because of a signal or a lost terminal."""
        self.exit(return_code=code)

    # failures of the console itself

    def _handle_exception(self, error: Exception) -> None:
        """Write what happened to a file and leave; Textual would print the locals, with whatever text is in them."""
        words = "".join(traceback.format_exception(error))
        path = self._write_error(words)
        self.last_words = [
            safe(f"footplate: the console stumbled: {type(error).__name__}: {error}"),
            safe(f"  This is a bug. The traceback is in {path}. Runs are not touched: footplate attach RUN"),
        ]
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._close_messages_no_wait()

    def _write_error(self, words: str) -> str:
        try:
            make_home(self.home)
            path = self.home.path / f"console-error-{time.strftime('%Y%m%d-%H%M%S')}.txt"
            write_atomic(path, words.encode("utf-8", "backslashreplace"), root=self.home.path)
        except (FootplateError, OSError) as error:
            return f"(no file could be written: {error})"
        return str(path)


def _has_braille(environment: Mapping[str, str]) -> bool:
    """Whether the locale and the terminal are likely to show braille; the Linux console's font has none."""
    locale = next((environment[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environment.get(name)), "")
    is_unicode = "utf" in locale.lower() or (not locale and sys.getfilesystemencoding() == "utf-8")
    return is_unicode and environment.get("TERM", "") != "linux"
