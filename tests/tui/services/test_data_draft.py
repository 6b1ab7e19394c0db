"""The steps of a preparation and what can be done to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.errors import ConfigurationError
from tui.forms.form_state import FormState, value_at
from tui.services.data_draft import (
    Step,
    add,
    items,
    kind_of,
    move,
    new_form,
    nudged,
    question_data,
    remove,
    run_stem,
    slots_of,
    steps,
    take_kind,
)


@pytest.fixture
def form(tmp_path: Path) -> FormState:
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n')
    made = new_form(str(tmp_path / "a.jsonl"))
    for kind in ("length", "language", "exact_duplicates"):
        add(made, Step("add_filter"), {"kind": kind})
    return made


def kinds(form: FormState) -> list[str]:
    return [item["kind"] for item in items(form, ("data", "filters"))]


def test_a_new_form_holds_and_can_be_asked_about(form: FormState, tmp_path: Path) -> None:
    assert form.problem_count == 0
    data = question_data(form, tmp_path)
    assert data["sources"][0]["path"] == str(tmp_path / "a.jsonl")
    assert [one["kind"] for one in data["filters"]] == ["length", "language", "exact_duplicates"]


def test_a_draft_that_does_not_hold_is_asked_nothing(form: FormState, tmp_path: Path) -> None:
    add(form, Step("add_filter"), {"kind": "contamination"})
    with pytest.raises(ConfigurationError):
        question_data(form, tmp_path)
    remove(form, steps(form)[-4])
    assert question_data(form, tmp_path)
    (tmp_path / "a.jsonl").unlink()
    with pytest.raises(ConfigurationError, match="there is no"):
        question_data(form, tmp_path)


def test_steps_are_sources_filters_tokens_and_settings(form: FormState) -> None:
    assert [(step.kind, step.index) for step in steps(form)] == [
        ("source", 0), ("add_source", 0), ("filter", 0), ("filter", 1), ("filter", 2), ("add_filter", 0),
        ("tokens", 0), ("settings", 0),
    ]  # fmt: skip


def test_filters_are_moved_and_taken_out(form: FormState) -> None:
    first = Step("filter", 0, ("data", "filters", 0))
    assert move(form, first, 1) == 1
    assert kinds(form) == ["language", "length", "exact_duplicates"]
    assert move(form, first, -1) == 0
    assert kinds(form) == ["language", "length", "exact_duplicates"]
    remove(form, Step("filter", 1, ("data", "filters", 1)))
    assert kinds(form) == ["language", "exact_duplicates"]


def test_a_step_has_the_fields_of_its_place_only(form: FormState) -> None:
    length = [slot.name for slot in slots_of(form, steps(form)[2])]
    assert length == ["data.filters.0.kind", "data.filters.0.min_characters", "data.filters.0.max_characters"]
    source = [slot.path[-1] for slot in slots_of(form, steps(form)[0])]
    assert source == ["kind", "path"]
    form.advanced = True
    assert len(slots_of(form, steps(form)[0])) > 8
    tokens, settings = slots_of(form, steps(form)[-2]), slots_of(form, steps(form)[-1])
    assert {slot.path[1] for slot in tokens} == {
        "tokenizer", "fill_in_the_middle", "syntax", "attend_across_documents",
    }  # fmt: skip
    assert "held_out_fraction" in {slot.path[1] for slot in settings}
    assert not {slot.path for slot in tokens} & {slot.path for slot in settings}


def test_another_kind_keeps_sources_and_filters(form: FormState, tmp_path: Path) -> None:
    sources = items(form, ("data", "sources"))
    take_kind(form, "instructions")
    assert kind_of(form) == "instructions"
    assert items(form, ("data", "sources")) == sources
    assert kinds(form) == ["length", "language", "exact_duplicates"]
    assert value_at(form.draft.values, ("data", "tokenizer", "path")) == "smollm2"
    assert form.problem_count == 0
    take_kind(form, "text")
    assert kind_of(form) == "text"
    assert form.problem_count == 0


@pytest.mark.parametrize(
    ("path", "stem"), [("/a/My data (1).jsonl.gz", "my-data-1"), ("/a/\x1b[31m.txt", "31m"), ("/", "data")]
)
def test_a_name_for_the_run_comes_from_the_path(path: str, stem: str) -> None:
    assert run_stem(path) == stem


@pytest.mark.parametrize(
    ("value", "up", "down"),
    [(0.12, 0.13, 0.11), (0.9, 0.91, 0.89), (50, 51, 49), (250, 260, 240), (100_000, 110_000, 90_000), (0, 1, -1),
     (0.0, 0.1, -0.1), (3.0, 3.1, 2.9)],
)  # fmt: skip
def test_a_number_is_nudged_by_a_tenth_of_its_size(value: float, up: float, down: float) -> None:
    assert (nudged(value, 1), nudged(value, -1)) == (up, down)
    assert type(nudged(value, 1)) is type(value)


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 10**400, 1e300])
def test_what_is_beyond_all_bounds_is_not_nudged(value: float) -> None:
    assert nudged(value, 1) == value
    assert nudged(float("nan"), 1) != nudged(float("nan"), 1)
