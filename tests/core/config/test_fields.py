"""Rows of a form: what they say, what they take, how a union switches."""

from __future__ import annotations

import copy
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from core.config.drafts import UNSET, Draft, set_value
from core.config.fields import Slot, format_value, matches, parse_value, problems_by_slot, rows
from core.config.phases import PretrainConfig, RunConfig
from core.config.presets import SHIPPED_PRESETS, load_preset, place_of, problems, resolve
from core.config.section import Section
from core.config.shapes import shape_of
from core.errors import ConfigurationError
from tests.core.config.cases import all_fields, text_data, training, valid_cases


def quickstart() -> Draft:
    return load_preset(SHIPPED_PRESETS / "quickstart.yaml")


def slots(draft: Draft) -> dict[str, Slot]:
    return {slot.name: slot for slot in rows(RunConfig, draft)}


def test_a_row_says_what_may_stand_there() -> None:
    found = slots(quickstart())
    rate = found["schedule.peak_learning_rate"]
    assert (rate.kind, rate.bounds, rate.required, rate.title) == ("float", "above 0 and at most 10", True,
                                                                   "peak learning rate")  # fmt: skip
    assert rate.help == "The highest learning rate."
    heads = found["model.key_value_heads"]
    assert (heads.kind, heads.optional, heads.default, heads.value, heads.is_set) == ("int", True, None, 2, True)
    assert found["precision.dtype"].choices == ("auto", "bf16", "fp16", "fp32")
    assert found["precision.deterministic"].choices == (True, False)
    assert found["optimizer.betas"].value == [0.9, 0.95]
    assert not found["optimizer.betas"].is_set
    assert found["seed"].value == found["seed"].default == 17
    model = found["model.kind"]
    assert (model.kind, model.value, model.title) == ("union", "scratch", "model")
    assert model.choices == ("scratch", "pretrained", "gguf", "run", "preset")
    assert model.choice_help[0] == "A decoder built from these numbers, with fresh weights."
    assert found["cadence"].kind == "section"


def test_the_phase_comes_first_and_a_kind_before_its_fields() -> None:
    names = list(slots(quickstart()))
    assert names[0] == "phase"
    assert names.index("model.kind") < names.index("model.layers") < names.index("model.attention")
    assert names.index("about") < names.index("about.title") < names.index("model.kind") < names.index("data.kind")


@pytest.mark.parametrize("case", range(len(all_fields())))
def test_every_field_has_a_row(case: int) -> None:
    values, place = all_fields()[case]
    assert place in {slot.path for slot in rows(RunConfig, Draft(values))} or _is_union(values, place)


def _is_union(values: dict[str, Any], place: tuple[str | int, ...]) -> bool:
    return any(slot.kind == "union" and slot.path[:-1] == place for slot in rows(RunConfig, Draft(values)))


