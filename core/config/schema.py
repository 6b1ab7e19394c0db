"""The JSON Schema of presets, for editors: descriptions from the docstrings, one branch for each discriminator."""

from __future__ import annotations

import json
from typing import Any

from core.config.phases import run_config


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) that every preset satisfies."""
    schema = run_config.json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Footplate preset",
        "description": "What to run: a phase and its sections. `footplate check` also knows the rules between fields.",
        **_tidied(schema),
    }


def schema_text() -> str:
    """Return the schema as the text of `presets/schema.json`."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=True) + "\n"


def _tidied(node: Any) -> Any:
    """Return the schema with help on one line, and without the titles that only repeat a field's name."""
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidied = {key: _tidied(value) for key, value in node.items()}
    if isinstance(tidied.get("description"), str):
        tidied["description"] = " ".join(tidied["description"].split())
    if isinstance(tidied.get("title"), str):
        del tidied["title"]
    return tidied
