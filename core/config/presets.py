"""Presets: find, read, check, change and save a configuration.

A preset is a YAML 1.2 mapping (core/config/yaml_text.py says what of YAML is read). Those that ship with Footplate lie
in the package `presets`, the user's own in `$FOOTPLATE_HOME/presets`; a name means the user's own first.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import presets as shipped
from core.config.drafts import UNSET, Draft, override, place_of, set_value
from core.config.phases import Config, PipelineConfig, run_config
from core.config.problems import find_problems, nearest_of
from core.config.saving import compact, in_order, leaves, same, updated_text
from core.config.shapes import Shape, root_shape, shapes_along
from core.config.yaml_read import MAX_CHARACTERS, lines_of, read_node
from core.config.yaml_text import Value, block_text, shown
from core.errors import ConfigurationError, Problem, UsageError

__all__ = [
    "REQUIRED", "SHIPPED_PRESETS", "UNSET", "Difference", "Draft", "PresetEntry", "differences", "draft_of",
    "dump_config", "find_preset", "list_presets", "load_preset", "parse_config", "place_of", "preset_text", "problems",
    "read_yaml", "resolve", "save_preset", "set_value", "stage_differences",
]  # fmt: skip


SHIPPED_PRESETS = Path(shipped.__path__[0])
SCHEMA_NAME = "schema.json"


class _Required(Enum):
    REQUIRED = "(required)"


REQUIRED = _Required.REQUIRED


class Difference(NamedTuple):
    """A field whose value is not its default; `default` is REQUIRED where there is none."""

    path: str
    value: Value
    default: Value | _Required


@dataclass(frozen=True)
class PresetEntry:
    """A preset of the menu; `error` is "" where it can be run, and then `phase` and `about` say what it is."""

    name: str
    path: Path
    phase: str
    about: dict[str, str]
    error: str
    is_shipped: bool


def read_yaml(text: str, file: str = "") -> Draft:
    """Return the mapping in `text` with its lines. ConfigurationError lists what cannot be read."""
    root = read_node(text, file)
    values = root.plain()
    if not isinstance(values, dict):
        message = "is empty; a preset has at least phase: and about:" if values is None else "must be a mapping"
        found = "" if values is None else shown(values)
        raise ConfigurationError([Problem("", message, found=found, file=file, line=None if values is None else 1)])
    return Draft(values, lines_of(root), file)


def load_preset(path: Path) -> Draft:
    """Return the preset in a file. ConfigurationError where it cannot be read, with the line."""
    return read_yaml(_file_text(path), str(path))


def _file_text(path: Path) -> str:
    def wrong(message: str, line: int | None = None) -> ConfigurationError:
        return ConfigurationError([Problem("", message, file=str(path), line=line)])

    try:
        # Without O_NONBLOCK the opening of a named pipe waits for its writer for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise wrong("is no file; a preset is a YAML file")
            with open(descriptor, "rb", closefd=False) as stream:
                content = stream.read(MAX_CHARACTERS + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise wrong("does not exist") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise wrong(f"cannot be read: {error.strerror if isinstance(error, OSError) else error}") from None
    if len(content) > MAX_CHARACTERS:
        raise wrong(f"is too large; at most {MAX_CHARACTERS:,} bytes are read")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise wrong(f"is not UTF-8 (byte 0x{content[error.start]:02X})", line) from None


def problems(draft: Draft) -> list[Problem]:
    """Return all that is wrong with a draft: an empty list where it can be run."""
    return find_problems(draft)


def resolve(draft: Draft, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration of a draft with `section.field=VALUE` applied to it.

    Raises: ConfigurationError with all problems: pydantic's, the rules over several fields, the overrides' own.
    """
    draft, wrong = override(draft, overrides)
    wrong += find_problems(draft)
    if wrong:
        raise ConfigurationError(wrong)
    return run_config.validate_json(json.dumps(draft.values))


def draft_of(config: Config) -> Draft:
    """Return a configuration as a draft with every field set."""
    values = in_order(root_shape(), run_config.dump_python(config, mode="json"))
    assert isinstance(values, dict)
    return Draft(values)