def test_a_list_of_sections_is_a_row_of_yaml_and_rows_of_its_items() -> None:
    found = slots(quickstart())
    sources = found["data.sources"]
    assert sources.kind == "yaml"
    assert parse_value(sources, format_value(sources.value)) == sources.value
    assert found["data.sources.0.kind"].kind == "union"
    assert found["data.sources.0.max_bytes"].kind == "int"
    draft = set_value(quickstart(), place_of("data.sources.0.kind"), "json")
    assert draft.values["data"]["sources"] == [{"kind": "json"}]  # type: ignore[index,call-overload]
    assert "data.sources.0.columns.text" in slots(draft)
    draft = set_value(draft, place_of("data.sources.1"), {"kind": "files", "path": "x"})
    assert "data.sources.1.include" in slots(draft)
    draft = set_value(draft, place_of("data.sources.0"), UNSET)
    assert slots(draft)["data.sources.0.kind"].value == "files"


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("schedule.peak_learning_rate", "3e-4", 3e-4), ("schedule.peak_learning_rate", " 1 ", 1),
        ("schedule.peak_learning_rate", "fast", "fast"), ("schedule.peak_learning_rate", "", UNSET),
        ("schedule.peak_learning_rate", "1,5", "1,5"), ("schedule.peak_learning_rate", "9" * 5000, "9" * 5000),
        ("schedule.epochs", "", None), ("model.layers", "12", 12), ("model.layers", "12.5", 12.5),
        ("model.compile", "true", True), ("model.compile", "yes", "yes"), ("about.title", "123", "123"),
        ("about.title", "", ""), ("about.title", "a: b", "a: b"), ("precision.dtype", "bf16", "bf16"),
        ("precision.dtype", "bf17", "bf17"), ("model.kind", "gguf", "gguf"), ("model.kind", "", UNSET),
        ("optimizer.betas", "[0.9, 0.99]", [0.9, 0.99]), ("optimizer.betas", "", UNSET),
        ("optimizer.betas", "0.9, 0.99", "0.9, 0.99"),
        ("data.sources", "- kind: json\n  path: x", [{"kind": "json", "path": "x"}]),
    ],
)  # fmt: skip
def test_a_text_becomes_the_value_that_was_meant(name: str, text: str, value: object) -> None:
    found = parse_value(slots(quickstart())[name], text)
    assert found == value
    assert type(found) is type(value)


def test_a_list_that_is_no_yaml_is_refused_with_the_name_of_its_row() -> None:
    with pytest.raises(ConfigurationError, match=r"optimizer\.betas"):
        parse_value(slots(quickstart())["optimizer.betas"], "[0.9")


def test_every_value_survives_its_text() -> None:
    for values in valid_cases():
        for slot in rows(RunConfig, Draft(values)):
            if slot.kind != "section" and slot.value is not None:
                assert parse_value(slot, format_value(slot.value)) == slot.value


def test_a_wrong_value_stays_in_the_draft_and_its_problem_beside_its_row() -> None:
    draft = quickstart()
    for name, value in [("schedule.peak_learning_rate", "fast"), ("optimizer.betas", [0.9, "x"]), ("model.bogus", 1),
                        ("data.sources.0.max_bytes", None), ("cadence", 3), ("data.tokenizer", "train"),
                        ("batch.micro_size", 3)]:  # fmt: skip
        draft = set_value(draft, place_of(name), value)
    found = slots(draft)
    assert found["schedule.peak_learning_rate"].value == "fast"
    assert found["model.bogus"].kind == "unknown"
    placed = {".".join(map(str, path)): items for path, items in
              problems_by_slot(list(found.values()), problems(draft)).items()}  # fmt: skip
    assert set(placed) == {"schedule.peak_learning_rate", "optimizer.betas", "model.bogus", "data.sources.0.max_bytes",
                           "cadence", "data.tokenizer.kind", "batch.size"}  # fmt: skip


def test_a_problem_without_a_row_lies_under_the_empty_path() -> None:
    draft = Draft({"phase": "pretrain"})
    placed = problems_by_slot([], problems(draft))
    assert set(placed) == {()}
    placed = problems_by_slot(rows(RunConfig, draft), problems(draft))
    assert ("model", "kind") in placed
    assert () not in placed


def test_switching_a_union_keeps_what_is_shared_and_brings_the_rest_back() -> None:
    draft = quickstart()
    before = copy.deepcopy(draft.values)
    draft = set_value(draft, place_of("model.compile"), True)
    draft = set_value(draft, place_of("model.kind"), "gguf")
    assert draft.values["model"] == {"kind": "gguf", "compile": True}
    draft = set_value(draft, place_of("model.path"), "smollm2")
    draft = set_value(draft, place_of("model.kind"), "pretrained")
    assert draft.values["model"] == {"kind": "pretrained", "compile": True}, "another kind of path"
    draft = set_value(draft, place_of("model.kind"), "scratch")
    assert draft.values["model"] == {**before["model"], "compile": True}  # type: ignore[dict-item]
    draft = set_value(draft, place_of("model.kind"), "gguf")
    assert draft.values["model"] == {"kind": "gguf", "compile": True, "path": "smollm2"}
    draft = set_value(draft, place_of("schedule.kind"), "linear")
    assert draft.values["schedule"]["steps"] == before["schedule"]["steps"]  # type: ignore[index,call-overload]
    assert before == quickstart().values, "a draft is never changed in place"


