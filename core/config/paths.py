"""Paths and runs that a configuration names, which mean the same wherever its run is resumed."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.config.drafts import Draft, path_text, set_value, stage_names
from core.config.phases import Config, run_config
from core.config.preset_chain import preset_chain
from core.config.presets import draft_of
from core.config.yaml_text import Place, Value, shown
from core.errors import ConfigurationError, Problem, UsageError

_FILES = {
    "path": "path", "code": "path", "files": "path", "json": "path", "parquet": "path", "gguf": "path",
    "functions": "path", "language": "model", "ngram_perplexity": "model", "contamination": "references",
    "python": "path",
}  # fmt: skip
_FILES_OR_NAMES = {
    "pretrained": "path", "load": "path", "hub": "name", "perplexity": "model", "classifier": "path",
}  # fmt: skip
_RUNS = {"run": "run"}
_PRESETS = {"preset": "preset"}
_KNOWN_NAMES = frozenset({"smollm2"})


@dataclass(frozen=True)
class Found:
    """What the paths of a configuration turned out to be: absolute texts, and problems, each by its place."""

    texts: dict[Place, str]
    problems: dict[Place, Problem]


def placed(config: Config, folder: Path, *, runs: Path | None = None) -> Config:
    """Return `config` with absolute paths: relative ones begin at `folder`, `~` is the user's home.

    Where a name on the hub may stand too, it is a path only if there is such a file or folder. With `runs`, the folder
    of all runs in a home, names of runs and of presets are checked, and the unique beginning of a run's name becomes
    the whole name.
    Raises: ConfigurationError naming each path, run and preset that does not exist.
    """
    draft = draft_of(config)
    found = find_paths(draft, folder, runs=runs)
    if found.problems:
        raise ConfigurationError([*found.problems.values()])
    for place, text in found.texts.items():
        draft = set_value(draft, place, text)
    return run_config.validate_json(json.dumps(draft.values))


def find_paths(draft: Draft, folder: Path, *, runs: Path | None = None) -> Found:
    """Return what each path and each name of a run in a valid draft means, as `placed`, without raising.

    A name of a stage of this pipeline is none of a run, also where there is a run of that name.
    """
    found = Found({}, {})
    for place, kind, text in _paths(draft.values, ()):
        if kind in _RUNS and text in stage_names(draft.values):
            continue
        path = folder / Path(text).expanduser()
        if kind in _RUNS:
            if runs is not None:
                _find_run(place, text, path, runs, found)
        elif kind in _PRESETS:
            if runs is not None:
                _find_preset(place, text, runs.parent / "presets", found)
        elif path.exists():
            found.texts[place] = str(path.absolute())
        elif kind in _FILES:
            found.problems[place] = Problem(path_text(place), f"there is no {path}", found=shown(text))
    return found


def _find_run(place: Place, text: str, path: Path, runs: Path, found: Found) -> None:
    """Look a run up as `core.run.runs.find_run` does; a model is found by a name only."""
    is_data = place[2 if place[0] == "pipeline" else 0] == "data"
    if os.sep in text:
        if path.absolute().parent == runs.absolute() and path.is_dir():
            found.texts[place] = path.name
        elif is_data and path.is_dir():
            found.texts[place] = str(path.absolute())
        else:
            message = f"there is no run {shown(text)}" if is_data else f"must be the name of a run in {runs}"
            found.problems[place] = Problem(path_text(place), message, found=shown(text))
        return
    names = [entry.name for entry in runs.iterdir() if entry.is_dir()] if runs.is_dir() else []
    begun = [name for name in names if name.startswith(text)]
    if text in names:
        return
    if len(begun) == 1:
        found.texts[place] = begun[0]
        return
    message = f"there is no run {text} in {runs}"
    if begun:
        message = f"could be any of the runs {', '.join(sorted(begun)[:10])}; write the whole name"
    nearest = [] if begun else difflib.get_close_matches(text, names, n=1)
    found.problems[place] = Problem(path_text(place), message, found=shown(text), nearest="".join(nearest))


def _find_preset(place: Place, text: str, presets: Path, found: Found) -> None:
    try:
        preset_chain(text, presets)
    except UsageError as error:
        hint = f"; {error.hint}" if error.hint else ""
        found.problems[place] = Problem(path_text(place), f"{error.message}{hint}", found=shown(text))


def _paths(value: Value, place: Place) -> Iterator[tuple[Place, str, str]]:
    """Yield the place of each path or name, the kind of the section that it stands in, and its text."""
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _paths(item, (*place, index))
    if not isinstance(value, dict):
        return
    kind = value.get("kind")
    if isinstance(kind, str):
        for names in (_FILES, _FILES_OR_NAMES, _RUNS, _PRESETS):
            texts = value.get(names.get(kind, ""))
            for index, text in enumerate(texts if isinstance(texts, list) else [texts]):
                if isinstance(text, str) and text not in _KNOWN_NAMES:
                    inside = (index,) if isinstance(texts, list) else ()
                    yield (*place, names[kind], *inside), kind, text
    for name, inner in value.items():
        yield from _paths(inner, (*place, name))
