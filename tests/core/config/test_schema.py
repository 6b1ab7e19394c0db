"""The JSON Schema beside the presets: up to date, accepts each preset, refuses what is wrong with one."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from core.config.presets import SHIPPED_PRESETS, load_preset
from core.config.schema import json_schema, schema_text
from tests.core.config.cases import valid_cases

SCHEMA = json_schema()
PRESETS = {path.stem: load_preset(path).values for path in sorted(SHIPPED_PRESETS.glob("*.yaml"))}


def accepts(schema: dict[str, Any], value: Any) -> bool:
    """Whether a value satisfies a schema: the part of JSON Schema 2020-12 that ours uses, and a KeyError beyond it."""
    return all(_KEYWORDS[keyword](schema, value) for keyword in schema)


def _refers(schema: dict[str, Any], value: Any) -> bool:
    return accepts(SCHEMA["$defs"][schema["$ref"].removeprefix("#/$defs/")], value)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES = {
    "object": lambda value: isinstance(value, dict), "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str), "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None, "number": _number,
    "integer": lambda value: _number(value) and value == int(value),
}  # fmt: skip
_ANNOTATIONS = {"$defs", "$schema", "title", "description", "default", "discriminator"}
_KEYWORDS: dict[str, Any] = {
    **{keyword: lambda schema, value: True for keyword in _ANNOTATIONS},
    "$ref": _refers,
    "type": lambda schema, value: _TYPES[schema["type"]](value),
    "const": lambda schema, value: type(value) is type(schema["const"]) and value == schema["const"],
    "enum": lambda schema, value: value in schema["enum"],
    "oneOf": lambda schema, value: sum(accepts(branch, value) for branch in schema["oneOf"]) == 1,
    "anyOf": lambda schema, value: any(accepts(branch, value) for branch in schema["anyOf"]),
    "minimum": lambda schema, value: not _number(value) or value >= schema["minimum"],
    "maximum": lambda schema, value: not _number(value) or value <= schema["maximum"],
    "exclusiveMinimum": lambda schema, value: not _number(value) or value > schema["exclusiveMinimum"],
    "exclusiveMaximum": lambda schema, value: not _number(value) or value < schema["exclusiveMaximum"],
    "minLength": lambda schema, value: not isinstance(value, str) or len(value) >= schema["minLength"],
    "maxLength": lambda schema, value: not isinstance(value, str) or len(value) <= schema["maxLength"],
    "minItems": lambda schema, value: not isinstance(value, list) or len(value) >= schema["minItems"],
    "maxItems": lambda schema, value: not isinstance(value, list) or len(value) <= schema["maxItems"],
    "items": lambda schema, value: not isinstance(value, list) or all(accepts(schema["items"], x) for x in value),
    "prefixItems": lambda schema, value: not isinstance(value, list) or all(
        accepts(inner, x) for inner, x in zip(schema["prefixItems"], value, strict=False)),
    "required": lambda schema, value: not isinstance(value, dict) or all(name in value for name in schema["required"]),
    "additionalProperties": lambda schema, value: not isinstance(value, dict) or all(
        name in schema["properties"] for name in value),
    "pattern": lambda schema, value: not isinstance(value, str) or bool(re.search(schema["pattern"], value)),
    "properties": lambda schema, value: not isinstance(value, dict) or all(
        accepts(inner, value[name]) for name, inner in schema["properties"].items() if name in value),
}  # fmt: skip


def test_the_file_beside_the_presets_is_up_to_date() -> None:
    text = (SHIPPED_PRESETS / "schema.json").read_text()
    assert text == schema_text(), "write it anew: footplate schema > presets/schema.json"


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_satisfies_the_schema_and_names_it_in_its_first_line(name: str) -> None:
    assert accepts(SCHEMA, PRESETS[name])
    first = (SHIPPED_PRESETS / f"{name}.yaml").read_text().splitlines()[0]
    assert first == "# yaml-language-server: $schema=schema.json"


def test_every_valid_case_satisfies_the_schema() -> None:
    assert all(accepts(SCHEMA, values) for values in valid_cases())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("phase", "pretrian"), ("model.kind", "scrach"), ("model.layers", "6"), ("model.layers", 0), ("model.layer", 6),
        ("schedule.peak_learning_rate", "1e-4"), ("schedule.peak_learning_rate", 0), ("about.title", ""),
        ("optimizer", {"kind": "adamw", "betas": [0.9]}), ("data.sources", []), ("precision", {"dtype": "bf17"}),
        ("data.tokenizer", {"kind": "load"}), ("extra", 1), ("model.dropout", 1),
    ],
)  # fmt: skip
def test_a_wrong_value_fails_the_schema(path: str, value: object) -> None:
    values = copy.deepcopy(PRESETS["quickstart"])
    *sections, last = path.split(".")
    within: Any = values
    for section in sections:
        within = within[section]
    within[last] = value
    assert not accepts(SCHEMA, values)


def test_every_field_is_described_and_every_union_names_its_discriminator() -> None:
    for name, section in SCHEMA["$defs"].items():
        for field, schema in section["properties"].items():
            described = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
            assert described.get("description") or field in ("kind", "phase"), f"{name}.{field}"
            assert "\n" not in schema.get("description", "")
            if "oneOf" in schema:
                assert schema["discriminator"]["propertyName"] == "kind"
    assert SCHEMA["discriminator"]["propertyName"] == "phase"
    assert "default" not in SCHEMA["$defs"]["ScratchModel"]["properties"]["kind"]
