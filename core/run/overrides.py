"""What a run is to do: its configuration, and what each resume changed of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from core.config.drafts import Draft, path_text, stage_place
from core.config.paths import find_paths
from core.config.phases import Config
from core.config.presets import draft_of, parse_config, place_of, read_yaml, resolve, set_value
from core.config.shapes import inner_value
from core.config.yaml_read import read_node
from core.config.yaml_text import Place, Value
from core.errors import ConfigurationError, Problem, UsageError
from core.run.directory import RunDirectory
from core.run.private import write_atomic
from core.run.resumable import check_resumable


@dataclass(frozen=True)
class Resolved:
    """The configuration with all overrides applied; allow_inexact is what the newest resume said."""

    config: Config
    allow_inexact: bool = False


def resolved_config(run: RunDirectory) -> Resolved:
    """Return config.yaml with overrides-001.yaml and so on applied in order.

    An overrides file is `{set: {section.field: value}, allow_inexact: true}`. Raises: ConfigurationError.
    """
    config = parse_config(run.config.read_text(encoding="utf-8"), str(run.config))
    allow_inexact = False
    for number in count(1):
        path = run.overrides(number)
        if not path.exists():
            return Resolved(config, allow_inexact)
        values = read_yaml(path.read_text(encoding="utf-8"), str(path)).values
        changes, allow = values.get("set", {}), values.get("allow_inexact", False)
        if not isinstance(changes, dict) or not isinstance(allow, bool):
            message = "must be {set: {...}, allow_inexact: true or false}"
            raise ConfigurationError([Problem("", message, file=str(path))])
        draft = draft_of(config)
        # A discriminator comes before the fields of its member.
        for name in sorted(changes, key=lambda name: not name.endswith(("kind", "phase"))):
            draft = set_value(draft, place_of(name), changes[name])
        config = resolve(draft)
        allow_inexact = allow
    raise AssertionError("count has no end")


def write_overrides(
    run: RunDirectory, overrides: Sequence[str], *, allow_inexact: bool, folder: Path | None = None
) -> int | None:
    """Write the next overrides-NNN.yaml of a run and return its number; None where nothing is to be written.

    In a pipeline the name of a stage stands for its place. Paths that are changed become absolute: relative ones begin
    at `folder`, the current one unless stated.
    The newest file says whether a continuation may be inexact, so a plain resume after one that allowed it writes a
    file too. Nothing is written where it raises: ConfigurationError with all problems where the changed configuration
    does not hold or names what does not exist; UsageError where the run has nothing left to do.
    """
    before = resolved_config(run)
    config = resolve(draft_of(before.config), overrides)
    draft = draft_of(config)
    stated = {path_text(stage_place(draft.values, place_of(name))): value for name, value in map(_parsed, overrides)}
    changes = _placed_changes(stated, draft, run, folder or Path.cwd())
    check_resumable(run, before.config, config)
    if not overrides and allow_inexact == before.allow_inexact:
        return None
    number = next(number for number in range(1, 1000) if not run.overrides(number).exists())
    content = {"set": changes, "allow_inexact": allow_inexact}
    write_atomic(run.overrides(number), f"{json.dumps(content, indent=2)}\n".encode(), root=run.path)
    return number


def _placed_changes(changes: dict[str, Value], draft: Draft, run: RunDirectory, folder: Path) -> dict[str, Value]:
    """Return the changes with the paths among them made absolute; what an earlier start named is not looked at."""
    places = {name: place_of(name) for name in changes}
    found = find_paths(draft, folder, runs=run.home.runs)
    problems = [
        problem
        for place, problem in found.problems.items()
        if any(place[: len(changed)] == changed for changed in places.values())
    ]
    if problems:
        raise ConfigurationError(problems)
    for place, text in found.texts.items():
        draft = set_value(draft, place, text)
    return {
        name: _value_at(draft.values, place) if any(at[: len(place)] == place for at in found.texts) else changes[name]
        for name, place in places.items()
    }


def _value_at(value: Value, place: Place) -> Value:
    for step in place:
        value = inner_value(value, step)
    return value


def _parsed(override: str) -> tuple[str, Value]:
    path, sign, value = override.partition("=")
    if not sign:
        raise UsageError(f"--set {override} has no =", hint="Write --set section.field=VALUE.")
    return path, read_node(value or "null").plain()
