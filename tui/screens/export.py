"""An export of a finished run: in which form and where to, how far it is, and where it lies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from core.run.directory import RunDirectory
from tui.screens.dialogs import DIALOG_CSS, TextDialog
from tui.services.data_questions import DataAnswered, DataProgress, DataQuestions, DataRefused
from tui.services.exporting import ExportWish, answer_words, default_folder, is_adapter_run, progress_words
from tui.services.safe_text import safe
from tui.services.styled import Line, Tone, line, word, wrapped
from tui.widgets.lines import LinesView
from tui.widgets.row_list import RowList
from tui.widgets.titles import set_title

if TYPE_CHECKING:
    from tui.console import FootplateApp

_TYPES = (None, "fp32", "bf16", "fp16")
_HELP = {
    "form": "The merged model needs nothing else; the adapter alone is small and needs its base.",
    "weights": "As stored keeps every bit; bf16 and fp16 take half the room of fp32.",
    "GGUF": "A file for llama.cpp besides, read back and compared. Needs `footplate fetch gguf-converter` once.",
    "folder": "A folder that is not there yet. It appears whole or not at all.",
    "export": "Begin. Uploading to the hub is left to the command: footplate export --push.",
}


class ExportScreen(ModalScreen[None]):
    """Choices as rows, changed by enter; the last row begins. Leaving while it works ends the work."""

    DEFAULT_CSS = f"ExportScreen {{ {DIALOG_CSS} }}"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "back", show=False, id="export.back", tooltip="Stop exporting and go back")
    ]

    def __init__(self, run: RunDirectory) -> None:
        super().__init__()
        self._run = run
        self._wish = ExportWish(default_folder(run))
        self._is_adapter_run = is_adapter_run(run)
        self._questions: DataQuestions | None = None
        self._words: list[tuple[str, Tone]] = []
        self._is_busy = False

    def compose(self) -> ComposeResult:
        """Lay out the choices."""
        with Vertical(id="dialog"):
            yield RowList(id="choices")
            yield LinesView(id="words")
            yield LinesView(id="keys")

    def on_mount(self) -> None:
        """Fill it."""
        set_title(self.query_one("#dialog"), [word(f"export {self._run.name}", "title")])
        rows = self.query_one(RowList)
        rows.focus()
        self.query_one("#keys").styles.height = 1
        self._show()

    def on_unmount(self) -> None:
        """End the helper, and with it an export that is not done."""
        if self._questions is not None:
            self._questions.end()

    @property
    def _rows(self) -> list[str]:
        """The choices that there are; an adapter alone stays as it was trained."""
        form = ["form"] if self._is_adapter_run else []
        return [*form, *([] if self._wish.adapter_only else ["weights", "GGUF"]), "folder", "export"]

    @property
    def _width(self) -> int:
        """The cells of a line inside the dialog."""
        return max(20, min(64, self.app.size.width * 96 // 100) - 6)

    def _value(self, row: str) -> str:
        wish = self._wish
        match row:
            case "form":
                return "the adapter alone" if wish.adapter_only else "merged with its base"
            case "weights":
                return wish.dtype or "as stored"
            case "GGUF":
                return "yes" if wish.gguf else "no"
            case "folder":
                return _ending(str(wish.to), self._width - 10)
        return "begin"

    @on(RowList.Chosen)
    def _chosen(self, message: RowList.Chosen) -> None:
        if self._is_busy:
            return
        wish = self._wish
        self._words = []  # they are about what was asked for before
        match self._rows[message.index]:
            case "form":  # an adapter alone has neither of the others
                self._wish = ExportWish(wish.to, adapter_only=not wish.adapter_only)
            case "weights":
                dtype = _TYPES[(_TYPES.index(wish.dtype) + 1) % len(_TYPES)]
                self._wish = ExportWish(wish.to, dtype=dtype, gguf=wish.gguf)
            case "GGUF":
                self._wish = ExportWish(wish.to, dtype=wish.dtype, gguf=not wish.gguf)
            case "folder":
                self._ask_for_folder()
            case "export":
                self._begin()
        self._show()

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._show()

    @work
    async def _ask_for_folder(self) -> None:
        text = [safe("The folder to write, which is not there yet:")]
        dialog = TextDialog(safe("export to"), text, value=safe(str(self._wish.to)))
        typed = await self.app.push_screen_wait(dialog)
        if typed and typed.strip():
            wish, place = self._wish, Path(typed.strip()).expanduser().absolute()
            self._wish = ExportWish(place, adapter_only=wish.adapter_only, dtype=wish.dtype, gguf=wish.gguf)
            self._words = []
        self._show()

    def _begin(self) -> None:
        app = cast("FootplateApp", self.app)
        if self._questions is None:
            self._questions = DataQuestions(self.post_message, app.helper_environment, app.helper)
        self._is_busy = True
        self._words = [("starting …", "accent")]
        self._questions.ask("export", self._wish.question(self._run))

    @on(DataAnswered)
    @on(DataRefused)
    @on(DataProgress)
    def _answered(self, message: DataAnswered | DataRefused | DataProgress) -> None:
        self._is_busy = isinstance(message, DataProgress)
        match message:
            case DataProgress():
                progress = {"stage": message.stage, "done": message.done, "total": message.total, "unit": message.unit}
                self._words = [(f"{progress_words(progress)} …", "accent")]
            case DataAnswered():
                self._words = [(text, "plain") for text in answer_words(message.result)]
                self._words.insert(0, (f"It lies in {message.result.get('folder')}", "good"))
            case DataRefused():
                self._words = [(message.message, "bad"), (message.hint, "muted")]
        self._show()

    def _show(self) -> None:
        rows, words = self.query_one(RowList), self.query_one("#words", LinesView)
        rows.styles.height = len(self._rows)
        rows.show([line(word(f" {row:<8}", "muted"), word(self._value(row))) for row in self._rows])
        lines = list(self._lines(rows.cursor))
        words.styles.height = len(lines)
        words.show(lines)
        chosen = "change" if self._rows[rows.cursor] != "export" else "begin"
        keys = [word("esc", "accent"), word(" stop it and go back" if self._is_busy else " go back")]
        if not self._is_busy:
            keys[:0] = [word("⏎", "accent"), word(f" {chosen}   ")]
        self.query_one("#keys", LinesView).show([line(*keys)])

    def _lines(self, cursor: int) -> Iterator[Line]:
        yield line()
        for text, tone in self._words or [(_HELP[self._rows[cursor]], "muted")]:
            yield from wrapped(safe(text), self._width, tone)
        yield line()


def _ending(text: str, width: int) -> str:
    """Return a path, or where it is too long its end, which tells it from others."""
    return text if len(text) <= width else f"…{text[1 - width :]}"
