"""Paths of a configuration, which mean the same wherever its run is resumed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from core.config.drafts import Draft, path_text, set_value
from core.config.phases import run_config
from core.config.presets import Config, draft_of
from core.config.yaml_text import Value, shown
from core.errors import ConfigurationError, Problem

_FILES = {"files": "path", "json": "path", "parquet": "path", "gguf": "path"}
_FILES_OR_NAMES = {"pretrained": "path", "load": "path", "hub": "name"}
_KNOWN_NAMES = frozenset({"smollm2"})


def placed(config: Config, folder: Path) -> Config:
    """Return `config` with absolute paths: relative ones begin at `folder`, `~` is the user's home.

    Where a name on the hub may stand too, it is a path only if there is such a file or folder.
    Raises: ConfigurationError naming each path that does not exist.
    """
    draft = draft_of(config)
    missing: list[Problem] = []
    for place, text, must_exist in _paths(draft.values, ()):
        path = folder / Path(text).expanduser()
        if path.exists():
            draft = set_value(draft, place, str(path.absolute()))
        elif must_exist:
            missing.append(Problem(path_text(place), f"there is no {path}", found=shown(text)))
    if missing:
        raise ConfigurationError(missing)
    return _validated(draft)


def _paths(value: Value, place: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str, bool]]:
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _paths(item, (*place, index))
    if not isinstance(value, dict):
        return
    kind = value.get("kind")
    for kinds, must_exist in ((_FILES, True), (_FILES_OR_NAMES, False)):
        name = kinds.get(kind, "") if isinstance(kind, str) else ""
        text = value.get(name)
        if isinstance(text, str) and text not in _KNOWN_NAMES:
            yield (*place, name), text, must_exist
    for name, inner in value.items():
        yield from _paths(inner, (*place, name))


def _validated(draft: Draft) -> Config:
    return run_config.validate_json(json.dumps(draft.values))
