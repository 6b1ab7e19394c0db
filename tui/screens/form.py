"""The form of a preset: change what is to be changed, save it, start a run from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Input

from core.config.fields import Slot
from core.config.yaml_text import Place
from core.errors import FootplateError
from tui.forms.derived import derived_lines
from tui.forms.form_lists import add_item, item_of, list_of, move_item, remove_item, toggle_fold
from tui.forms.form_state import FormState, item_headed_by
from tui.forms.form_text import change_lines, help_lines, row_lines
from tui.screens.dialogs import ConfirmDialog
from tui.screens.form_actions import choose_item, choose_value, counted, launch_form, looked_up, measure_form, save_form
from tui.screens.form_keys import KEYS, hints
from tui.services.safe_text import safe
from tui.services.styled import line, word
from tui.widgets.key_line import KeyLine
from tui.widgets.lines import LinesView
from tui.widgets.row_list import RowList
from tui.widgets.titles import set_title
from tui.widgets.typing_field import typing_field

if TYPE_CHECKING:
    from tui.console import FootplateApp


class FormScreen(Screen[None]):
    """Fields are drawn as lines, and one editor is mounted while a field is being edited."""

    AUTO_FOCUS = "RowList"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]  # noqa: RUF012 - Textual declares it on the instance
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (14, "-low"), (20, "-tall")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = KEYS

    def __init__(self, form: FormState) -> None:
        super().__init__()
        self._form = form
        self._slots: list[Slot] = []
        self._show_changes = False

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
                yield Vertical(id="editor")
            yield LinesView(id="side", wraps=True)
        yield KeyLine(id="keys")

    def on_mount(self) -> None:
        """Show the form."""
        self.query_one("#editor").display = False
        self._show_form(cursor=0)

    def _show_form(self, *, cursor: int | None = None) -> None:
        self._slots = self._form.visible()
        rows = self.query_one(RowList)
        set_title(rows, [word(self._form.name, "title")], safe(self._below()))
        rows.show(row_lines(self._form, self._slots), cursor=cursor)
        self.query_one(KeyLine).show_hints(hints(str(self._form.draft.values.get("phase"))))
        self._show_head()
        self._show_side()

    def _below(self) -> str:
        hidden = self._form.hidden_count()
        return f"{hidden} more at their defaults: F2" if hidden and not self._form.advanced else ""

    def _slot(self) -> Slot | None:
        cursor = self.query_one(RowList).cursor
        return self._slots[cursor] if 0 <= cursor < len(self._slots) else None

    def _show_head(self) -> None:
        left = [word(" FOOTPLATE", "title"), word("  3 Configure   ", "strong")]
        count, changes = self._form.problem_count, len(self._form.changes())
        left.append(word(f"{self._form.name}  {counted(changes, 'change')}"))
        right = [word(f"{counted(count, 'wrong value')} ", "bad") if count else word("valid ", "good")]
        self.query_one("#head", LinesView).show([line(*left, right=right)])

    def _show_side(self) -> None:
        side = self.query_one("#side", LinesView)
        slot = self._slot()
        if slot is None:
            return
        set_title(side, [word("changes" if self._show_changes else slot.title, "title")])
        if self._show_changes:
            side.show(change_lines(self._form))
            return
        lines = [line(word(text, tone)) for text, tone in help_lines(self._form, slot)]
        derived = derived_lines(self._form.preset_of(slot))
        if self.has_class("-wide"):
            lines += [line(), line(word("what follows", "title")), *derived]
            lines += [line(), line(word("changes", "title")), *change_lines(self._form)]
        else:
            lines += derived
        side.show(lines)

    @on(RowList.Moved)
    def _moved(self) -> None:
        self._show_side()

    @on(RowList.Chosen)
    def _chosen(self) -> None:
        self.action_edit()

    @on(KeyLine.Pressed)
    async def _pressed(self, message: KeyLine.Pressed) -> None:
        await self.run_action(message.action)

    @work
    async def action_edit(self) -> None:
        """Edit the field under the cursor: a menu for choices, a line for the rest."""
        slot = self._slot()
        if slot is None or slot.kind == "section":
            return
        if slot.choices:
            if await choose_value(self.console_app, self._form, slot):
                self._show_form()
            return
        await self._open_editor(slot)

    async def _open_editor(self, slot: Slot) -> None:
        editor = self.query_one("#editor", Vertical)
        await editor.remove_children()
        field = typing_field(safe(self._form.text_of(slot), limit=20_000))
        await editor.mount(field)
        set_title(editor, [word(slot.title, "title")], safe("⏎ take it   esc leave it as it was"))
        editor.display = True
        field.focus()

    async def _close_editor(self) -> None:
        editor = self.query_one("#editor", Vertical)
        await editor.remove_children()
        editor.display = False
        self.query_one(RowList).focus()

    @on(Input.Submitted, "#typed")
    async def _typed(self, message: Input.Submitted) -> None:
        slot = self._slot()
        if slot is None:
            return
        try:
            self._form.type_in(slot, message.value)
        except FootplateError as error:
            self.console_app.tell(safe(error.message), "error")
            return
        await self._close_editor()
        self._show_form()

    async def action_leave(self) -> None:
        """Leave the editor, or the form, or the screen."""
        if self.query_one("#editor").display:
            await self._close_editor()
        else:
            self.action_presets()

    def action_advanced(self) -> None:
        """Show all fields, or only those that are set."""
        slot = self._slot()
        self._form.advanced = not self._form.advanced
        self._show_form()
        if slot is not None and slot in self._slots:
            self.query_one(RowList).move_to(self._slots.index(slot))

    def action_reset(self) -> None:
        """Give the field under the cursor back what the preset says."""
        slot = self._slot()
        if slot is not None and slot.kind != "section":
            self._form.reset(slot)
            self._show_form()

    def action_fold(self) -> None:
        """Open the item of a list in which the cursor is, or close it."""
        slot = self._slot()
        item = toggle_fold(self._form, slot) if slot is not None else None
        if item is not None:
            self._show_form()
            self._go_to(item)

    def _go_to(self, place: Place) -> None:
        """Put the cursor on the first row of a place."""
        depth = len(place)
        at = next((index for index, slot in enumerate(self._slots) if slot.path[:depth] == place), None)
        if at is not None:
            self.query_one(RowList).move_to(at)

    @work
    async def action_add_item(self) -> None:
        """Add an item to the list in which the cursor is, behind the one under it."""
        slot = self._slot()
        place = list_of(self._form, slot) if slot is not None else None
        if slot is None or place is None:
            self.console_app.tell(safe("Here is no list to which something could be added."), "warning")
            return
        kind = await choose_item(self.console_app, self._form, place)
        if kind is not None:
            item = item_of(self._form, slot)
            at = item[-1] if item is not None and item[:-1] == place else -1
            added = add_item(self._form, place, kind, after=at if isinstance(at, int) and at >= 0 else 10**6)
            self._show_form()
            self._go_to(added)

    def action_remove_item(self) -> None:
        """Take the item whose first row is under the cursor out of its list."""
        slot = self._slot()
        item = item_headed_by(slot) if slot is not None else None
        if item is not None:
            remove_item(self._form, item)
            self._show_form()

    def action_shift(self, by: int) -> None:
        """Move the item whose first row is under the cursor before or behind its neighbour."""
        slot = self._slot()
        item = item_headed_by(slot) if slot is not None else None
        if item is not None:
            to = move_item(self._form, item, by)
            self._show_form()
            self._go_to(to)

    def action_differences(self) -> None:
        """Show the changes instead of the help, and back."""
        self._show_changes = not self._show_changes
        self._show_side()

    def action_problem(self) -> None:
        """Go to the next field that is wrong."""
        if not self._form.wrong:
            return
        rows = self.query_one(RowList)
        for place in self._form.wrong:
            self._form.unfold_to(place)
        self._show_form()
        wrong = [index for index, slot in enumerate(self._slots) if slot.path in self._form.wrong]
        if wrong:
            rows.move_to(next((index for index in wrong if index > rows.cursor), wrong[0]))

    @work
    async def action_presets(self) -> None:
        """Go back to the menu; changes that were not saved are asked about."""
        if self._form.changes():
            text = [safe("The changes to this form are lost; F4 would save them as a preset.")]
            dialog = ConfirmDialog(safe("Leave the form?"), text, yes=safe("leave it"), loses=True)
            if not await self.app.push_screen_wait(dialog):
                return
        self.dismiss(None)

    @work
    async def action_save(self) -> None:
        """Save the form as a preset of the user."""
        if self._refused("saved"):
            return
        await save_form(self.console_app, self._form)

    def _refused(self, what: str) -> bool:
        count = 0 if self._form.holds else self._form.problem_count
        if count:
            self.console_app.tell(safe(f"This cannot be {what}: {counted(count, 'wrong value')}."), "error")
            self._show_form()
            self.action_problem()
        return count > 0

    def action_measure(self) -> None:
        """Measure what the kinds of training cost for this form on this machine."""
        if not self._refused("measured"):
            measure_form(self.console_app, self._form)

    @work
    async def action_launch(self) -> None:
        """Check everything, ask for a name, and start the run."""
        if self._refused("started"):
            return
        config = looked_up(self.console_app, self._form)
        self._show_form()
        if config is None:
            self.action_problem()
            return
        changes = [safe(f"{before}: {old} → {new}") for before, old, new in self._form.changes()[:8]]
        await launch_form(self.console_app, self._form, config, changes)
