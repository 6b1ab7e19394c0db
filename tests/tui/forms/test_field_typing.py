"""A field while it is being typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config.fields import Slot
from core.errors import ConfigurationError
from tui.forms.field_typing import FieldTyping
from tui.forms.form_state import FormState, value_at
from tui.services.data_draft import Step, add, new_form

PLACE = ("data", "filters", 0, "min_characters")


@pytest.fixture
def form(tmp_path: Path) -> FormState:
    (tmp_path / "a.txt").write_text("a")
    made = new_form(str(tmp_path / "a.txt"))
    add(made, Step("add_filter"), {"kind": "length"})
    return made


def slot(form: FormState, name: str) -> Slot:
    return next(one for one in form.slots if one.name == name)


def test_the_draft_follows_each_key_and_goes_back(form: FormState) -> None:
    typing = FieldTyping(form, slot(form, "data.filters.0.min_characters"))
    before = form.draft
    assert not typing.follow("50")  # what the field shows already: its default
    assert typing.follow("500")
    assert value_at(form.draft.values, PLACE) == 500
    assert typing.follow("500x")
    assert form.problem_count == 1
    assert typing.follow("50")
    assert form.draft is before
    typing.take("70")
    typing.leave()
    assert form.draft is before


def test_a_list_that_cannot_be_read_changes_nothing(form: FormState) -> None:
    add(form, Step("add_filter"), {"kind": "language"})
    typing = FieldTyping(form, slot(form, "data.filters.1.languages"))
    before = form.draft
    assert not typing.follow('["en", ')
    assert form.draft is before
    with pytest.raises(ConfigurationError):
        typing.take('["en", ')
    typing.take('["en", "fr"]')
    assert value_at(form.draft.values, ("data", "filters", 1, "languages")) == ["en", "fr"]
