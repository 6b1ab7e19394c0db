"""What full, LoRA and QLoRA cost for a form on this machine: over the form, filled as each kind is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.services.data_questions import DataAnswered, DataProgress, DataQuestions, DataRefused
from tui.services.measuring import (
    HEAD,
    KINDS,
    Cost,
    NotMeasured,
    cost_notes,
    cost_rows,
    step_words,
)
from tui.services.safe_text import safe
from tui.services.styled import Line, line, word, wrapped
from tui.widgets.lines import LinesView
from tui.widgets.titles import set_title

if TYPE_CHECKING:
    from tui.console import FootplateApp

STEPS = 3
_WIDTH = 84


class MeasureScreen(ModalScreen[None]):
    """A table that grows; leaving it ends what is being measured. Each kind has a helper process of its own."""

    DEFAULT_CSS = f"""
        MeasureScreen {{ align: center middle; }}
        MeasureScreen > Vertical {{ width: {_WIDTH}; max-width: 96%; height: auto; max-height: 90%;
            border: thick $primary; background: $surface; padding: 0 1; }}
        MeasureScreen LinesView {{ height: auto; }}
        MeasureScreen:ansi > Vertical {{ border: double $foreground; }}
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "back", show=False, id="measure.back", tooltip="Stop and go back"),
    ]

    def __init__(self, questions: Sequence[dict[str, Any] | NotMeasured], environment: Mapping[str, str]) -> None:
        super().__init__()
        self._environment = environment
        self._waiting = dict(zip(KINDS, questions, strict=True))
        self._costs: list[Cost | NotMeasured] = []
        self._doing = ""
        self._helper: DataQuestions | None = None

    def compose(self) -> ComposeResult:
        """Lay out the table."""
        with Vertical(id="dialog"):
            yield LinesView(id="table")
            yield LinesView(id="keys")

    def on_mount(self) -> None:
        """Begin with the first kind."""
        set_title(self.query_one("#dialog"), [word("what it costs on this machine", "title")])
        self.query_one("#keys").styles.height = 1
        self._next()

    def on_unmount(self) -> None:
        """End the helper, and with it the measurement."""
        self._end_helper()

    def _next(self) -> None:
        """Ask about the next kind, in a process that has done nothing yet."""
        self._end_helper()
        self._doing = ""
        while self._waiting:
            kind = next(iter(self._waiting))
            question = self._waiting.pop(kind)
            if isinstance(question, NotMeasured):
                self._costs.append(question)
                continue
            app = cast("FootplateApp", self.app)
            self._helper = DataQuestions(self.post_message, self._environment, app.helper)
            self._helper.ask(kind, question)
            self._doing = f"{kind}: starting"
            break
        self._show()

    def _end_helper(self) -> None:
        if self._helper is not None:
            self._helper.end()
            self._helper = None

    @on(DataAnswered)
    @on(DataRefused)
    @on(DataProgress)
    def _answered(self, message: DataAnswered | DataRefused | DataProgress) -> None:
        match message:
            case DataProgress():
                self._doing = f"{message.topic}: {step_words(message.stage, message.done, message.total)}"
                self._show()
                return
            case DataAnswered():
                self._costs.append(Cost.of(message.result))
            case DataRefused():
                self._costs.append(NotMeasured(message.topic, message.message, message.hint))
        self._next()

    def _show(self) -> None:
        table = self.query_one("#table", LinesView)
        lines = list(self._lines(max(20, min(_WIDTH, self.app.size.width * 96 // 100) - 4)))
        table.styles.height = len(lines)
        table.show(lines)
        words = " stop and go back" if self._doing else " go back"
        self.query_one("#keys", LinesView).show([line(word("esc", "accent"), word(words))])

    def _lines(self, width: int) -> Iterator[Line]:
        rows = [HEAD, *cost_rows(self._costs)]
        widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
        for number, row in enumerate(rows):
            cells = [cell.rjust(size) if column else cell.ljust(size)
                     for column, (cell, size) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
            yield line(word(" ".join(cells), "plain" if number else "muted"))
        yield line()
        if self._doing:
            yield line(word(f"{self._doing} …", "accent"))
        for note in cost_notes(self._costs):
            yield from wrapped(safe(note), width, "muted")
        yield from wrapped(safe("Whatever else runs on this machine slows it down."), width, "muted")
