"""F80: every field with every kind of wrong value is either fine or an error that names the field; nothing else."""

from __future__ import annotations

import math
from typing import Any

import pytest

from core.config.drafts import path_text, set_value
from core.config.expectations import expected
from core.config.presets import REQUIRED, differences, draft_of, dump_config, parse_config, problems, resolve
from core.config.shapes import fields_of, root_shape, shapes_along
from core.config.yaml_text import Place, scalar_text
from core.errors import ConfigurationError, ExitCode
from tests.core.config.cases import all_fields, draft, sections_reachable, valid_cases

CASES = list(valid_cases())
FIELDS = all_fields()
WRONG: dict[str, Any] = {
    "null": None, "nan": math.nan, "infinity": math.inf, "minus infinity": -math.inf, "minus one": -1, "zero": 0,
    "half": 0.5, "huge": 10**30, "beyond text": 10**5000, "huge number": 1e308, "empty": "", "list": ["a"],
    "empty list": [], "mapping": {"a": 1}, "empty mapping": {}, "true": True, "false": False, "word": "False",
    "quoted number": "1e-4", "unit": "2k", "bytes": "16 GB", "unicode digits": "١٢", "fullwidth": "１２",
    "long": "x" * 5000, "control": "a\x1b]0;b\x07", "nul": "a\0b", "surrogate": "\ud800", "newline": "a\nb",
    "deep": [[[[[["a"]]]]]], "list of null": [None], "list of mappings": [{"kind": "nothing"}, 3],
    "python": {1: object()}, "set": {3}, "bytes object": b"a",
}  # fmt: skip
WORDS = ("1e-4", ".nan", "-.inf", "1e999", "-1", "0", "", "~", "no", "1_000", "2024-01-01", "[1", "{a: b}", "'1e-4'",
         "9" * 5000, "&a b", "*a", "!!python/object:os.system x", "a\tb", "\x00", "\x1b[31m", "- a")  # fmt: skip


def names(place: Place) -> str:
    return path_text(place)


def check(values: dict[str, Any], place: Place, wrong: Any) -> bool:
    """Whether the value is refused; then by words that name the field."""
    try:
        config = resolve(set_value(draft(values), place, wrong))
    except ConfigurationError as error:
        refusal = error
    else:
        assert parse_config(dump_config(config)) == config
        return False
    assert refusal.exit_code == ExitCode.USAGE
    assert names(place) in str(refusal), f"{names(place)} = {wrong!r:.80}: {refusal}"
    assert all(str(problem).isprintable() for problem in refusal.problems)
    return True


def test_every_section_that_the_types_allow_is_among_the_cases() -> None:
    used = {id(section) for values in CASES for section in _sections(values)}
    unused = {section.__name__ for section in sections_reachable(root_shape()) if id(section) not in used}
    assert unused == {"CodeTests"}, "which a rule refuses, so that no draft with it is valid"
    assert len(FIELDS) > 150


def _sections(values: dict[str, Any]) -> list[type]:
    from tests.core.config.cases import fields_in

    return [section for _, section, _ in fields_in(values, root_shape())]


@pytest.mark.parametrize("values", CASES, ids=range(len(CASES)))
def test_a_case_is_valid_and_survives_writing_and_reading(values: dict[str, Any]) -> None:
    assert problems(draft(values)) == []
    config = resolve(draft(values))
    assert parse_config(dump_config(config)) == config
    assert resolve(draft_of(config)) == config
    stated = {difference.path for difference in differences(config) if difference.default is not REQUIRED}
    assert "seed" not in stated


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_value_is_refused_by_name_or_is_right(kind: str) -> None:
    outcomes = [check(values, place, WRONG[kind]) for values, place in FIELDS]
    assert any(outcomes), "this value is wrong somewhere"


@pytest.mark.parametrize("text", WORDS, ids=range(len(WORDS)))
def test_a_wrong_text_behind_set_is_refused_by_name_or_is_right(text: str) -> None:
    for values, place in FIELDS:
        try:
            resolve(draft(values), [f"{names(place)}={text}"])
        except ConfigurationError as error:
            refusal = error
        else:
            continue
        assert f"--set {names(place)}=" in str(refusal) or f"{names(place)} (" in str(refusal), str(refusal)
        assert all(str(problem).isprintable() for problem in refusal.problems)


def test_numbers_take_no_text_and_text_takes_no_numbers() -> None:
    """What a stricter type must refuse, field by field, so that the sweep above cannot pass by accepting all."""
    wrong_by_shape: dict[str, list[Any]] = {
        "a whole number": ["1", 1.5, True],
        "a number": ["0.5", math.nan, False],
        "true or false": ["False", 0],
        "text": [5, True, "x" * 20_000],
    }
    for values, place in FIELDS:
        for start, wrong in wrong_by_shape.items():
            if _shape(values, place).startswith(start):
                assert [check(values, place, value) for value in wrong] == [True] * len(wrong), names(place)


def _shape(values: dict[str, Any], place: Place) -> str:
    *_, (shape, _) = shapes_along(place, draft(values).values)
    assert shape is not None
    return expected(shape)


def test_a_bound_is_refused_on_its_other_side_and_stated() -> None:
    values = CASES[1]
    for path, wrong, allowed in [
        (("batch", "size"), 0, "from 1 to 1,000,000"),
        (("schedule", "peak_learning_rate"), 0, "above 0 and at most 10"),
        (("model", "dropout"), 1, "at least 0 and below 1"),
        (("data", "held_out_fraction"), 0.6, "from 0 to 0.5"),
    ]:
        (problem,) = problems(set_value(draft(values), path, wrong))
        assert allowed in problem.message
        assert problem.found == scalar_text(wrong)


def test_an_empty_prompt_is_refused_before_the_run_rather_than_at_its_end() -> None:
    (problem,) = problems(set_value(draft(CASES[1]), ("sampling",), {"prompts": ["a", ""]}))
    assert problem.path == "sampling.prompts.1"
    assert "text of" in problem.message


def test_every_field_has_help() -> None:
    for section in sections_reachable(root_shape()):
        for name, field in fields_of(section).items():
            if name not in ("kind", "phase"):
                assert field.help, f"{section.__name__}.{name}"
            assert field.summary[-1:] not in ".:;" or not field.help
