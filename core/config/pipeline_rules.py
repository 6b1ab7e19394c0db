"""Rules over the stages of a pipeline; see core/config/rules.py.

names       each is there once, and is none of the pipeline's own fields
references  model.run, data.run and rewards name an earlier stage or a run; a stage makes what is taken from it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from core.config.partial import Partial
from core.config.yaml_text import Place, Value, shown
from core.errors import Problem

StageProblems = Callable[[Mapping[str, Value]], Iterator[Problem]]

_TAKEN = ("about", "phase", "pipeline")
_DATA_OF = {
    "pretrain": "text", "sft": "instructions", "reward": "preferences", "dpo": "preferences", "ppo": "prompts",
    "grpo": "prompts",
}  # fmt: skip
"""Which kind of data a phase trains on."""
_WRITING = ("pretrain", "sft", "dpo", "ppo", "grpo")
"""Phases whose result is a model that writes text."""


@dataclass(frozen=True)
class Reference:
    """A place within a stage that names a run, or an earlier stage. `made_by` are the phases that make such a thing."""

    place: Place
    name: str
    made_by: tuple[str, ...]
    what: str


def references(stage: Mapping[str, Value]) -> Iterator[Reference]:
    """Yield where a stage, which may lack anything and hold anything, names a run."""
    # As outside of pipelines, one reward model may be begun with by another.
    models = (*_WRITING, "reward") if stage.get("phase") == "reward" else _WRITING
    sections: list[tuple[Place, Value, tuple[str, ...], str]] = [
        (("model",), stage.get("model"), models, "a model" if "reward" in models else "a model that writes text"),
        (("data",), stage.get("data"), ("prepare",), "prepared data"),
    ]
    rewards = stage.get("rewards")
    for index, reward in enumerate(rewards if isinstance(rewards, list) else []):
        sections.append((("rewards", index), reward, ("reward",), "a reward model"))
    for place, section, made_by, what in sections:
        if isinstance(section, dict) and section.get("kind") == "run":
            name = section.get("run")
            if isinstance(name, str):
                yield Reference((*place, "run"), name, made_by, what)


def pipeline_problems(draft: Partial, stage_problems: StageProblems) -> Iterator[Problem]:
    """Yield what is wrong in each stage and between stages, at its place in the pipeline."""
    stages = [stage if isinstance(stage, dict) else {} for stage in draft.list_at("pipeline")]
    names = [stage.get("name") for stage in stages]
    for index, stage in enumerate(stages):
        place = f"pipeline.{index}"
        for problem in stage_problems(stage) if stage.get("phase") != "pipeline" else ():
            yield replace(problem, path=f"{place}.{problem.path}")
        name = names[index]
        if isinstance(name, str) and name in names[:index]:
            message = "is the name of an earlier stage too; each needs one of its own"
            yield Problem(f"{place}.name", message, found=shown(name))
        elif name in _TAKEN:
            yield Problem(f"{place}.name", f"must not be one of {', '.join(_TAKEN)}", found=shown(name))
        for reference in references(stage):
            yield from _reference(index, reference, stages)


def _reference(index: int, reference: Reference, stages: Sequence[Mapping[str, Value]]) -> Iterator[Problem]:
    numbers = [number for number, stage in enumerate(stages) if stage.get("name") == reference.name]
    if not numbers:
        return  # a run, which core/config/paths.py looks up
    message = _wrong(numbers[0], index, reference, stages)
    if message:
        at = ".".join(map(str, ("pipeline", index, *reference.place)))
        yield Problem(at, message, found=shown(reference.name))


def _wrong(number: int, index: int, reference: Reference, stages: Sequence[Mapping[str, Value]]) -> str:
    """Return why the stage `index` cannot take from the stage `number` what it wants, "" where it can."""
    if number >= index:
        which = "this stage itself" if number == index else f"stage {number + 1}, which comes later"
        return f"is {which}; it must be an earlier stage or a run"
    named, here = stages[number], stages[index]
    phase = named.get("phase")
    if phase in ("prepare", *_DATA_OF) and phase not in reference.made_by:
        return f"must be a stage that makes {reference.what}, and {reference.name} is of phase {phase}"
    data, wanted = named.get("data"), _DATA_OF.get(str(here.get("phase")))
    kind = data.get("kind") if isinstance(data, dict) else None
    if reference.place[0] == "data" and wanted and kind in _DATA_OF.values() and kind != wanted:
        return f"must be a stage that prepares {wanted}, and {reference.name} prepares {kind}"
    return ""
