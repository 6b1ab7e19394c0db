"""Which phases can be measured before they are run, and why others cannot."""

from __future__ import annotations

from core.errors import UsageError

_WRITES = (
    "cannot be measured: most of its time goes into the responses that are written before it, and how long those become"
    " is up to the model"
)
_WHY_NOT = {
    "prepare": "a prepare preset trains nothing",
    "pipeline": "a pipeline trains nothing by itself; each of its stages would have to be measured as a preset",
    "reward": "a step of the phase reward cannot be measured yet",
    "dpo": "a step of the phase dpo cannot be measured yet",
    "ppo": f"a step of the phase ppo {_WRITES}",
    "grpo": f"a step of the phase grpo {_WRITES}",
}


def is_measurable(phase: str) -> bool:
    """Tell whether a phase's steps are measured."""
    return phase not in _WHY_NOT


def check_measurable(phase: str) -> None:
    """Raise UsageError, with the reason, where a phase's steps are not measured."""
    if not is_measurable(phase):
        raise UsageError(_WHY_NOT[phase], hint="Phases that can be measured: pretrain, sft.")
