"""What the Data screen asks its user: a path, a filter, a preset, whether to start."""

from __future__ import annotations

import inspect
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from core.config.drafts import UNSET
from core.config.fields import Slot
from core.config.filters import Filter
from core.config.presets import list_presets
from core.config.shapes import UnionShape, shape_of
from core.config.yaml_text import Place
from core.errors import FootplateError
from tui.forms.form_state import FormState
from tui.screens.dialogs import ConfirmDialog, MenuDialog, Option, TextDialog
from tui.screens.form_actions import counted, launch_form, looked_up, save_form
from tui.services.data_draft import Step, add, items, move, new_form, nudged, remove, steps, take_kind
from tui.services.data_text import source_name
from tui.services.safe_text import SafeText, safe, size_words
from tui.services.words import count_text
from tui.widgets.row_list import RowList

if TYPE_CHECKING:
    from tui.screens.data import DataScreen

_FILTER_ORDER = "The next filter gets what this one leaves."


async def enter_step(screen: DataScreen, step: Step) -> None:
    """Open or close a step, or ask for what is added where the step stands for that."""
    match step.kind:
        case "add_source":
            await add_source(screen)
        case "add_filter":
            await add_filter(screen)
        case _:
            screen.state.opened = None if screen.state.opened == step else step
            screen.show_all()


async def add_source(screen: DataScreen) -> None:
    """Ask for a path, and take it as a further source, or as the first of a new preparation."""
    form = screen.state.form
    text = [safe("A file, or a folder of files of any known format: JSONL, JSON, Parquet, CSV, text, Markdown, HTML,"
                 " LaTeX, WARC, WET, wiki dumps, PubMed; plain, .gz, .bz2 or .zst.")]  # fmt: skip
    if form is None:
        text.append(safe("What it is, is found out by looking."))
    path = await screen.app.push_screen_wait(TextDialog(safe("Add a source"), text, value=safe("")))
    if not path or not path.strip():
        return
    path = path.strip()
    if not Path(path).expanduser().exists():
        screen.console_app.tell(safe(f"There is no {path}."), "error")
        return
    if form is None:
        screen.begin(new_form(path), is_new=True)
        return
    add(form, Step("add_source"), {"kind": "path", "path": path})
    screen.changed()


async def add_filter(screen: DataScreen) -> None:
    """Let the user choose a filter and add it behind the last one, open."""
    form, shape = screen.state.form, shape_of(Filter)
    assert isinstance(shape, UnionShape)
    if form is None:
        return
    options = [
        Option(tag, safe(tag.replace("_", " ")), safe(" ".join((inspect.getdoc(section) or _FILTER_ORDER).split())))
        for tag, section in shape.members.items()
    ]
    kind = await screen.app.push_screen_wait(MenuDialog(safe("Add a filter"), options))
    if kind is None:
        return
    add(form, Step("add_filter"), {"kind": kind})
    screen.state.opened = next(step for step in reversed(steps(form)) if step.kind == "filter")
    screen.changed()
    go_to(screen, screen.state.opened)


async def choose_kind(screen: DataScreen, slot: Slot) -> bool:
    """Let the user say whether documents or rows of which kind are prepared, with the same sources and filters.

    Return whether this was that field; other fields are none of its business.
    """
    form = screen.state.form
    if form is None or slot.path != ("data", "kind"):
        return False
    options = [
        Option("text", safe("text"), safe("Documents for next-token prediction: the loss counts every token.")),
        Option("instructions", safe("instructions"), safe("Conversations: the loss counts the responses only.")),
        Option("preferences", safe("preferences"), safe("Pairs of a better and a worse answer, or judged answers.")),
        Option("prompts", safe("prompts"), safe("What a policy answers; an answer that comes along is for rewards.")),
    ]
    answer = await screen.app.push_screen_wait(MenuDialog(safe("What is prepared"), options))
    match answer:
        case "text" | "instructions" | "preferences" | "prompts":
            take_kind(form, answer)
        case _:
            pass
    return True


async def choose_preset(screen: DataScreen) -> None:
    """Begin with a preset of the phase prepare; what is on the screen is asked about where it was changed."""
    app = screen.console_app
    entries = [entry for entry in list_presets(app.home.presets) if entry.phase == "prepare" and not entry.error]
    if not entries:
        app.tell(safe("There are no presets of the phase prepare."), "warning")
        return
    titles = [entry.about.get("title", "") for entry in entries]
    options = [
        Option(str(index), safe(entry.name), safe(title))
        for index, (entry, title) in enumerate(zip(entries, titles, strict=True))
    ]
    answer = await screen.app.push_screen_wait(MenuDialog(safe("Begin with a preset"), options))
    if answer is None:
        return
    if screen.state.form is not None and screen.state.form.changes():
        text = [safe("What is on the screen is lost; F4 would save it as a preset.")]
        dialog = ConfirmDialog(safe("Leave it?"), text, yes=safe("leave it"), loses=True)
        if not await screen.app.push_screen_wait(dialog):
            return
    try:
        form = FormState.load(entries[int(answer)].name, entries[int(answer)].path)
    except FootplateError as error:
        app.tell(safe(error.message), "error")
        return
    screen.begin(form, is_new=False)


