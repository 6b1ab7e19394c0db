"""Paths and runs that a configuration names, which mean the same wherever its run is resumed."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from core.config.drafts import Draft, path_text, set_value, stage_names
from core.config.named_runs import Wanted, how_to_make, wanted_at, wrong_run
from core.config.phases import Config, run_config
from core.config.preset_chain import preset_chain
from core.config.presets import draft_of
from core.config.python_file import wrong_function
from core.config.shapes import inner_value
from core.config.yaml_text import Place, Value, shown
from core.errors import ConfigurationError, Problem, UsageError
from core.run.directory import Home, RunDirectory

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
    Raises: ConfigurationError naming each path, run and preset that does not exist, each run that has not made what is
    taken from it, and each Python file that cannot have the function named.
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
                _find_run(place, path, runs, _Name(text, wanted_at(place, draft.values)), found)
        elif kind in _PRESETS:
            if runs is not None:
                _find_preset(place, text, runs.parent / "presets", found)
        elif path.exists():
            found.texts[place] = str(path.absolute())
            if kind == "python":
                _look_into(place, path, draft.values, found)
        elif kind in _FILES:
            found.problems[place] = Problem(path_text(place), f"there is no {path}", found=shown(text))
    return found


@dataclass(frozen=True)
class _Name:
    """How a run is named, and what is wanted of it."""

    text: str
    wanted: Wanted


def _find_run(place: Place, path: Path, runs: Path, name: _Name, found: Found) -> None:
    """Look a run up as `core.run.runs.find_run` does; a model is found by a name only."""
    run: RunDirectory | None = None
    if os.sep not in name.text:
        run = _by_name(place, runs, name, found)
    elif path.absolute().parent == runs.absolute() and path.is_dir():
        run = RunDirectory(runs / path.name)
        found.texts[place] = path.name
    elif name.wanted.made == "data" and path.is_dir():
        run = RunDirectory(path.absolute())
        found.texts[place] = str(path.absolute())
    else:
        is_data = name.wanted.made == "data"
        message = f"there is no run {shown(name.text)}" if is_data else f"must be the name of a run in {runs}"
        found.problems[place] = Problem(path_text(place), message, found=shown(name.text))
    if run is not None and (message := wrong_run(run, name.wanted, runs)):
        found.problems[place] = Problem(path_text(place), message)


def _by_name(place: Place, runs: Path, name: _Name, found: Found) -> RunDirectory | None:
    """Return the run with this name or unique beginning of a name, None where that is a problem."""
    text = name.text
    names = [entry.name for entry in runs.iterdir() if entry.is_dir()] if runs.is_dir() else []
    begun = [one for one in names if one.startswith(text)]
    if text in names:
        return RunDirectory(runs / text)
    if len(begun) == 1:
        found.texts[place] = begun[0]
        return RunDirectory(runs / begun[0])
    message = f"there is no run {text} in {runs}"
    if begun:
        message = f"could be any of the runs {', '.join(sorted(begun)[:10])}; write the whole name"
    elif how := how_to_make(text, name.wanted, Home(runs.parent)):
        found.problems[place] = Problem(path_text(place), f"{message}. {how}")
        return None
    nearest = [] if begun else difflib.get_close_matches(text, names, n=1)
    found.problems[place] = Problem(path_text(place), message, found=shown(text), nearest="".join(nearest))
    return None


def _look_into(place: Place, path: Path, values: Value, found: Found) -> None:
    """Read a Python file for the function that is named beside it."""
    section = values
    for step in place[:-1]:
        section = inner_value(section, step)
    function = inner_value(section, "function")
    wrong = wrong_function(path.absolute(), function) if isinstance(function, str) else None
    if wrong is not None:
        field, message = wrong
        at = (*place[:-1], field)
        found.problems[at] = Problem(path_text(at), message)


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
