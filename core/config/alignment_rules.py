"""Rules between the fields of reward, dpo, ppo and grpo presets; see core/config/rules.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.config.partial import Partial
from core.config.yaml_text import shown
from core.errors import Problem


def _code_tests(draft: Partial) -> Iterator[Problem]:
    for index, reward in enumerate(draft.list_at("rewards")):
        if isinstance(reward, dict) and reward.get("kind") == "code_tests":
            message = "must be another one: code is not run before there is a sandbox for it"
            yield Problem(f"rewards.{index}.kind", message, found=shown("code_tests"))


ALIGNMENT_RULES: tuple[Callable[[Partial], Iterator[Problem]], ...] = (_code_tests,)
