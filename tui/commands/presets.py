"""`check`, `presets` and `schema`: configurations without a run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from core.config.model import PresetModel
from core.config.phases import Config, PrepareConfig
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
)
from core.config.schema import schema_text
from core.config.yaml_text import Value
from tui.commands.context import Context
from tui.commands.output import shown, table


def check(preset: str, overrides: Sequence[str], context: Context, *, as_json: bool) -> int:
    """Validate a preset and print its resolved configuration, marked where it differs from the defaults.

    Raises: ConfigurationError with all problems; UsageError where there is no such preset, or none that its model is
        to come from.
    """
    path = find_preset(preset, context.home.presets)
    config = resolve(load_preset(path), overrides)
    if not isinstance(config, PrepareConfig) and isinstance(config.model, PresetModel):
        preset_chain(config.model.preset, context.home.presets)
    values = draft_of(config).values
    changed = {difference.path: difference for difference in differences(config)}
    derived = derived_numbers(config)
    if as_json:
        found = [
            {"field": change.path, "value": change.value, "required": change.default is REQUIRED,
             "default": None if change.default is REQUIRED else change.default}
            for change in changed.values()
        ]  # fmt: skip
        answer = {"preset": str(path), "config": values, "differences": found, "derived": derived}
        print(json.dumps(answer), file=context.output)
        return 0
    print(f"{shown(str(path))} holds. * marks what is not the default.\n", file=context.output)
    rows = [_row(field, value, changed) for field, value in _leaves(values)]
    rows += [("", "", ""), ("", "", "")] * bool(derived)
    rows += [(f"  {name}", value, "on one device") for name, value in _words(derived)]
    for text in table(("  field", "value", "default"), rows):
        print(text, file=context.output)
    return 0


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


def derived_numbers(config: Config) -> dict[str, int]:
    """Return what follows from batch and schedule on one device.

    Units: accumulation in micro-batches a step; tokens are positions, those of padding included.
    """
    if isinstance(config, PrepareConfig):
        return {}
    batch, steps = config.batch, config.schedule.steps
    tokens = batch.size * batch.sequence_length
    derived = {"micro_batches_per_step": batch.size // batch.micro_size, "tokens_per_step": tokens}
    return derived if steps is None else {**derived, "tokens_in_all": steps * tokens}


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
