"""Which phases can be measured."""

from __future__ import annotations

from typing import get_args

import pytest

from core.config.measurable import check_measurable
from core.config.phases import Config
from core.errors import UsageError

PHASES = [get_args(config.model_fields["phase"].annotation)[0] for config in get_args(Config)]


@pytest.mark.parametrize("phase", PHASES)
def test_every_phase_is_measured_or_says_why_not(phase: str) -> None:
    if phase in ("pretrain", "sft"):
        check_measurable(phase)
        return
    with pytest.raises(UsageError, match=phase) as caught:
        check_measurable(phase)
    assert caught.value.hint == "Phases that can be measured: pretrain, sft."


def test_a_rollout_says_what_makes_it_unpredictable() -> None:
    with pytest.raises(UsageError, match="responses that are written"):
        check_measurable("grpo")