def go_to(screen: DataScreen, step: Step) -> None:
    """Put the cursor on a step."""
    wanted = [index for index, row in enumerate(screen.rows) if row.step == step]
    if wanted:
        screen.query_one(RowList).move_to(wanted[0])


def _open_step(screen: DataScreen, step: Step, places: Container[Place]) -> bool:
    """Open a step and go to its first field at one of `places`; False where it has none."""
    screen.state.opened = step
    screen.show_all()
    for index, row in enumerate(screen.rows):
        if row.step == step and row.slot is not None and row.slot.path in places:
            screen.query_one(RowList).move_to(index)
            return True
    return False


def next_problem(screen: DataScreen) -> None:
    """Go to the next field that is wrong, and open its step."""
    form = screen.state.form
    if form is None or not form.wrong:
        return
    wrong = list(form.wrong)
    for step in steps(form):
        if step.kind in ("source", "filter") and any(place[: len(step.place)] == step.place for place in wrong):
            _open_step(screen, step, wrong)
            return
    for kind in ("tokens", "settings"):
        step = next(step for step in steps(form) if step.kind == kind)
        if _open_step(screen, step, wrong):
            return
    words = "; ".join(problem.message for group in form.wrong.values() for problem in group)
    screen.console_app.tell(safe(words), "error")


def run_summary(screen: DataScreen) -> list[SafeText]:
    """Return what a run of the draft will do, in lines."""
    state, form = screen.state, screen.state.form
    if form is None:
        return []
    names = [source_name(form, step) for step in steps(form) if step.kind == "source"]
    filters = [str(item.get("kind")) for item in items(form, ("data", "filters")) if isinstance(item, dict)]
    lines = [safe(f"Sources: {', '.join(names)}", limit=300)]
    lines.append(safe(f"Filters: {', '.join(filters) or 'none'}".replace("_", " "), limit=300))
    if (trial := state.trial) is not None and trial.rows:
        old = ", from before the last change" if state.is_stale else ""
        lines.append(safe(f"Of a sample of {count_text(trial.rows)}, {count_text(trial.kept)} stay{old}."))
        if (whole := trial.estimate) is not None and whole.tokens is not None:
            disk = f", {size_words(whole.bytes)} on disk" if whole.bytes is not None else ""
            lines.append(safe(f"In all about {count_text(round(whole.tokens))} tokens{disk}."))
    return lines


def _refused(screen: DataScreen, what: str) -> bool:
    form = screen.state.form
    if form is not None and form.holds:
        return False
    words = "nothing is chosen yet" if form is None else counted(form.problem_count, "wrong value")
    screen.console_app.tell(safe(f"This cannot be {what}: {words}."), "error")
    next_problem(screen)
    return True


async def save(screen: DataScreen) -> None:
    """Save what is on the screen as a preset of the user."""
    if not _refused(screen, "saved") and screen.state.form is not None:
        await save_form(screen.console_app, screen.state.form)


async def launch(screen: DataScreen) -> None:
    """Say what the run will do, ask for its name, and start it."""
    form = screen.state.form
    if _refused(screen, "started") or form is None:
        return
    config = looked_up(screen.console_app, form)
    screen.show_all()
    if config is None:
        next_problem(screen)
    else:
        await launch_form(screen.console_app, form, config, run_summary(screen))


def remove_step(screen: DataScreen) -> None:
    """Take the source or filter under the cursor out."""
    row, form = screen.row, screen.state.form
    if form is not None and row is not None and row.slot is None and row.step.kind in ("source", "filter"):
        screen.state.opened = None
        remove(form, row.step)
        screen.changed()


def shift_step(screen: DataScreen, by: int) -> None:
    """Move the source or filter under the cursor before or behind its neighbour."""
    row, form = screen.row, screen.state.form
    if form is not None and row is not None and row.slot is None and row.step.kind in ("source", "filter"):
        screen.state.opened = None
        index = move(form, row.step, by)
        screen.changed()
        go_to(screen, Step(row.step.kind, index, (*row.step.place[:-1], index)))


def reset_field(screen: DataScreen) -> None:
    """Give the field under the cursor its default back."""
    row, form = screen.row, screen.state.form
    if form is not None and row is not None and row.slot is not None and row.slot.kind not in ("section", "union"):
        form.put(row.slot, UNSET)
        screen.changed()


def nudge_field(screen: DataScreen, by: int) -> None:
    """Make the number under the cursor a step larger or smaller."""
    row, form = screen.row, screen.state.form
    value = row.slot.value if row is not None and row.slot is not None and row.slot.kind in ("int", "float") else None
    if form is not None and row is not None and row.slot is not None and isinstance(value, int | float):
        before = form.draft
        form.put(row.slot, nudged(value, by))
        if row.slot.path in form.wrong:  # beyond its bounds
            form.change(before)
            return
        screen.changed()