def test_switching_the_phase_keeps_the_sections_that_both_have() -> None:
    draft = set_value(quickstart(), ("phase",), "sft")
    assert draft.values["model"] == quickstart().values["model"]
    assert "data" not in draft.values
    draft = set_value(draft, ("phase",), "prepare")
    assert set(draft.values) == {"phase", "about"}
    assert set_value(draft, ("phase",), "pretrain").values == quickstart().values


def test_a_field_of_a_section_that_is_not_there_brings_its_discriminator() -> None:
    draft = set_value(quickstart(), place_of("optimizer.weight_decay"), 0.0)
    assert draft.values["optimizer"] == {"kind": "adamw", "weight_decay": 0.0}
    assert isinstance(resolve(draft), PretrainConfig)
    draft = set_value(draft, place_of("optimizer.weight_decay"), UNSET)
    assert draft.values["optimizer"] == {"kind": "adamw"}


def test_unset_of_a_discriminator_removes_its_section() -> None:
    values = training("sft", {"kind": "instructions", "sources": [], "tokenizer": {"kind": "train"}})
    draft = set_value(Draft(values), place_of("data.tokenizer.kind"), UNSET)
    assert "tokenizer" not in draft.values["data"]  # type: ignore[operator]
    assert slots(draft)["data.tokenizer.kind"].value == "model", "its default"


class _Low(Section):
    """Low."""

    kind: Literal["low"]
    depth: int = Field(default=8, ge=1)
    """How deep."""
    bits: Literal[8, 32] = 8
    """How wide."""


class _High(Section):
    """High."""

    kind: Literal["high"]


class _Odd(Section):
    level: Annotated[_Low | _High, Field(discriminator="kind")] | None = None
    """An optional union, whose discriminator stands inside."""
    levels: list[Annotated[_Low | _High, Field(discriminator="kind")]] = Field(default=[])
    """A list of them."""
    name: Annotated[str, Field(max_length=3)] | None = None
    """A name, or none."""


def test_optional_unions_and_literals_of_numbers_have_rows_too() -> None:
    found = {slot.name: slot for slot in rows(_Odd, Draft({"level": {"kind": "low", "bits": 32}}))}
    assert found["level.kind"].choices == (None, "low", "high")
    assert found["level.kind"].optional
    assert found["level.bits"].choices == (8, 32)
    assert parse_value(found["level.bits"], "32") == 32
    assert found["name"].optional
    assert found["name"].bounds == "at most 3 characters"
    absent = {slot.name: slot for slot in rows(_Odd, Draft({}))}
    assert absent["level.kind"].value is None
    assert "level.bits" not in absent


def test_a_type_that_no_form_can_show_is_refused() -> None:
    for annotation in (int | str, dict[str, int], bytes):
        with pytest.raises(TypeError):
            shape_of(annotation)


def test_rows_never_raise() -> None:
    for junk in (None, 3, "x", [], {}, [1], {"kind": []}, {"kind": "scratch", "layers": {}}, True):
        for name in ("model", "data", "schedule", "about", "phase"):
            draft = Draft({**training("pretrain", text_data()), name: junk})
            found = rows(RunConfig, draft)
            problems_by_slot(found, problems(draft))
            assert all(isinstance(format_value(slot.value), str) for slot in found)


def test_a_filter_looks_at_path_and_help() -> None:
    found = [slot.name for slot in rows(RunConfig, quickstart()) if matches(slot, "RATE highest")]
    assert found == ["schedule.peak_learning_rate"]
