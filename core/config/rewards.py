"""Where the reward of a response comes from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.section import Section


class _Reward(Section):
    weight: float = Field(default=1.0, ge=-1e6, le=1e6)
    """The rewards of a response are added by weight."""


class RewardModelRun(_Reward):
    """The score of a reward model that an earlier run trained, with the tokenizer and template of the policy."""

    kind: Literal["run"]
    run: str = Field(min_length=1, max_length=4096)
    """Name of a finished reward run."""


class Classifier(_Reward):
    """The first logit of a sequence classifier in the Hugging Face layout, which reads with its own tokenizer."""

    kind: Literal["classifier"]
    path: str = Field(min_length=1, max_length=4096)
    """A folder, or a name on the hub. Code that comes with a model is never run."""


class PythonReward(_Reward):
    """A function in a file of yours: function(prompts, responses, answers), three lists, gives a list of numbers.

    Prompts come without their template; answers are those of the rows, None where a row has none. A response for which
    it gives NaN teaches nothing. The file is run in the training process with all its rights. Its hash is part of what
    a resume must find unchanged.
    """

    kind: Literal["python"]
    path: str = Field(min_length=1, max_length=4096)
    """The Python file."""
    function: str = Field(default="reward", pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,99}$")
    """Name of the function in it."""


class ExactAnswer(_Reward):
    """1 where the response's answer is that of the row, else 0; numbers are compared as numbers."""

    kind: Literal["exact"]
    find: Literal["last_number", "after_hashes", "boxed", "whole"] = "last_number"
    """What of the response is its answer: its last number, what stands behind ####, what stands in \\boxed{}, or all of
    it. The row's answer is read in the same way (behind #### where it has that, as in GSM8K)."""


class Pattern(_Reward):
    """1 where a regular expression is found in the response, else 0."""

    kind: Literal["regex"]
    pattern: str = Field(min_length=1, max_length=10_000)
    """A Python regular expression, searched for anywhere in the response; . matches line ends too."""


class CodeTests(_Reward):
    """1 where the response's code passes the row's tests. Not there yet: it needs a sandbox."""

    kind: Literal["code_tests"]


Reward = Annotated[
    RewardModelRun | Classifier | PythonReward | ExactAnswer | Pattern | CodeTests, Field(discriminator="kind")
]
