"""Which questions a change of the draft brings about, and what their answers change. Knows no widget.

The helper keeps the sample, so a change of filters asks for another trial only; a change of sources asks for all.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from core.config.yaml_text import Place
from core.errors import ConfigurationError
from tui.forms.form_state import FormState
from tui.services.data_answers import Inspection, preview_of, tokens_of
from tui.services.data_draft import (
    inspect_topic,
    items,
    kind_of,
    placed_source,
    question_data,
    question_training,
    source_key,
    take_kind,
)
from tui.services.data_questions import DataAnswered, DataProgress, DataQuestions, DataRefused
from tui.services.data_state import DataState, Refusal
from tui.services.trial_answers import trial_of

SAMPLE_ROWS = 1000
PREVIEW_ROWS = 50
_SOURCES: Place = ("data", "sources")
_READING = ("kind", "sources", "format", "max_bad_rows", "damage")
_TRYING = ("filters", "tokenizer", "template", "code_tokens", "max_tokens", "accept")


class DataInquiry:
    """Asks about the draft of `state`, and takes answers into it."""

    def __init__(self, state: DataState, questions: DataQuestions) -> None:
        self.state = state
        self._questions = questions
        self._asked: dict[str, Any] = {}
        self._keys: dict[str, int] = {}
        self._training: dict[str, Any] = {}
        self._is_new = False

    def begin(self, form: FormState, *, is_new: bool) -> None:
        """Put another preparation in place of the one that is there; a new one is first looked at for its kind."""
        state = self.state
        if state.form is not None:
            self._questions.cancel()
        state.form, state.opened, self._is_new = form, None, is_new
        state.waiting.clear()
        state.inspections.clear()
        state.refusals.clear()
        state.forget_sample()
        self._asked, self._keys = {}, {}
        self.draft_changed()

    def draft_changed(self) -> None:
        """Ask what the draft, as it is now, leaves open. A draft that does not hold is asked nothing."""
        state = self.state
        if state.form is None:
            return
        self._inspect_sources(state.form)
        if self._is_new:
            return
        try:
            data, training = question_data(state.form, Path.cwd()), question_training(state.form)
        except ConfigurationError as error:
            state.is_stale = state.trial is not None
            if not state.form.problem_count:  # those stand beside their fields
                state.refusals["trial"] = state.refusals["preview"] = Refusal(error.message, error.hint)
                self._asked = {}  # all of it is asked again once the path is there
            return
        before, self._asked = self._asked, data
        if before != data or training != self._training:
            self._forget("tokens")
            state.forget_tokens()
        self._training = training
        if any(before.get(name) != data.get(name) for name in _READING):
            state.forget_sample()
            self._ask("preview", {"verb": "preview", "data": data, "start": 0, "rows": PREVIEW_ROWS})
            self._try(data)
        elif before != data:
            state.forget_tokens()
            if any(before.get(name) != data.get(name) for name in _TRYING):
                self._try(data)
        state.is_stale = "trial" in state.waiting
        self.look_at_row()

    def _try(self, data: dict[str, Any]) -> None:
        self._ask("trial", {"verb": "filter_report", "data": data, "sample": SAMPLE_ROWS})

    def _inspect_sources(self, form: FormState) -> None:
        for item in items(form, _SOURCES):
            key, source = source_key(item), placed_source(item, Path.cwd())
            topic = inspect_topic(key)
            known = key in self.state.inspections or topic in self.state.waiting or topic in self.state.refusals
            if source is not None and not known:
                self._ask(topic, {"verb": "inspect", "source": source})

    def look_at_row(self) -> None:
        """Ask for the tokens of the row that is looked at, and for rows behind those that are known."""
        state = self.state
        if not self._asked or state.form is None:
            return
        if state.row >= len(state.preview) and "preview" not in state.waiting and self._may_have_more():
            start = len(state.preview)
            self._ask("preview", {"verb": "preview", "data": self._asked, "start": start, "rows": PREVIEW_ROWS})
        if state.view != "text" and state.row not in state.tokens and "tokens" not in state.refusals:
            self._ask("tokens", {"verb": "tokens", "data": self._asked, "row": state.row, **self._training})

    def _may_have_more(self) -> bool:
        total = self.state.preview_total
        return bool(self.state.preview) and (total is None or len(self.state.preview) < total)

    def again(self) -> None:
        """Forget what is known and ask everything anew."""
        self.stop()
        self.state.inspections.clear()
        self.state.refusals.clear()
        self._asked = {}
        self.draft_changed()

    def stop(self) -> None:
        """Give up what is being asked; the helper ends and another one is started by the next question."""
        self._questions.cancel()
        self.state.waiting.clear()
        self.state.progress = None
        self._keys = {}
        self._asked = {}

    def _ask(self, topic: str, question: dict[str, Any]) -> None:
        self.state.refusals.pop(topic, None)
        self.state.waiting.add(topic)
        self._keys[topic] = self._questions.ask(topic, question)

    def _forget(self, topic: str) -> None:
        """Take no answer about a topic any more: it would be about an older draft."""
        self._keys.pop(topic, None)
        self.state.waiting.discard(topic)

    def take(self, message: DataAnswered | DataRefused | DataProgress) -> bool:
        """Take an answer into the state; False where it is about a question that has been replaced."""
        state = self.state
        if self._keys.get(message.topic) != message.key:
            return False
        if isinstance(message, DataProgress):
            state.progress = message
            return True
        state.waiting.discard(message.topic)
        state.progress = None
        if message.topic == "trial":
            state.is_stale = state.form is not None and bool(state.form.problem_count)
        if isinstance(message, DataRefused):
            state.refusals[message.topic] = Refusal(message.message, message.hint)
            self._after_first_look(None)
            return True
        self._take_result(message)
        return True

    def _take_result(self, message: DataAnswered) -> None:
        state = self.state
        match message.topic.split(" ", 1):
            case ["trial"]:
                state.trial = trial_of(message.result)
                state.trial_at = time.monotonic()
            case ["preview"]:
                rows, total = preview_of(message.result)
                start = message.result.get("start")
                state.preview = (*state.preview[: start if isinstance(start, int) else 0], *rows)
                state.preview_total = total
                self.look_at_row()
            case ["tokens"]:
                row = message.result.get("row")
                state.tokens[row if isinstance(row, int) else state.row] = tokens_of(message.result)
            case ["inspect", key]:
                state.inspections[key] = found = Inspection.of(message.result)
                self._after_first_look(found)

    def _after_first_look(self, found: Inspection | None) -> None:
        """Take the kind that the first source suggests, then ask the rest."""
        if not self._is_new or self.state.form is None:
            return
        self._is_new = False
        if found is not None and found.kind != "text" and kind_of(self.state.form) == "text":
            take_kind(self.state.form, found.kind)
        self.draft_changed()
