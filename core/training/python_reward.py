"""Rewards from a function in a file of the user's."""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from core.config.rewards import PythonReward
from core.errors import UsageError, is_out_of_memory

if TYPE_CHECKING:
    from core.training.rewards import Answered


@dataclass(frozen=True)
class PythonSource:
    """function(prompts, responses, answers): three lists of one length, which gives a list of numbers.

    bare: takes the template away from a prompt.
    """

    path: Path
    function: Callable[[list[str], list[str], list[str | None]], Any]
    bare: Callable[[str], str]
    name: str
    digest: str
    model: None = None

    def __call__(self, answered: Sequence[Answered]) -> list[float]:
        """Return a number for each, NaN where the function gives that.

        Raises: UsageError naming file and function where it fails or gives anything else.
        """
        prompts = [self.bare(one.prompt) for one in answered]
        lists = prompts, [one.text for one in answered], [one.answer for one in answered]
        try:
            returned = self.function(*lists)
        except (Exception, SystemExit) as error:  # not our code: whatever it raises is said
            if is_out_of_memory(error):
                raise
            raise self._wrong(f"raised {_words(error, self.path)}") from error
        values = returned.tolist() if hasattr(returned, "tolist") else returned
        if not isinstance(values, list | tuple):
            raise self._wrong(f"returned {_shown(returned)}, expected a list of {len(answered)} numbers")
        if len(values) != len(answered):
            raise self._wrong(f"returned {len(values)} values, expected {len(answered)}: one for each response")
        return [self._number(value, place) for place, value in enumerate(values)]

    def _number(self, value: object, place: int) -> float:
        value = value.item() if hasattr(value, "item") else value
        if not isinstance(value, int | float) or (isinstance(value, int) and abs(value) > sys.float_info.max):
            raise self._wrong(f"returned {_shown(value)} at index {place}, expected a number")
        return float(value)

    def _wrong(self, what: str) -> UsageError:
        return UsageError(
            f"{self.path}: {self.name} {what}",
            hint="It is called as function(prompts, responses, answers) and must give a list of numbers. Mend the "
            "file, then resume the run; from a checkpoint it goes on with a changed file only with --allow-inexact.",
        )


def python_reward(reward: PythonReward, bare: Callable[[str], str], *, place: str) -> PythonSource:
    """Run the file and return its function; the digest is the SHA-256 of the very bytes that were run.

    bare: takes the template away from a prompt. place: of the reward in the configuration, such as rewards.0.
    The file's folder is not where it may import from: what lies beside it would not be part of the digest.
    Raises: UsageError where there is no such file or function, or where running the file fails.
    """
    path = Path(reward.path).expanduser().absolute()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{place}.path: {path} cannot be read: {error.strerror}") from error
    digest = hashlib.sha256(content).hexdigest()
    module = ModuleType(f"reward_{digest[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look for the names of their fields' types
    try:
        exec(compile(content, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # not our code: whatever it raises is said
        if is_out_of_memory(error):
            raise
        raise UsageError(f"{path}: running it raised {_words(error, path)}", hint="Mend the file.") from error
    function = getattr(module, reward.function, None)
    if not callable(function):
        what = "has no function" if function is None else f"has {_shown(function)}, which is no function, as"
        raise UsageError(f"{path} {what} {reward.function}", hint=f"Name it in {place}.function.")
    return PythonSource(path, function, bare, reward.function, digest)


def _words(error: BaseException, path: Path) -> str:
    """Return kind, message and, where the error came from the file, the line there."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{type(error).__name__}: {error}" + (f" (line {lines[-1]})" if lines else "")


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text[:100]}{'...' if len(text) > 100 else ''} ({type(value).__name__})"
