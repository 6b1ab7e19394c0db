"""What is done with a whole form, from whichever screen shows it: choose a value, save it, start a run of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.config.drafts import path_text
from core.config.fields import Slot
from core.config.presets import resolve
from core.config.yaml_text import Place
from core.errors import ConfigurationError, FootplateError
from core.run.directory import check_run_name
from core.run.launch_memory import launch_memory
from core.run.runs import next_name
from tui.forms.form_lists import kinds_of
from tui.forms.form_state import FormState
from tui.screens.dialogs import ConfirmDialog, MenuDialog, Option, TextDialog
from tui.screens.measure import STEPS, MeasureScreen
from tui.services.measuring import measuring_environment, questions
from tui.services.safe_text import SafeText, safe, safe_text

if TYPE_CHECKING:
    from tui.console import FootplateApp


async def choose_value(app: FootplateApp, form: FormState, slot: Slot) -> bool:
    """Let the user choose one of a row's values; return whether one was taken."""
    options = [
        Option(str(index), safe(_choice_words(choice)), safe(about))
        for index, (choice, about) in enumerate(zip(slot.choices, slot.choice_help, strict=True))
    ]
    at = slot.choices.index(slot.value) if slot.value in slot.choices else 0
    answer = await app.push_screen_wait(MenuDialog(safe(slot.title), options, cursor=at))
    if answer is None:
        return False
    form.put(slot, slot.choices[int(answer)])
    return True


def _choice_words(choice: str | int | bool | None) -> str:
    return "(empty)" if choice is None else str(choice).lower() if isinstance(choice, bool) else str(choice)


async def choose_item(app: FootplateApp, form: FormState, place: Place) -> str | None:
    """Let the user say what is added to a list; "" where there is one kind only, None where nothing is to be added."""
    kinds = kinds_of(form, place)
    if len(kinds) < 2:
        return kinds[0][0] if kinds else None
    options = [Option(tag, safe(tag.replace("_", " ")), safe(about)) for tag, about in kinds]
    return await app.push_screen_wait(MenuDialog(safe(f"Add to {path_text(place)}"), options))


async def save_form(app: FootplateApp, form: FormState) -> None:
    """Ask for a name and save the form as a preset of the user."""
    text = [safe("Saved among your presets; what is at its default is left out.")]
    name = await app.push_screen_wait(TextDialog(safe("Save as"), text, value=safe(f"{form.name}-mine"), limit=64))
    if not name:
        return
    try:
        path = app.home.presets / f"{check_run_name(name)}.yaml"
        if path.exists():
            question = [safe(f"There is a preset {name} already. Its comments stay, its values are replaced.")]
            dialog = ConfirmDialog(safe("Replace it?"), question, yes=safe("replace it"), loses=True)
            if not await app.push_screen_wait(dialog):
                return
        app.prepare_home()
        form.save(path)
    except (FootplateError, OSError) as error:
        app.tell(safe(str(error)), "error")
        return
    app.tell(safe(f"Saved as {path}."))


def looked_up(app: FootplateApp, form: FormState) -> str | None:
    """Return the form's whole configuration, None where this machine lacks what it names: that goes beside the fields.

    What an earlier look found missing is forgotten.
    """
    form.note_missing(())
    try:
        return form.resolved_yaml(app.home.runs)
    except ConfigurationError as error:
        form.note_missing(error.problems)
        if () in form.wrong:  # beside no field
            app.tell(safe(error.message), "error")
    except FootplateError as error:
        app.tell(safe(error.message), "error")
    return None


async def launch_form(app: FootplateApp, form: FormState, config: str, summary: Sequence[SafeText]) -> None:
    """Say what is about to run, ask for a name, and start it; the console then watches it."""
    memory = [safe(words, limit=500) for words in launch_memory(resolve(form.draft), app.home)]
    text = [
        *summary,
        *memory,
        safe("The run goes on by itself; leaving this console does not stop it."),
        safe("Its name:"),
    ]
    suggested = next_name(app.home, form.name)
    name = await app.push_screen_wait(TextDialog(safe("Start a run"), text, value=safe(suggested), limit=64))
    if name:
        app.create_and_start(name.strip(), form.name, config)


def measure_form(app: FootplateApp, form: FormState) -> None:
    """Show what full, LoRA and QLoRA cost for the form, as it is measured."""
    try:
        asked = questions(form.draft, (), app.home, steps=STEPS)
        environment = measuring_environment(app.helper_environment, app.home)
    except FootplateError as error:
        app.tell(safe_text(str(error)), "error")
        return
    app.push_screen(MeasureScreen(asked, environment))


def counted(count: int, what: str) -> str:
    """Return a number of things: 1 change, 2 changes."""
    return f"{count} {what}{'' if count == 1 else 's'}"
