"""Rewards of a configuration: exact answers, patterns, and how several are added."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter

from core.config.rewards import Pattern, Reward
from core.errors import DataError, UsageError
from core.model.responses import Response
from core.run.directory import Home
from core.training.rewards import Answered, PatternSource, RewardSource, reward_sources

GSM8K = "He sold 16 - 3 = <<16-3=13>>13 eggs.\n#### 13"


def rewards_of(*rewards: dict[str, Any]) -> list[Reward]:
    return TypeAdapter(list[Reward]).validate_python(list(rewards))


def sources_of(*rewards: dict[str, Any]) -> list[RewardSource]:
    manifest: Any = None  # of the policy's data: only reward models ask for it
    return reward_sources(
        rewards_of(*rewards), home=Home(Path("/nowhere")), tokenizer_folder=Path("/nowhere"), manifest=manifest,
        device=torch.device("cpu"), dtype="fp32", roles={},
    )  # fmt: skip


def answered(*texts: str, answer: str | None = None) -> list[Answered]:
    return [Answered((1,), Response((1,), (2,), True), "How many?", text, answer) for text in texts]


def test_exact_answers() -> None:
    texts = "So it is 13.", "#### 13", r"\boxed{13}", "13.0", "12", "nothing"
    asked = answered(*texts, answer=GSM8K)
    finds = "last_number", "after_hashes", "boxed", "whole"
    found = {find: sources_of({"kind": "exact", "find": find})[0](asked) for find in finds}
    assert found == {
        "last_number": [1.0, 1.0, 1.0, 1.0, 0.0, 0.0],
        "after_hashes": [0.0, 1.0, 0.0, 0.0, 0.0, 0.0],
        "boxed": [0.0, 0.0, 1.0, 0.0, 0.0, 0.0],
        "whole": [0.0, 0.0, 0.0, 1.0, 0.0, 0.0],
    }


@pytest.mark.parametrize("answer", [None, "", "  "])
def test_exact_answers_need_a_row_with_an_answer(answer: str | None) -> None:
    with pytest.raises(DataError, match=r"expected a row with an answer, found none for the prompt 'How many\?'"):
        sources_of({"kind": "exact"})[0](answered("13", answer=answer))


def test_a_pattern_is_searched_for_over_lines() -> None:
    source = sources_of({"kind": "regex", "pattern": "<think>.*</think>"})[0]
    assert source(answered("a <think>\nb\n</think>", "<think>", "")) == [1.0, 0.0, 0.0]
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_what_is_no_pattern_is_said() -> None:
    with pytest.raises(UsageError, match=r"the pattern '\(' is no regular expression: missing \)"):
        sources_of({"kind": "regex", "pattern": "("})


def test_a_pattern_that_takes_exponential_time_ends_with_an_error() -> None:
    before = signal.getsignal(signal.SIGVTALRM)
    source = PatternSource(PatternSource.of(Pattern(kind="regex", pattern="(a+)+b")).pattern, seconds=0.2)
    begin = time.perf_counter()
    with pytest.raises(UsageError, match=r"'\(a\+\)\+b' took more than 0.2 s on a response of 60 characters"):
        source(answered("a" * 60))
    assert time.perf_counter() - begin < 30
    assert signal.getsignal(signal.SIGVTALRM) == before
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)


def test_code_tests_wait_for_a_sandbox() -> None:
    with pytest.raises(UsageError, match="needs a sandbox"):
        sources_of({"kind": "code_tests"})
