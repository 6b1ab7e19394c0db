"""What follows from the numbers of a configuration."""

from __future__ import annotations

from core.config.derived import derived_numbers
from core.config.presets import Draft, resolve
from tests.core.config.cases import alignment, pipeline, prepare, text_data


def test_what_is_not_known_as_tokens_is_counted_in_pairs_and_rollouts() -> None:
    config = resolve(Draft(alignment("ppo", ppo={"epochs": 3})))
    assert derived_numbers(config) == {"micro_batches_per_step": 2, "steps_per_rollout": 6, "rollouts_in_all": 2}
    assert derived_numbers(resolve(Draft(alignment("dpo")))) == {"micro_batches_per_step": 2, "pairs_in_all": 80}


def test_where_nothing_is_trained_nothing_follows() -> None:
    assert derived_numbers(resolve(Draft(pipeline(alignment("dpo"))))) == {}
    assert derived_numbers(resolve(Draft(prepare(text_data())))) == {}
