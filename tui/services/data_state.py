"""What the Data screen knows: the draft, what the helper said about it, and what is looked at. Knows no widget."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.config.fields import Slot
from tui.forms.form_state import FormState
from tui.services.data_answers import Inspection, PreviewRow, TokenRow
from tui.services.data_draft import Step, kind_of, slots_of, steps
from tui.services.data_questions import DataProgress
from tui.services.trial_answers import Trial

SampleView = Literal["text", "template", "tokens"]


@dataclass(frozen=True)
class Refusal:
    """What the helper said instead of an answer."""

    message: str
    hint: str


@dataclass(frozen=True)
class StepRow:
    """A row of the list: a step, or one field of a step that is open."""

    step: Step
    slot: Slot | None = None


@dataclass
class DataState:
    """The state of the screen.

    `trial_at` is when the trial's figures came (monotonic seconds); `is_stale` says that the draft has changed since.
    `refusals` are by topic. `is_waiting` says that an answer about a topic is awaited.
    """

    form: FormState | None = None
    opened: Step | None = None
    inspections: dict[str, Inspection] = field(default_factory=dict)
    trial: Trial | None = None
    trial_at: float = 0.0
    is_stale: bool = False
    preview: tuple[PreviewRow, ...] = ()
    preview_total: int | None = None
    tokens: dict[int, TokenRow] = field(default_factory=dict)
    row: int = 0
    view: SampleView = "text"
    only_counted: bool = False
    show_histogram: bool = False
    refusals: dict[str, Refusal] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)
    progress: DataProgress | None = None

    def rows(self) -> list[StepRow]:
        """Return the rows of the list: the steps, and the fields of the one that is open."""
        if self.form is None:
            return []
        found: list[StepRow] = []
        for step in steps(self.form):
            found.append(StepRow(step))
            if self.opened == step:
                found += [StepRow(step, slot) for slot in slots_of(self.form, step)]
        return found

    def move_row(self, by: int) -> None:
        """Look at another row; the one behind the last that is known is asked for."""
        last = len(self.preview) if self.preview_total is None else self.preview_total - 1
        self.refusals.pop("tokens", None)  # that was about another row
        self.row = max(0, min(last, len(self.preview), self.row + by))

    def turn_view(self) -> None:
        """Show rows as text, as the template writes them, or as tokens; documents have no template."""
        views: list[SampleView] = ["text", "template", "tokens"]
        if self.form is not None and kind_of(self.form) == "text":
            views.remove("template")
        self.view = views[(views.index(self.view) + 1) % len(views)] if self.view in views else "text"

    def turn_mask(self) -> None:
        """Show only the tokens that the loss counts, and back; from the text it goes there."""
        self.only_counted = self.view != "tokens" or not self.only_counted
        self.view = "tokens"

    def forget_sample(self) -> None:
        """Forget all that was said about the sources: they have changed."""
        self.trial, self.preview, self.preview_total, self.row = None, (), None, 0
        self.forget_tokens()
        for topic in ("preview", "trial"):
            self.refusals.pop(topic, None)

    def forget_tokens(self) -> None:
        """Forget the tokens of rows: what makes them has changed."""
        self.tokens.clear()
        self.refusals.pop("tokens", None)
