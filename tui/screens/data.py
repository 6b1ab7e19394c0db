"""Data: sources and filters put together, tried on a sample, looked at row by row and token by token, then run."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.timer import Timer

from core.config.fields import Slot
from core.errors import FootplateError
from tui.forms.field_typing import FieldTyping
from tui.forms.form_state import FormState
from tui.screens import data_editing
from tui.screens.data_keys import DATA_KEYS
from tui.screens.data_panes import show_detail, show_head, show_keys, show_sample
from tui.screens.form_actions import choose_value
from tui.services.data_inquiry import DataInquiry
from tui.services.data_questions import DataAnswered, DataProgress, DataQuestions, DataRefused
from tui.services.data_state import DataState, StepRow
from tui.services.data_text import pipeline_lines
from tui.services.safe_text import safe
from tui.services.styled import word
from tui.widgets.field_editor import FieldEditor
from tui.widgets.key_line import KeyLine
from tui.widgets.lines import LinesView
from tui.widgets.page_view import PageView
from tui.widgets.row_list import RowList
from tui.widgets.titles import set_title

if TYPE_CHECKING:
    from tui.console import FootplateApp

DEBOUNCE_SECONDS = 0.15
_LOOK_SECONDS = 1.0


class DataScreen(Screen[None]):
    """The pipeline on the left, what the step under the cursor does beside it, a row of the sample below."""

    AUTO_FOCUS = "RowList"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - Textual declares it on the instance
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (14, "-low"), (20, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = DATA_KEYS

    def __init__(self) -> None:
        super().__init__()
        self._state = DataState()
        self.rows: list[StepRow] = []
        self._typing: FieldTyping | None = None
        self._settling: Timer | None = None

    @property
    def console_app(self) -> FootplateApp:
        """The application."""
        return cast("FootplateApp", self.app)

    @property
    def state(self) -> DataState:
        """What is known and looked at."""
        return self._state

    def compose(self) -> ComposeResult:
        """Lay out the screen."""
        yield LinesView(id="head")
        with Horizontal(id="body"):
            with Vertical(id="main"):
                yield RowList(id="list")
                yield FieldEditor(id="editor")
            yield PageView(id="detail")
            yield PageView(id="figures")
        yield PageView(id="sample")
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Show how to begin."""
        self._questions = DataQuestions(self.post_message, self.console_app.helper_environment, self.console_app.helper)
        self._inquiry = DataInquiry(self._state, self._questions)
        self.set_interval(_LOOK_SECONDS, self._show_age)
        self.show_all()

    def on_resize(self) -> None:
        """Show the figures beside the step where there is room."""
        self.call_after_refresh(self.show_all)

    def on_unmount(self) -> None:
        """End the helper."""
        self._questions.end()

    def begin(self, form: FormState, *, is_new: bool) -> None:
        """Put this preparation on the screen."""
        self._inquiry.begin(form, is_new=is_new)
        self.show_all(cursor=0)

    def show_all(self, *, cursor: int | None = None) -> None:
        """Show everything as the state has it; what did not change is not drawn again."""
        self.rows = self._state.rows()
        has_form = self._state.form is not None
        self.query_one("#main").display = has_form
        has_room = not self.has_class("-tiny") or self.has_class("-full")
        self.query_one("#sample").display = has_form and has_room
        rows = self.query_one(RowList)
        set_title(rows, [word("sources and filters", "title")])
        rows.show(pipeline_lines(self._state, is_wide=self.has_class("-wide")), cursor=cursor)
        show_keys(self, self._state, is_typing=self._typing is not None)
        self._show_age()
        self._show_detail()
        show_sample(self, self._state)

    def _show_age(self) -> None:
        show_head(self, self._state)

    @property
    def row(self) -> StepRow | None:
        """The row under the cursor."""
        cursor = self.query_one(RowList).cursor
        return self.rows[cursor] if 0 <= cursor < len(self.rows) else None

    def _show_detail(self) -> None:
        show_detail(self, self._state, self.row)

    @on(DataAnswered)
    @on(DataRefused)
    @on(DataProgress)
    def _answered(self, message: DataAnswered | DataRefused | DataProgress) -> None:
        if not self._inquiry.take(message):
            return
        if isinstance(message, DataProgress):
            self._show_age()
        else:
            self.show_all()

    def changed(self) -> None:
        """Show the draft as it is now, and try it once it has been left alone for a moment."""
        if self._state.trial is not None:
            self._state.is_stale = True
        self.show_all()
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(DEBOUNCE_SECONDS, self._settled)

    def _settled(self) -> None:
        self._inquiry.draft_changed()
        self.show_all()

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._show_detail()

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.action_edit()

    @on(KeyLine.Pressed)
    async def _pressed(self, message: KeyLine.Pressed) -> None:
        await self.run_action(message.action)

    @work
    async def action_edit(self) -> None:
        """Open or close a step, add to the list, or edit a field."""
        row, form = self.row, self._state.form
        if row is None or form is None:
            return
        if row.slot is None:
            await data_editing.enter_step(self, row.step)
        elif row.slot.choices:
            if await data_editing.choose_kind(self, row.slot) or await choose_value(self.console_app, form, row.slot):
                self.changed()
        elif row.slot.kind != "section":
            await self._open_editor(form, row.slot)

    async def _open_editor(self, form: FormState, slot: Slot) -> None:
        self._typing = FieldTyping(form, slot)
        await self.query_one(FieldEditor).open(slot.title, safe(form.text_of(slot), limit=20_000))
        self.show_all()

    async def _close_editor(self) -> None:
        self._typing = None
        await self.query_one(FieldEditor).close()
        self.query_one(RowList).focus()
        self.changed()

    @on(FieldEditor.Typing)
    def _typed(self, message: FieldEditor.Typing) -> None:
        """Try what is being typed, as far as it is a value."""
        if self._typing is not None and self._typing.follow(message.text):
            self.changed()

    @on(FieldEditor.Entered)
    async def _entered(self, message: FieldEditor.Entered) -> None:
        if self._typing is not None:
            try:
                self._typing.take(message.text)
            except FootplateError as error:
                self.console_app.tell(safe(error.message), "error")
            else:
                await self._close_editor()

    async def action_back(self) -> None:
        """Leave the editor, close the step, or stop asking; then go to the runs."""
        if self._typing is not None:
            self._typing.leave()
            await self._close_editor()
        elif self._state.opened is not None:
            step, self._state.opened = self._state.opened, None
            self.show_all()
            data_editing.go_to(self, step)
        elif self._state.waiting:
            self._inquiry.stop()
            self.console_app.tell(safe("Stopped asking; F6 asks again."))
            self.show_all()
        else:
            self.console_app.action_go("runs")

    @work
    async def action_new_source(self) -> None:
        """Point at a file or a folder."""
        await data_editing.add_source(self)

    def action_remove(self) -> None:
        """Take the source or filter under the cursor out."""
        data_editing.remove_step(self)

    def action_shift(self, by: int) -> None:
        """Move the source or filter under the cursor before or behind its neighbour."""
        data_editing.shift_step(self, by)

    def action_nudge(self, by: int) -> None:
        """Make the number under the cursor a step larger or smaller."""
        data_editing.nudge_field(self, by)

    def action_reset(self) -> None:
        """Give the field under the cursor its default back."""
        data_editing.reset_field(self)

    def action_row(self, by: int) -> None:
        """Look at another row of the sample."""
        self._state.move_row(by)
        self._look_at_row()

    def action_view(self) -> None:
        """Show the row as text, or as tokens."""
        self._state.turn_view()
        self._look_at_row()

    def action_only_counted(self) -> None:
        """Show only the tokens that the loss counts, and back."""
        self._state.turn_mask()
        self._look_at_row()

    def _look_at_row(self) -> None:
        self._inquiry.look_at_row()
        self.show_all()

    def action_histogram(self) -> None:
        """Show lengths and languages instead of the step, and back; on a wide screen, beside it or not."""
        self._state.show_histogram = not self._state.show_histogram
        self._show_detail()

    def action_full(self) -> None:
        """Give the row of the sample the whole screen, and back."""
        self.toggle_class("-full")
        self.show_all()

    def action_advanced(self) -> None:
        """Show all fields of a source, or only those that are set."""
        if self._state.form is not None:
            self._state.form.advanced = not self._state.form.advanced
            self.show_all()

    def action_again(self) -> None:
        """Ask everything anew."""
        self._inquiry.again()
        self.show_all()

    def action_problem(self) -> None:
        """Go to the next field that is wrong, and open its step."""
        data_editing.next_problem(self)

    @work
    async def action_presets(self) -> None:
        """Begin with a preset of the phase prepare."""
        await data_editing.choose_preset(self)

    @work
    async def action_save(self) -> None:
        """Save what is on the screen as a preset of the user."""
        await data_editing.save(self)

    @work
    async def action_launch(self) -> None:
        """Say what the run will do, ask for a name, and start it."""
        await data_editing.launch(self)
