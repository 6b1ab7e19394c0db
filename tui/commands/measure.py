"""`measure`: what full, LoRA and QLoRA cost for a preset on this machine, each in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from core.config.presets import find_preset, load_preset
from core.errors import ExitCode, UsageError
from tui.commands.context import Context
from tui.commands.display import write
from tui.commands.output import shown, table
from tui.commands.query import QueryError, ask
from tui.services.measuring import (
    HEAD,
    KINDS,
    RIGHT,
    Cost,
    NotMeasured,
    cost_notes,
    cost_rows,
    measuring_environment,
    not_measured,
    questions,
    step_words,
)

_SECONDS = 3600
"""A step of a large model on a CPU; the helper says when each of them begins."""
_MOST_STEPS = 10_000


def measure(preset: str, overrides: Sequence[str], context: Context, *, steps: int, as_json: bool) -> int:
    """Print what each kind costs, and return the exit code of the first that failed where none could be measured.

    Raises: ConfigurationError where the preset does not hold; UsageError where it trains nothing.
    """
    if not 1 <= steps <= _MOST_STEPS:
        raise UsageError(f"--steps {steps}", hint=f"From 1 to {_MOST_STEPS:,}.")
    draft = load_preset(find_preset(preset, context.home.presets))
    asked = questions(draft, overrides, context.home, steps=steps)
    measured = replace(context, environment=measuring_environment(context.environment, context.home))
    costs: list[Cost | NotMeasured] = []
    codes: list[int] = []
    for kind, question in zip(KINDS, asked, strict=True):
        if isinstance(question, NotMeasured):
            answer: dict[str, Any] | NotMeasured = question
            codes.append(ExitCode.USAGE)
        else:
            answer = _answer(kind, question, measured, codes)
        costs.append(answer if isinstance(answer, NotMeasured) else Cost.of(answer))
        if as_json:
            values = _failure(answer) if isinstance(answer, NotMeasured) else answer
            write(context, f"{json.dumps(values)}\n")
    if not as_json:
        _print(costs, context)
    return 0 if any(isinstance(cost, Cost) for cost in costs) else int(codes[0])


def _answer(
    kind: str, question: Mapping[str, Any], context: Context, codes: list[int]
) -> dict[str, Any] | NotMeasured:
    def tell(progress: Mapping[str, Any]) -> None:
        done, total = progress.get("done"), progress.get("total")
        context.say(shown(f"{kind}: {step_words(str(progress.get('stage', '')), done, total)}"))

    try:
        answer = ask(question, context, seconds=_SECONDS, progress=tell)
    except QueryError as error:
        codes.append(error.exit_code)
        return not_measured(kind, error)
    return {name: value for name, value in answer.items() if name != "type"}


def _failure(reason: NotMeasured) -> dict[str, str]:
    return {"kind": reason.kind, "error": reason.message, "hint": reason.hint}


def _print(costs: Sequence[Cost | NotMeasured], context: Context) -> None:
    rows = list(cost_rows(costs))
    if rows:
        write(context, "".join(f"{text}\n" for text in table(HEAD, rows, right=RIGHT)))
    for note in cost_notes(costs):
        context.say(shown(note))
