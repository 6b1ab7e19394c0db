"""Finding runs by what a person types."""

from __future__ import annotations

import difflib
import itertools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from core.errors import UsageError
from core.run.directory import RUN_NAME, Home, RunDirectory
from core.run.stages import as_tree, read_stages


def find_run(home: Home, text: str) -> RunDirectory:
    """Return the run with this name, unique beginning of a name, or path.

    Raises: UsageError naming what is near, or what the beginning could mean.
    """
    if os.sep in text or text in (".", ".."):
        return _by_path(text)
    names = [run.name for run in list_runs(home)]
    if text in names:
        return RunDirectory(home.runs / text)
    begun = [name for name in names if text and name.startswith(text)]
    if len(begun) > 1:  # the stages of a pipeline begin with its name
        begun = [branch.run.name for branch in as_tree([RunDirectory(home.runs / name) for name in begun])
                 if not branch.stage]  # fmt: skip
    if len(begun) == 1:
        return RunDirectory(home.runs / begun[0])
    if begun:
        raise UsageError(f"{text!r} could be {', '.join(sorted(begun)[:10])}", hint="Type more of the name.")
    near = difflib.get_close_matches(text, names, n=3)
    raise UsageError(
        f"there is no run {text!r} in {home.runs}",
        hint=f"Did you mean {', '.join(near)}?" if near else "`footplate runs` lists them.",
    )


def find_run_with_model(home: Home, text: str) -> RunDirectory:
    """Return what `find_run` finds, if it has made a model.

    Raises: UsageError as `find_run`; where there is no model, of a pipeline with the runs that have made some.
    """
    run = find_run(home, text)
    if run.has_model:
        return run
    if stages := read_stages(run):
        names = ", ".join(stage.run for stage in stages.values())
        raise UsageError(
            f"{run.name} is a pipeline, and its stages make the models", hint=f"Name one of them: {names}."
        )
    raise UsageError(
        f"{run.name} has no model yet ({run.model})", hint="A training run writes it at its end: footplate runs"
    )


def _by_path(text: str) -> RunDirectory:
    path = Path(os.path.realpath(Path(text).expanduser()))
    if not (path / "config.yaml").is_file():
        raise UsageError(f"{path} is not a run", hint="A run is a folder that has a config.yaml.")
    return RunDirectory(path)


def list_runs(home: Home) -> list[RunDirectory]:
    """Return all runs, newest first. What is no run (another name, a link, no config.yaml) is left out."""
    found: list[tuple[float, str]] = []
    try:
        with os.scandir(home.runs) as entries:
            for entry in entries:
                if RUN_NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                    try:
                        found.append((os.stat(os.path.join(entry.path, "config.yaml")).st_mtime, entry.name))
                    except OSError:
                        continue
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [RunDirectory(home.runs / name) for _, name in sorted(found, reverse=True)]


def free_names(home: Home, stem: str) -> Iterator[str]:
    """Yield names that a run from the preset `stem` may have: stem, stem-1, stem-2, ... that are not taken."""
    clean = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")[:56] or "run"
    for number in itertools.count():
        name = clean if number == 0 else f"{clean}-{number}"
        if not os.path.lexists(home.runs / name):
            yield name


def next_name(home: Home, stem: str) -> str:
    """Return the first of `free_names`."""
    return next(free_names(home, stem))
