"""The menu of presets: what each does, on which machine, in what time and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen

from core.config.presets import PresetEntry, list_presets
from core.errors import FootplateError
from tui.forms.form_state import FormState
from tui.forms.preset_text import preset_detail, preset_lines
from tui.screens.app_keys import PLACE_HINTS
from tui.screens.form import FormScreen
from tui.services.safe_text import safe, safe_lines
from tui.services.styled import Line, Tone, line, word
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.lines import LinesView
from tui.widgets.row_list import RowList
from tui.widgets.titles import set_title

if TYPE_CHECKING:
    from tui.console import FootplateApp


class PresetsScreen(Screen[None]):
    """Presets to choose from; one that cannot be read is listed with what is wrong with it."""

    AUTO_FOCUS = "RowList"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - Textual declares it on the instance
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (14, "-low"), (20, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "runs", show=False, id="presets.leave", tooltip="Back to the list of runs"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[PresetEntry] = []

    @property
    def console_app(self) -> FootplateApp:
        """The application."""
        return cast("FootplateApp", self.app)

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield LinesView(id="head")
        with Horizontal(id="body"):
            with Vertical(id="main"):
                yield RowList(id="list")
            yield LinesView(id="side", wraps=True)
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Name the screen and its keys."""
        right = [word("choose a preset ", "muted")]
        head = line(word(" FOOTPLATE", "title"), word("  3 Configure", "strong"), right=right)
        self.query_one("#head", LinesView).show([head])
        set_title(self.query_one("#list"), [word("presets", "title")])
        hints = [Hint("⏎", "open", "screen.choose"), Hint("esc", "runs", "screen.leave")]
        self.query_one(KeyLine).show_hints([hints, PLACE_HINTS])

    def on_screen_resume(self) -> None:
        """Read the presets: others may have been saved."""
        self._entries = list_presets(self.console_app.home.presets)
        self.query_one(RowList).show(preset_lines(self._entries))
        self._show_side()

    def _show_side(self) -> None:
        side, cursor = self.query_one("#side", LinesView), self.query_one(RowList).cursor
        if not 0 <= cursor < len(self._entries):
            side.show([line(word("No presets were found."))])
            return
        entry = self._entries[cursor]
        set_title(side, [word(entry.name, "title")])
        lines: list[Line] = []
        for heading, words in preset_detail(entry):
            text = f"{heading}: {words}" if heading else words
            tone: Tone = "muted" if heading else "bad" if entry.error else "plain"
            lines += [line((part, tone)) for part in safe_lines(text, lines=20)]
        side.show(lines)

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._show_side()

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        if not self._entries:
            return
        entry = self._entries[message.index]
        try:
            form = FormState.load(entry.name, entry.path)
        except FootplateError as error:
            self.console_app.tell(safe(error.message), "error")
            return
        self.app.push_screen(FormScreen(form))

    @on(KeyLine.Pressed)
    async def _pressed(self, message: KeyLine.Pressed) -> None:
        await self.run_action(message.action)

    def action_choose(self) -> None:
        """Open the preset under the cursor."""
        self.query_one(RowList).action_choose()

    def action_leave(self) -> None:
        """Go back to the runs."""
        self.console_app.action_go("runs")
