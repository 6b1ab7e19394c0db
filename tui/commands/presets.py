"""`check`, `presets` and `schema`: configurations without a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.config.derived import derived_numbers
from core.config.model import PresetModel
from core.config.paths import find_paths
from core.config.phases import TRAINING, Config, PipelineConfig
from core.config.preset_chain import preset_chain
from core.config.presets import (
    REQUIRED,
    Difference,
    differences,
    draft_of,
    find_preset,
    list_presets,
    load_preset,
    resolve,
    stage_differences,
)
from core.config.schema import schema_text
from core.config.yaml_text import Value
from core.run.launch_memory import launch_memory
from tui.commands.context import Context
from tui.commands.output import shown, table


def check(preset: str, overrides: Sequence[str], context: Context, *, as_json: bool) -> int:
    """Validate a preset and print its resolved configuration, marked where it differs from the defaults.

    What it names and this machine lacks is said and no error, since it may be there by the start, which refuses it.
    Raises: ConfigurationError with all problems; UsageError where there is no such preset, or none that its model is
        to come from.
    """
    path = find_preset(preset, context.home.presets)
    config = resolve(load_preset(path), overrides)
    for alone in config.pipeline if isinstance(config, PipelineConfig) else [config]:
        if isinstance(alone, TRAINING) and isinstance(alone.model, PresetModel):
            preset_chain(alone.model.preset, context.home.presets)
    parts = _parts(config)
    missing = find_paths(draft_of(config), Path.cwd(), runs=context.home.runs).problems.values()
    if as_json:
        answer = {**_answer(path, config, parts), "missing": [str(problem) for problem in missing]}
        print(json.dumps(answer), file=context.output)
        return 0
    print(f"{shown(str(path))} holds. * marks what is not the default.\n", file=context.output)
    empty = ("", "", "")
    rows: list[tuple[str, str, str]] = []
    for part in parts:
        if part.stage:
            rows += [empty, empty, (f"stage {part.stage}", "", "")]
        rows += [_row(field, value, part.changed) for field, value in _leaves(part.values)]
        rows += [empty, empty] * (bool(part.derived) and not part.stage)
        rows += [(f"  {name}", value, "on one device") for name, value in _words(part.derived)]
    for text in table(("  field", "value", "default"), rows):
        print(text, file=context.output)
    for words in launch_memory(config, context.home):
        context.say(shown(words))
    if missing:
        context.say("\nA start from here would be refused:")
    for problem in missing:
        context.say(f"  {shown(str(problem))}")
    return 0


@dataclass(frozen=True)
class _Part:
    """A preset, or what a pipeline has of its own, or one of its stages."""

    values: dict[str, Value]
    changed: dict[str, Difference]
    derived: dict[str, int]
    stage: str = ""


def _parts(config: Config) -> list[_Part]:
    values = draft_of(config).values
    changed = {difference.path: difference for difference in differences(config)}
    if not isinstance(config, PipelineConfig):
        return [_Part(values, changed, derived_numbers(config))]
    stages = values.pop("pipeline")
    assert isinstance(stages, list)
    parts = [_Part(values, changed, {})]
    for number, (stage, inner) in enumerate(zip(config.pipeline, stages, strict=True)):
        assert isinstance(inner, dict)
        differing = {difference.path: difference for difference in stage_differences(config, number)}
        parts.append(_Part(inner, differing, derived_numbers(stage), stage.name))
    return parts


def _answer(path: Path, config: Config, parts: Sequence[_Part]) -> dict[str, object]:
    """Return what `--json` prints; fields of a stage as --set reaches them, its derived numbers by its name."""
    found = [
        {"field": f"{part.stage}.{change.path}" if part.stage else change.path, "value": change.value,
         "required": change.default is REQUIRED, "default": None if change.default is REQUIRED else change.default}
        for part in parts for change in part.changed.values() if part.stage or change.path != "pipeline"
    ]  # fmt: skip
    derived = {part.stage: part.derived for part in parts if part.stage} or parts[0].derived
    return {"preset": str(path), "config": draft_of(config).values, "differences": found, "derived": derived}


def presets(context: Context, *, as_json: bool) -> int:
    """Print the presets that ship with Footplate and the user's own; a broken one with its first problem."""
    entries = list_presets(context.home.presets)
    if as_json:
        for entry in entries:
            row = {"name": entry.name, "path": str(entry.path), "phase": entry.phase, "about": entry.about,
                   "error": entry.error or None}  # fmt: skip
            print(json.dumps(row), file=context.output)
        return 0
    rows: list[tuple[str, str, str]] = []
    for entry in entries:
        if entry.error:
            rows.append((entry.name, entry.phase, f"! {entry.error.splitlines()[0]}"))
            continue
        rows.append((entry.name, entry.phase, entry.about.get("title", "")))
        rows += [("", "", f"  {entry.about[key]}") for key in ("hardware", "time", "memory") if entry.about.get(key)]
    for text in table(("preset", "phase", "what it does, on what, how long, how much memory"), rows):
        print(text, file=context.output)
    context.say("\nfootplate check PRESET shows all of one, footplate run PRESET starts it.")
    context.say(f"Your own presets lie in {shown(str(context.home.presets))}.")
    return 0


def schema(context: Context) -> int:
    """Print the JSON Schema of presets."""
    print(schema_text(), end="", file=context.output)
    return 0


def _words(derived: dict[str, int]) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), f"{value:,}") for name, value in derived.items()]


def _row(field: str, value: Value, changed: dict[str, Difference]) -> tuple[str, str, str]:
    parts = field.split(".")
    around = (".".join(parts[:length]) for length in range(len(parts), 0, -1))  # a list is marked as a whole
    change = next((changed[path] for path in around if path in changed), None)
    if change is None:
        return f"  {field}", written(value), ""
    default = "" if change.path != field or change.default is REQUIRED else written(change.default)
    return f"* {field}", written(value), default


def _leaves(value: Value, prefix: str = "") -> Iterator[tuple[str, Value]]:
    match value:
        case dict() if value:
            for name, inner in value.items():
                yield from _leaves(inner, f"{prefix}.{name}" if prefix else name)
        case [dict(), *_]:
            for position, inner in enumerate(value):
                yield from _leaves(inner, f"{prefix}.{position}")
        case _:
            yield prefix, value


def written(value: Value) -> str:
    """Return a value in one line, as a preset may state it."""
    return value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
