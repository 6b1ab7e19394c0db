"""Rules over the stages of a pipeline; see core/config/rules.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from core.config.partial import Partial
from core.config.yaml_text import Value
from core.errors import Problem

StageProblems = Callable[[Mapping[str, Value]], Iterator[Problem]]


def pipeline_problems(draft: Partial, stage_problems: StageProblems) -> Iterator[Problem]:
    """Yield what is wrong in each stage, at its place in the pipeline."""
    for index, stage in enumerate(draft.list_at("pipeline")):
        if isinstance(stage, dict):
            for problem in stage_problems(stage):
                yield replace(problem, path=f"pipeline.{index}.{problem.path}")
