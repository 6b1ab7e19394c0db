"""Whether a run that a configuration names has made what is taken from it there.

What counts is what lies in its folder, as it is when a run begins: an unfinished run that has a model already, since it
goes on after a first end, can be begun with.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.config.presets import find_preset, load_preset
from core.config.shapes import inner_value
from core.config.yaml_text import Place, Value
from core.errors import UsageError
from core.run.directory import Home, RunDirectory
from core.run.runs import list_runs
from core.run.status import read_status

_WRITING = ("pretrain", "sft", "dpo", "ppo", "grpo")
_MOST_NAMES = 10


@dataclass(frozen=True)
class Wanted:
    """What is taken from a run: phases that make it, how it is called, and how runs that have it are called."""

    made: Literal["data", "reward", "model", "any model"]
    phases: tuple[str, ...]
    what: str
    those: str

    def is_there(self, run: RunDirectory) -> bool:
        """Whether the run has made it."""
        match self.made:
            case "data":
                return (run.data / "manifest.json").is_file()
            case "reward":
                return _is_reward(run)
            case "model":
                return run.has_model and not _is_reward(run)
            case "any model":
                return run.has_model


_DATA = Wanted("data", ("prepare",), "a finished prepare run", "prepare runs")
_REWARD = Wanted("reward", ("reward",), "a finished reward run", "reward runs")
_MODEL = Wanted("model", _WRITING, "a finished run that trained a language model", "such runs")
_ANY_MODEL = Wanted("any model", (*_WRITING, "reward"), "a finished run that trained a model", "such runs")


def wanted_at(place: Place, values: Mapping[str, Value]) -> Wanted:
    """Return what the run named at a place of a configuration must have made."""
    start = 2 if place[0] == "pipeline" else 0
    if place[start] == "data":
        return _DATA
    if place[start] == "rewards":
        return _REWARD
    alone: Value = dict(values)
    for step in place[:start]:
        alone = inner_value(alone, step)
    # One reward model may be begun with by another.
    return _ANY_MODEL if inner_value(alone, "phase") == "reward" else _MODEL


def wrong_run(run: RunDirectory, wanted: Wanted, runs: Path) -> str:
    """Return why a run cannot be taken, with those in `runs`, the folder of all, that can; "" where it can."""
    if wanted.is_there(run):
        return ""
    others = [other.name for other in list_runs(Home(runs.parent)) if wanted.is_there(other)]
    more = f" and {len(others) - _MOST_NAMES} more" if len(others) > _MOST_NAMES else ""
    here = f"{wanted.those} here: {', '.join(others[:_MOST_NAMES])}{more}" if others else "there is none here yet"
    return f"must be {wanted.what}; {run.name} {_why_not(run, wanted)}; {here}"


def _why_not(run: RunDirectory, wanted: Wanted) -> str:
    if wanted.made == "model" and _is_reward(run):
        return "made a reward model, which scores texts and writes none"
    phase = _phase(run)
    if not phase:
        return "is no run: it has no config.yaml that begins with its phase"
    if phase not in wanted.phases:
        return "is a pipeline, whose stages are runs of their own" if phase == "pipeline" else f"is {phase}"
    what = "prepared data" if wanted.made == "data" else "reward model" if wanted.made == "reward" else "model"
    return f"({read_status(run).word}) has made no {what}"


def _is_reward(run: RunDirectory) -> bool:
    return (run.model / "reward.json").is_file()


def _phase(run: RunDirectory) -> str:
    """Return the phase of a run, which its configuration begins with; "" where there is none."""
    try:
        with run.config.open("rb") as file:
            first = file.readline(100).decode("utf-8", errors="replace")
    except OSError:
        return ""
    name, _, phase = first.partition(":")
    return phase.strip() if name == "phase" else ""


def how_to_make(name: str, wanted: Wanted, home: Home) -> str:
    """Return which command makes a run that is not there, where a preset of its name makes what is wanted; else ""."""
    try:
        path = find_preset(name, home.presets)
        phase = load_preset(path).values.get("phase") if path.name == f"{name}.yaml" else None
    except (UsageError, OSError):
        return ""
    if phase not in wanted.phases:
        return ""
    return f"{'Prepare' if wanted.made == 'data' else 'Train'} it first: footplate run {name}"
