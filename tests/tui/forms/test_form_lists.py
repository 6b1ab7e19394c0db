"""Items of lists in a form: rewards, sources, and whole stages of a pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from core.config.presets import find_preset
from core.config.yaml_text import Place
from tui.forms.derived import derived_lines
from tui.forms.form_lists import add_item, item_of, kinds_of, list_of, move_item, remove_item, toggle_fold
from tui.forms.form_state import FormState, item_headed_by, value_at
from tui.forms.form_text import row_lines

REWARDS: Place = ("rewards",)


def form_of(name: str, tmp_path: Path) -> FormState:
    return FormState.load(name, find_preset(name, tmp_path))


@pytest.fixture
def grpo(tmp_path: Path) -> FormState:
    return form_of("grpo-gsm8k-smollm2", tmp_path)


@pytest.fixture
def pipeline(tmp_path: Path) -> FormState:
    return form_of("quickstart-rlhf", tmp_path)


def kinds(form: FormState, place: Place, field: str = "kind") -> list[object]:
    items = value_at(form.draft.values, place)
    assert isinstance(items, list)
    return [item[field] for item in items]


def slot_at(form: FormState, *place: str | int) -> int:
    return next(index for index, slot in enumerate(form.slots) if slot.path == place)


def test_a_reward_is_added_behind_the_cursor_moved_and_taken_out(grpo: FormState) -> None:
    assert [tag for tag, _ in kinds_of(grpo, REWARDS)][:3] == ["run", "classifier", "python"]
    assert add_item(grpo, REWARDS, "python", after=0) == ("rewards", 1)
    assert kinds(grpo, REWARDS) == ["exact", "python", "regex"]
    assert ("rewards", 1, "path") in grpo.wrong, "what the new one needs is said to be missing"
    assert move_item(grpo, ("rewards", 1), 1) == ("rewards", 2)
    assert kinds(grpo, REWARDS) == ["exact", "regex", "python"]
    assert move_item(grpo, ("rewards", 2), 1) == ("rewards", 2), "the last one stays last"
    remove_item(grpo, ("rewards", 2))
    assert kinds(grpo, REWARDS) == ["exact", "regex"]
    assert not grpo.wrong
    assert grpo.changes() == []


def test_the_innermost_list_is_meant(pipeline: FormState) -> None:
    source = pipeline.slots[slot_at(pipeline, "pipeline", 0, "data", "sources", 0, "max_bytes")]
    assert item_of(pipeline, source) == ("pipeline", 0, "data", "sources", 0)
    assert list_of(pipeline, source) == ("pipeline", 0, "data", "sources")
    steps = pipeline.slots[slot_at(pipeline, "pipeline", 0, "schedule", "steps")]
    assert list_of(pipeline, steps) == ("pipeline",)
    assert list_of(pipeline, pipeline.slots[0]) is None


def test_stages_are_folded_at_first_and_open_one_by_one(pipeline: FormState) -> None:
    headed = [item_headed_by(slot) for slot in pipeline.visible()]
    assert headed == [None, None, *[("pipeline", index) for index in range(4)]]
    texts = ["".join(text.text for text, _ in one.left) for one in row_lines(pipeline, pipeline.visible())]
    assert all(name in texts[2] for name in ("pretrain", "…"))
    toggle_fold(pipeline, pipeline.slots[slot_at(pipeline, "pipeline", 3, "phase")])
    assert any(slot.path == ("pipeline", 3, "rollout", "responses") for slot in pipeline.visible())
    assert not any(slot.path[:2] == ("pipeline", 2) and len(slot.path) > 3 for slot in pipeline.visible())


def test_folds_go_with_their_items(pipeline: FormState) -> None:
    toggle_fold(pipeline, pipeline.slots[slot_at(pipeline, "pipeline", 3, "phase")])
    assert move_item(pipeline, ("pipeline", 3), -1) == ("pipeline", 2)
    assert pipeline.folded == {("pipeline", 0), ("pipeline", 1), ("pipeline", 3)}
    remove_item(pipeline, ("pipeline", 0))
    assert pipeline.folded == {("pipeline", 0), ("pipeline", 2)}
    assert kinds(pipeline, ("pipeline",), "phase") == ["sft", "ppo", "reward"]
    assert add_item(pipeline, ("pipeline",), "sft", after=-1) == ("pipeline", 0)
    assert pipeline.folded == {("pipeline", 1), ("pipeline", 3)}
    assert kinds(pipeline, ("pipeline",), "name")[0] == "sft", "a stage begins with a name that no other has"


def test_a_folded_stage_says_that_something_in_it_is_wrong(pipeline: FormState) -> None:
    pipeline.put(pipeline.slots[slot_at(pipeline, "pipeline", 0, "batch", "size")], 0)
    texts = ["".join(text.text for text, _ in one.left) for one in row_lines(pipeline, pipeline.visible())]
    assert texts[2].startswith("!")
    pipeline.unfold_to(("pipeline", 0, "batch", "size"))
    assert any(slot.path == ("pipeline", 0, "batch", "size") for slot in pipeline.visible())


def test_what_follows_is_told_of_the_stage_in_which_one_is(pipeline: FormState, grpo: FormState) -> None:
    def told(form: FormState, *place: str | int) -> str:
        lines = derived_lines(form.preset_of(form.slots[slot_at(form, *place)]))
        return "\n".join("".join(text.text for text, _ in one.left) for one in lines)

    assert "tokens in all" in told(pipeline, "pipeline", 0, "batch", "size")
    assert "a rollout" in told(pipeline, "pipeline", 3, "ppo", "clip")
    words = told(grpo, "grpo", "clip")
    assert "64 responses to 8 prompts, then 1 step" in words
    assert "300 rollouts, 19,200 responses" in words
