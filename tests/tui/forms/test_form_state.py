from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.config.fields import Slot
from core.config.presets import list_presets, load_preset, resolve
from core.errors import ConfigurationError, Problem
from tests.core.config.cases import alignment
from tests.tui.runs_made_by_code import PRESET
from tui.forms.derived import derived_lines
from tui.forms.form_state import FormState
from tui.forms.form_text import help_lines, row_lines


@pytest.fixture
def state(tmp_path: Path) -> FormState:
    path = tmp_path / "preset.yaml"
    path.write_text(PRESET)
    return FormState.load("preset", path)


def slot(state: FormState, name: str) -> Slot:
    return next(one for one in state.slots if one.name == name)


@pytest.mark.parametrize("entry", list_presets(Path("/nonexistent")), ids=lambda entry: entry.name)
def test_every_shipped_preset_opens_valid(entry) -> None:  # type: ignore[no-untyped-def]
    state = FormState.load(entry.name, entry.path)
    assert state.problem_count == 0
    for one in state.slots:
        state.type_in(one, state.text_of(one)) if one.kind != "section" else None
        assert help_lines(state, one)
    assert state.changes() == []
    assert len(row_lines(state, state.slots)) == len(state.slots)


@pytest.mark.parametrize(
    ("field", "text", "value"),
    [
        ("schedule.peak_learning_rate", "1e-4", 1e-4), ("batch.size", "16", 16), ("model.key_value_heads", "", None),
        ("sampling.prompts", '["a", "b"]', ["a", "b"]), ("data.held_out_fraction", "0.05", 0.05),
    ],
)  # fmt: skip
def test_what_is_typed_becomes_a_value(state: FormState, field: str, text: str, value: object) -> None:
    state.type_in(slot(state, field), text)
    assert slot(state, field).value == value
    assert state.problem_count == 0
    assert [path for path, _, _ in state.changes()] == [field]


@pytest.mark.parametrize(
    ("field", "text"),
    [("batch.size", "seven"), ("batch.size", "0"), ("schedule.peak_learning_rate", "nan"), ("model.layers", "x")],
)
def test_what_is_wrong_is_held_shown_and_blocks(state: FormState, field: str, text: str) -> None:
    state.type_in(slot(state, field), text)
    assert slot(state, field).path in state.wrong
    with pytest.raises(ConfigurationError):
        state.resolved_yaml()
    with pytest.raises(ConfigurationError):
        state.save(Path("/nonexistent/x.yaml"))
    state.reset(slot(state, field))
    assert state.problem_count == 0
    assert state.changes() == []


def test_a_list_that_cannot_be_read_is_refused_and_changes_nothing(state: FormState) -> None:
    with pytest.raises(ConfigurationError):
        state.type_in(slot(state, "sampling.prompts"), '["a", ')
    assert state.changes() == []


def test_switching_a_union_there_and_back_brings_its_values_back(state: FormState) -> None:
    state.put(slot(state, "schedule.kind"), "constant")
    assert slot(state, "schedule.peak_learning_rate").value == 0.003
    state.put(slot(state, "schedule.kind"), "cosine")
    assert state.changes() == []


def test_advanced_shows_everything_and_what_is_wrong_always_shows(state: FormState) -> None:
    plain = state.visible()
    state.advanced = True
    assert len(state.visible()) == len(state.slots) > len(plain)
    assert state.hidden_count() == 0
    state.advanced = False
    hidden = next(one for one in state.slots if one.name == "optimizer.weight_decay")
    assert hidden not in plain
    state.put(hidden, -1)
    assert any(one.name == "optimizer.weight_decay" for one in state.visible())


def test_a_saved_form_loads_to_the_same_configuration(state: FormState, tmp_path: Path) -> None:
    state.type_in(slot(state, "batch.size"), "16")
    state.save(tmp_path / "mine.yaml")
    assert resolve(load_preset(tmp_path / "mine.yaml")).batch.size == 16  # type: ignore[union-attr]


def test_derived_numbers() -> None:
    values = {
        "batch": {"size": 32, "micro_size": 8, "sequence_length": 512},
        "schedule": {"steps": 100, "warmup_steps": 10},
    }
    text = "\n".join("".join(part.text for part, _ in line.left) for line in derived_lines(values))  # type: ignore[arg-type]
    assert "4 micro-batches of 8" in text
    assert "16,384" in text
    assert "1.64M" in text
    assert "10.0% of the steps" in text
    assert "33 is no multiple of 8" in "".join(
        part.text for line in derived_lines({"batch": {"size": 33, "micro_size": 8}}) for part, _ in line.left
    )
    assert derived_lines({"batch": "nonsense", "schedule": None}) == []


def test_what_a_look_at_this_machine_found_stands_beside_its_field_until_that_changes(tmp_path: Path) -> None:
    path = tmp_path / "preset.yaml"
    path.write_text(json.dumps(alignment("ppo")))
    state = FormState.load("preset", path)
    run, function = Problem("rewards.0.run", "there is no run judge"), Problem("rewards.2.function", "has no reward")
    state.note_missing([run, function])
    state.type_in(slot(state, "batch.micro_size"), "2")
    state.save(tmp_path / "mine.yaml")
    assert state.wrong == {("rewards", 0, "run"): [run], ("rewards", 2, "function"): [function]}
    state.type_in(slot(state, "rewards.0.run"), "judge-1")
    assert state.wrong == {("rewards", 2, "function"): [function]}
    state.type_in(slot(state, "rewards.2.path"), "other.py")
    assert state.problem_count == 0
    state.note_missing([run])
    state.note_missing([])
    assert state.problem_count == 0
