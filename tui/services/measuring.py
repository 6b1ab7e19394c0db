"""What full, LoRA and QLoRA cost on this machine: which configurations are measured, and the answers as a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.config.drafts import Draft, set_value
from core.config.measurable import check_measurable
from core.config.paths import find_paths
from core.config.presets import draft_of, dump_config, resolve
from core.errors import ConfigurationError, FootplateError
from core.run.directory import Home
from core.run.launch import child_environment, make_home
from tui.services.safe_text import size_words
from tui.services.words import count_text

KINDS = ("full", "lora", "qlora")
HEAD = ("adapter", "tok/s", "", "peak memory", "", "weights", "moments", "trained")
RIGHT = frozenset(range(1, len(HEAD)))


@dataclass(frozen=True)
class Cost:
    """What a kind of training took; bytes of the whole process (of the GPU where there is one), weights, moments."""

    kind: str
    tokens_per_second: float
    peak_memory_bytes: float
    weight_bytes: float
    optimizer_bytes: float
    trainable_parameters: float
    parameters: float
    setting: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Cost:
        """Return the helper's answer; a number that it does not give is 0."""
        numbers = {name: _number(answer.get(name)) for name in _NUMBERS}
        return cls(kind=str(answer.get("kind", "")), setting="; ".join(_setting(answer)), **numbers)


_NUMBERS = (
    "tokens_per_second", "peak_memory_bytes", "weight_bytes", "optimizer_bytes", "trainable_parameters", "parameters",
)  # fmt: skip


@dataclass(frozen=True)
class NotMeasured:
    """A kind that cannot run here, and why."""

    kind: str
    message: str
    hint: str = ""


def questions(draft: Draft, overrides: Sequence[str], home: Home, *, steps: int) -> list[dict[str, Any] | NotMeasured]:
    """Return for each of KINDS what to ask the helper, or why it cannot be trained.

    Raises: ConfigurationError where the preset does not hold as it is; UsageError where its phase is not measured.
    """
    own = draft_of(resolve(draft, overrides)).values
    check_measurable(str(own["phase"]))
    _placed(Draft(own), home)
    found: list[dict[str, Any] | NotMeasured] = []
    for kind in KINDS:
        try:
            config = resolve(draft, [*overrides, f"adapter.kind={kind}"])
        except ConfigurationError as error:
            words = "; ".join(f"{problem.path} {problem.message}" for problem in error.problems)
            found.append(NotMeasured(kind, words))
            continue
        yaml = dump_config(resolve(_placed(draft_of(config), home)))
        found.append({"verb": "measure", "config": yaml, "steps": steps})
    return found


def _placed(draft: Draft, home: Home) -> Draft:
    """Return the draft with absolute paths. A source that is not there costs only that its tokens are not measured."""
    paths = find_paths(draft, Path.cwd(), runs=home.runs)
    wrong = [problem for place, problem in paths.problems.items() if place[:2] != ("data", "sources")]
    if wrong:
        raise ConfigurationError(wrong)
    for place, text in paths.texts.items():
        draft = set_value(draft, place, text)
    return draft


def measuring_environment(environment: Mapping[str, str], home: Home) -> dict[str, str]:
    """Return the environment that a run's worker would have, whose allocator is part of the speed.

    Raises: UsageError, StorageError where the home, in which it has its folders, cannot be made.
    """
    make_home(home)
    return {**child_environment(environment, home), "FOOTPLATE_HOME": str(home.path.absolute())}


def cost_rows(costs: Sequence[Cost | NotMeasured]) -> Iterator[tuple[str, ...]]:
    """Yield the cells of each kind that was measured; beside speed and memory stands the share of the first one's."""
    first = next((cost for cost in costs if isinstance(cost, Cost)), None)
    for cost in costs:
        if not isinstance(cost, Cost) or first is None:
            continue
        share = cost.trainable_parameters / cost.parameters if cost.parameters else 0.0
        yield (
            cost.kind,
            count_text(cost.tokens_per_second),
            _ratio(cost.tokens_per_second, first.tokens_per_second),
            size_words(int(cost.peak_memory_bytes)),
            _ratio(cost.peak_memory_bytes, first.peak_memory_bytes),
            size_words(int(cost.weight_bytes)),
            size_words(int(cost.optimizer_bytes)),
            f"{count_text(cost.trainable_parameters)} ({share:.1%})",
        )


def cost_notes(costs: Sequence[Cost | NotMeasured]) -> Iterator[str]:
    """Yield why kinds were not measured, and on what the others were, in words."""
    for cost in costs:
        if isinstance(cost, NotMeasured):
            yield f"{cost.kind}: {cost.message}{f'. {cost.hint}' if cost.hint else ''}"
    yield from dict.fromkeys(cost.setting for cost in costs if isinstance(cost, Cost))


def step_words(stage: str, done: object, total: object) -> str:
    """Return how far the helper is: loading, step 2 of 4."""
    return f"{stage} {_number(done):.0f} of {_number(total):.0f}" if _number(total) else stage


def not_measured(kind: str, error: FootplateError) -> NotMeasured:
    """Return an error as the reason of a kind."""
    return NotMeasured(kind, error.message, error.hint)


def _setting(answer: Mapping[str, Any]) -> Iterator[str]:
    micro, of = _number(answer.get("micro_batches")), _number(answer.get("accumulation"))
    steps, tokens = _counted(_number(answer.get("steps")), "step"), _number(answer.get("step_tokens"))
    part = f" ({micro:.0f} of its {of:,.0f} micro-batches)" if micro < of else ""
    yield f"{steps} of {tokens:,.0f} tokens{part} after a first one"
    yield f"{answer.get('dtype')} on {answer.get('device')}, {_counted(_number(answer.get('threads')), 'thread')}"
    yield str(answer.get("data", ""))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _counted(count: float, what: str) -> str:
    return f"{count:,.0f} {what}{'' if count == 1 else 's'}"


def _ratio(value: float, first: float) -> str:
    return f"{value / first:.2f} x" if first else ""
