"""A field while it is being typed: the draft follows what stands in the line, and can go back. Pure."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from core.config.drafts import Draft
from core.config.fields import Slot, parse_value
from core.errors import ConfigurationError
from tui.forms.form_state import FormState


@dataclass
class FieldTyping:
    """One field of a form, from the first key to enter or escape."""

    form: FormState
    slot: Slot
    before: Draft = field(init=False)

    def __post_init__(self) -> None:
        self.before = self.form.draft

    def follow(self, text: str) -> bool:
        """Put what stands in the line into the draft, as far as it can be read; return whether the draft changed."""
        draft = self.form.draft
        with suppress(ConfigurationError):
            self.take(text)
        return self.form.draft is not draft

    def take(self, text: str) -> None:
        """Put the text into the draft; as it was before, it also leaves open whether the field is set.

        Raises: ConfigurationError where a list cannot be read.
        """
        if text == self.form.text_of(self.slot):
            if self.form.draft is not self.before:
                self.leave()
        else:
            self.form.put(self.slot, parse_value(self.slot, text))

    def leave(self) -> None:
        """Put the draft back as it was."""
        self.form.change(self.before)