def dump_config(config: Config) -> str:
    """Return the whole configuration as YAML; parse_config reads it back to an equal one."""
    return block_text(draft_of(config).values)


def parse_config(text: str, file: str = "") -> Config:
    """Return the configuration that dump_config wrote. ConfigurationError where it does not hold."""
    return resolve(read_yaml(text, file))


def differences(config: Config) -> list[Difference]:
    """Return what differs from the defaults, and what has none, in the order of a preset; not within stages."""
    return _differences(root_shape(), draft_of(config).values)


def stage_differences(config: PipelineConfig, number: int) -> list[Difference]:
    """Return the same of one stage of a pipeline, by its number from 0."""
    *_, (shape, values) = shapes_along(("pipeline", number), draft_of(config).values)
    assert shape is not None
    return _differences(shape, values)


def _differences(shape: Shape, values: Value) -> list[Difference]:
    found = leaves(shape, values)
    return [
        Difference(path, value, REQUIRED if required else default)
        for path, value, default, required in found
        if required or not same(value, default)
    ]


def find_preset(name_or_path: str, user_presets: Path) -> Path:
    """Return the file of a preset: a name of the menu, else a path. UsageError names the nearest one."""
    names = _names(user_presets)
    if name_or_path in names:
        return names[name_or_path]
    looks_like_path = os.sep in name_or_path or name_or_path.endswith((".yaml", ".yml"))
    path = Path(name_or_path)
    try:
        if name_or_path and path.is_file():
            return path
    except (OSError, ValueError):  # too long, or a NUL: no such file either way
        pass
    nearest = nearest_of(path.stem if looks_like_path else name_or_path, list(names))
    what = f"there is no file {shown(name_or_path)}" if looks_like_path else f"there is no preset {shown(name_or_path)}"
    suggestion = f"Did you mean {nearest}? " if nearest else ""
    raise UsageError(what, hint=f"{suggestion}Presets: {', '.join(names)}.")


def _names(user_presets: Path) -> dict[str, Path]:
    names: dict[str, Path] = {}
    for folder in (SHIPPED_PRESETS, user_presets):
        if folder.is_dir():
            names |= {path.stem: path for path in sorted(folder.glob("*.yaml")) if path.is_file()}
    return dict(sorted(names.items(), key=lambda item: (not item[0].startswith("quickstart"), item[0])))


def list_presets(user_presets: Path) -> list[PresetEntry]:
    """Return the presets of the menu, quickstarts first; a user's preset stands for the shipped one of its name."""
    return [_entry(name, path) for name, path in _names(user_presets).items()]


def _entry(name: str, path: Path) -> PresetEntry:
    is_shipped = path.parent == SHIPPED_PRESETS
    try:
        draft = load_preset(path)
    except ConfigurationError as unreadable:
        return PresetEntry(name, path, "", {}, str(unreadable), is_shipped)
    about = draft.values.get("about")
    words = {key: text for key, text in about.items() if isinstance(text, str)} if isinstance(about, dict) else {}
    phase = draft.values.get("phase")
    error = "\n".join(map(str, find_problems(draft)))
    return PresetEntry(name, path, phase if isinstance(phase, str) else "", words, error, is_shipped)


def save_preset(values: dict[str, Value], path: Path) -> None:
    """Write a preset: what differs from the defaults and the discriminators, valid or not.

    An existing file keeps its comments, and the fields that it states already. The file is replaced at once.
    Raises: ConfigurationError where the existing file is no preset; OSError where the folder cannot be written.
    """
    old = None
    with contextlib.suppress(FileNotFoundError):
        path.lstat()
        old = _file_text(path)
    text = preset_text(values, path, old)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.stem[:40]}-", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def preset_text(values: dict[str, Value], path: Path, old: str | None = None) -> str:
    """Return the text that a preset at `path` gets, given the text that it has."""
    if old is None:
        beside = (path.parent / SCHEMA_NAME).exists()
        schema = SCHEMA_NAME if beside else str(SHIPPED_PRESETS / SCHEMA_NAME)
        return f"# yaml-language-server: $schema={schema}\n" + block_text(compact(values))
    return updated_text(old, compact(values, read_node(old, str(path)).plain()))
