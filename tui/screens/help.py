"""All keys, what the marks mean, and how to go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from tui.services.safe_text import safe
from tui.services.styled import Line, line, word
from tui.services.words import STATES
from tui.widgets.key_line import Hint, KeyLine
from tui.widgets.lines import LinesView
from tui.widgets.log_view import LogView
from tui.widgets.titles import set_title

if TYPE_CHECKING:
    from tui.console import FootplateApp

_MEANINGS = {
    "created": "made, but not started yet",
    "running": "its process works and says so",
    "finished": "it did all that it was to do",
    "stopped": "it left early because its user asked; it can go on",
    "preempted": "it left because of a signal, with a checkpoint; it wants to go on",
    "failed": "it ended with an error; the monitor shows which",
    "stalled": "it is alive but makes no progress",
    "lost": "its process is gone and left no word; it can go on",
    "silent": "it runs on another machine, which has not been heard of for two minutes",
}
_KEY_WORDS = {
    "question_mark": "?", "left_square_bracket": "[", "right_square_bracket": "]", "exclamation_mark": "!",
    "left": "←", "right": "→", "up": "↑", "down": "↓", "enter": "⏎", "escape": "esc", "space": "space",
    "delete": "del", "backspace": "⌫", "shift+left": "⇧←", "shift+right": "⇧→", "pageup": "PgUp", "pagedown": "PgDn",
}  # fmt: skip


class HelpScreen(Screen[None]):
    """A page of keys: those of the screen that it was opened over, then those that hold everywhere."""

    AUTO_FOCUS = "LogView"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q,f1", "dismiss(None)", "back", show=False, id="help.back", tooltip="Back")
    ]

    def __init__(self, page: list[Line]) -> None:
        super().__init__()
        self._page = page

    @classmethod
    def of(cls, app: FootplateApp) -> HelpScreen:
        """Return the help for the screen that is shown."""
        names = {"runs": "Runs", "data": "Data", "configure": "Configure", "monitor": "Monitor"}
        name = names.get(app.current_mode, "this screen")
        page = [line(word(f" {name}", "title")), *_keys(type(app.screen).BINDINGS)]
        page += [line(), line(word(" everywhere", "title")), *_keys(type(app).BINDINGS)]
        page += [line(), line(word(" the state of a run", "title"))]
        for state, meaning in _MEANINGS.items():
            mark, tone = STATES[state]
            page.append(line(word(f"  {mark} {state:<12}", tone), word(meaning)))
        return cls(page + _notes(app))

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield LinesView(id="head")
        yield LogView(id="page", starts_at_end=False)
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Show the page from its top."""
        self.query_one("#head", LinesView).show([line(word(" FOOTPLATE", "title"), word("  help", "strong"))])
        page = self.query_one("#page", LogView)
        set_title(page, [word("keys")])
        page.add(self._page)
        self.query_one(KeyLine).show_hints([[Hint("↑↓", "scroll", ""), Hint("esc", "back", "screen.dismiss(None)")]])

    async def on_key_line_pressed(self, message: KeyLine.Pressed) -> None:
        """Run what was clicked."""
        await self.run_action(message.action)


def _keys(bindings: list[BindingType]) -> list[Line]:
    lines = []
    for binding in bindings:
        assert isinstance(binding, Binding)
        if binding.tooltip:
            keys = "  ".join(
                _KEY_WORDS.get(key, key.upper() if key.startswith("f") and key[1:] else key)
                for key in binding.key.split(",")
            )
            lines.append(line(word(f"  {keys:<12}", "accent"), word(binding.tooltip)))
    return lines


def _notes(app: FootplateApp) -> list[Line]:
    notes = [
        "In lists: ↑ ↓ or k j move, PgUp PgDn by pages, g G to the ends, ⏎ or a click chooses.",
        "In data: a token after █ is counted by the loss, one after ░ is not; ⟨…⟩ is a special token, ▏ ends a token.",
        "Runs live in " + str(app.home.runs) + ".",
        "A run is a process of its own: leaving the console or losing the connection does not end it.",
        "Text in panes with a │ before it comes from data, a model or a program; it cannot act on this console.",
        "Select text with the shift key held. On a slow link, ssh -C halves the traffic and more.",
        "NO_COLOR=1 shows no colour; TERM=linux and locales without UTF-8 get charts in ASCII.",
    ]
    return [line(), line(word(" good to know", "title")), *[line(word(f"  {safe(note).text}")) for note in notes]]
