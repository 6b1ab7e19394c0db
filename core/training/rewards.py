"""What responses are worth: the rewards of a configuration as functions of answered prompts."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol, assert_never

import torch
from tokenizers import Tokenizer

from core.config.rewards import Classifier, CodeTests, ExactAnswer, Pattern, PythonReward, Reward, RewardModelRun
from core.data.manifest import Manifest
from core.data.tokens.templates import render_prompt
from core.errors import DataError, UsageError
from core.model.responses import Response
from core.run.directory import Home
from core.training.answers import Find, expected_answer, found_answer, same_answer
from core.training.device import Dtype
from core.training.python_reward import python_reward

if TYPE_CHECKING:
    from core.model.roles import Role


@dataclass(frozen=True)
class Answered:
    """A response with the prompt that it answers.

    prompt, text: decoded, the text without the token that ends it. answer: of the row, None where it has none.
    """

    prompt_ids: tuple[int, ...]
    response: Response
    prompt: str
    text: str
    answer: str | None


@dataclass(frozen=True)
class Policy:
    """How the policy's data became tokens."""

    tokenizer_folder: Path
    manifest: Manifest

    def bare_prompts(self) -> Callable[[str], str]:
        """Return what takes the template away from the text of a prompt, for those who know nothing of it.

        Of a conversation with several turns, or a prompt that lost its start, what stands in between stays.
        """
        ids = render_prompt(self.tokenizer_folder, self.manifest.template, _MARK, self.manifest.code_tokens)
        tokenizer = Tokenizer.from_file(str(self.tokenizer_folder / "tokenizer.json"))
        before, _, behind = tokenizer.decode(ids, skip_special_tokens=False).partition(_MARK)
        return lambda text: text.removeprefix(before).removesuffix(behind)


_MARK = "Footplate"


class RewardSource(Protocol):
    """One entry of `rewards`."""

    @property
    def name(self) -> str:
        """What a person calls it, in messages and metrics."""

    @property
    def digest(self) -> str:
        """What a resume must find unchanged besides the configuration: of a file or of weights; "" where nothing."""

    @property
    def model(self) -> torch.nn.Module | None:
        """A model that stands in memory for this alone; None where there is none, or where it shares another's base."""

    def __call__(self, answered: Sequence[Answered]) -> list[float]:
        """Return a reward for each response, which may be NaN where there is none. Raises: UsageError, DataError."""


def reward_sources(
    rewards: Sequence[Reward],
    *,
    home: Home,
    tokenizer_folder: Path,
    manifest: Manifest,
    device: torch.device,
    dtype: Dtype,
    roles: Mapping[str, Role],
) -> list[RewardSource]:
    """Return what gives the rewards of a configuration, in its order, loaded and checked.

    roles: those reward runs, by the name that the configuration gives, that share the policy's base. tokenizer_folder
    and manifest are of the policy's data.
    Raises: UsageError where a run, a model, a file or a pattern does not hold, or where a reward model was trained with
    another tokenizer or template than the policy's.
    """
    policy = Policy(tokenizer_folder, manifest)

    def source(place: str, reward: Reward) -> RewardSource:
        match reward:
            case RewardModelRun():
                from core.training.model_rewards import run_reward

                return run_reward(reward, home, policy, device=device, dtype=dtype, role=roles.get(reward.run))
            case Classifier():
                from core.training.model_rewards import classifier_reward

                return classifier_reward(reward, policy, device=device)
            case PythonReward():
                return python_reward(reward, policy.bare_prompts(), place=place)
            case ExactAnswer():
                return ExactSource(reward.find)
            case Pattern():
                return PatternSource.of(reward)
            case CodeTests():
                raise UsageError(
                    f"{place}: code_tests is not there yet: it needs a sandbox",
                    hint="Take another reward; a regex can ask for the form of the code.",
                )
            case _:
                assert_never(reward)

    return [source(f"rewards.{number}", reward) for number, reward in enumerate(rewards)]


@dataclass(frozen=True)
class ExactSource:
    """1 where the response's answer is that of the row, else 0."""

    find: Find
    name: str = "exact"
    digest: str = ""
    model: None = None

    def __call__(self, answered: Sequence[Answered]) -> list[float]:
        """Return 1 or 0 for each. Raises: DataError where a row has no answer."""
        return [float(self._is_right(one)) for one in answered]

    def _is_right(self, one: Answered) -> bool:
        expected = None if one.answer is None else expected_answer(one.answer, self.find)
        if expected is None:
            raise DataError(
                f"reward exact: expected a row with an answer, found none for the prompt {one.prompt[-200:]!r}",
                hint="Every row of prompts needs the answer that is compared with, or take another reward.",
            )
        found = found_answer(one.text, self.find)
        return found is not None and same_answer(found, expected)


_PATTERN_SECONDS = 10.0
"""Of processor time for one response."""


@dataclass(frozen=True)
class PatternSource:
    """1 where a regular expression is found in the response, else 0."""

    pattern: re.Pattern[str]
    seconds: float = _PATTERN_SECONDS
    name: str = "regex"
    digest: str = ""
    model: None = None

    @classmethod
    def of(cls, reward: Pattern) -> PatternSource:
        """Compile the pattern of a configuration. Raises: UsageError."""
        try:
            return cls(re.compile(reward.pattern, re.DOTALL))
        except (re.error, OverflowError, RecursionError) as error:
            raise UsageError(f"rewards: the pattern {reward.pattern!r} is no regular expression: {error}") from error

    def __call__(self, answered: Sequence[Answered]) -> list[float]:
        """Return 1 or 0 for each.

        Some patterns, such as (a+)+b, need a time that grows exponentially with the text. Python's engine lets signals
        through while it searches, so such a search ends with an error and not never. In another than the main thread
        there are no signals, and no limit.
        Raises: UsageError where one response takes longer than the limit.
        """
        found = []
        for one in answered:
            with _at_most(self.seconds, f"the pattern {self.pattern.pattern!r}", one.text):
                found.append(float(self.pattern.search(one.text) is not None))
        return found


@contextmanager
def _at_most(seconds: float, what: str, text: str) -> Iterator[None]:
    """Raise UsageError once this process has computed for so long in the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: object) -> NoReturn:
        raise UsageError(
            f"rewards: {what} took more than {seconds:g} s on a response of {len(text)} characters",
            hint="Repetitions inside repetitions, such as (a+)+, take exponential time: write it without.",
        )

    # Processor time: a machine that sleeps or swaps ends nothing.
    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
