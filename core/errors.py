"""What can go wrong for a user, and the exit code that each kind has.

    FootplateError              1   (raised only as one of the following)
    ├── UsageError              2   a command, a name or a path that does not hold
    │   └── ConfigurationError  2   a preset; carries every problem at once
    ├── RunHeldError            3   another process holds the run
    ├── CheckpointError         4   no checkpoint from which to go on
    ├── DataError               5   rows, documents, tokens
    ├── NumericError            6   a loss or a gradient that is not finite
    ├── OutOfMemoryError        7   the device or the machine
    └── StorageError            8   a full disk, or input and output that failed

The message says what was found and what was expected; the hint says what to do.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of every command and of a run."""

    DONE = 0
    UNEXPECTED = 1
    USAGE = 2
    HELD = 3
    CHECKPOINT = 4
    DATA = 5
    NUMERIC = 6
    MEMORY = 7
    STORAGE = 8
    PREEMPTED = 75


class FootplateError(Exception):
    """Something that a user can cause and mend."""

    exit_code: int = ExitCode.UNEXPECTED

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class UsageError(FootplateError):
    """A command, a name or a path that does not hold."""

    exit_code = ExitCode.USAGE


@dataclass(frozen=True)
class Problem:
    """One wrong value of a configuration.

    `path` is the field as a user writes it (`schedule.warmup_steps`), `line` counts from 1 and is None where the
    value came from no file; `found` is the value as text, "" where a field is missing.
    """

    path: str
    message: str
    found: str = ""
    nearest: str = ""
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}: " if self.file and self.line else f"{self.file}: " if self.file else ""
        found = f" (found {self.found})" if self.found else ""
        nearest = f"; did you mean {self.nearest}?" if self.nearest else ""
        return f"{place}{self.path or 'preset'}: {self.message}{found}{nearest}"


class ConfigurationError(UsageError):
    """A preset that does not hold; `problems` lists all that is wrong with it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class RunHeldError(FootplateError):
    """Another process works on this run."""

    exit_code = ExitCode.HELD


class CheckpointError(FootplateError):
    """There is no checkpoint from which to go on."""

    exit_code = ExitCode.CHECKPOINT


class DataError(FootplateError):
    """Rows, documents or tokens that cannot be used."""

    exit_code = ExitCode.DATA


class NumericError(FootplateError):
    """A loss or a gradient that is not finite, or a merge that changes what the model says."""

    exit_code = ExitCode.NUMERIC


class OutOfMemoryError(FootplateError):
    """The device or the machine has no memory left."""

    exit_code = ExitCode.MEMORY


class StorageError(FootplateError):
    """A full disk, or input and output that failed."""

    exit_code = ExitCode.STORAGE


_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})


def disk_errno(error: BaseException) -> int | None:
    """Return the number of the system's error by which a disk is full, fails or is read-only; None for any other.

    safetensors and tokenizers raise exceptions of their own, which say the number only in their text: "File too large
    (os error 27)" (the form in which Rust's std::io::Error shows itself).
    """
    if isinstance(error, OSError):
        number = error.errno
    else:
        said = re.search(r"\(os error (\d+)\)", str(error))
        number = int(said.group(1)) if said else None
    return number if number in _DISK_ERRORS else None


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the device or the machine has no memory left."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    words = ("out of memory", "can't allocate memory", "ALLOC_FAILED")  # as torch, its CPU allocator and cuBLAS say it
    return isinstance(error, RuntimeError) and any(word in str(error) for word in words)
