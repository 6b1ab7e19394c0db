from __future__ import annotations

from typing import get_args

import pytest

from core.config.measurable import check_measurable
from core.config.phases import Config
from core.errors import UsageError


def test_every_phase_is_measured_or_says_why_not() -> None:
    measured = []
    for config in get_args(Config):
        (phase,) = get_args(config.model_fields["phase"].annotation)
        try:
            check_measurable(phase)
            measured.append(phase)
        except UsageError as error:
            assert phase in error.message
            assert "pretrain, sft" in error.hint
    assert measured == ["pretrain", "sft"]


def test_a_rollout_says_what_makes_it_unpredictable() -> None:
    with pytest.raises(UsageError, match="responses that are written"):
        check_measurable("grpo")
