"""The process that does a run's work: `python -m core.worker RUN --attempt N`.

The only place that catches everything: whatever ends a phase becomes one event and one exit code.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
import traceback
from pathlib import Path
from typing import assert_never

from core.config.phases import PrepareConfig, PretrainConfig, SFTConfig
from core.errors import ExitCode, FootplateError, OutOfMemoryError, StorageError
from core.run import faults
from core.run.directory import RunDirectory
from core.run.event_log import EventWriter
from core.run.events import Failed
from core.run.overrides import Resolved, resolved_config
from core.run.session import Session

DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EFBIG}
OUTCOMES = {"finished": ExitCode.DONE, "asked": ExitCode.DONE, "preempted": ExitCode.PREEMPTED}


def main(arguments: list[str] | None = None) -> int:
    """Do the work of one attempt and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m core.worker")
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int, required=True)
    options = parser.parse_args(arguments)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats its sums only with this
    faults.activate(os.environ.get("FOOTPLATE_FAULT", ""))
    run = RunDirectory(options.run)
    try:
        resolved = resolved_config(run)
    except FootplateError as error:
        return _failed_early(run, options.attempt, error)
    session = Session.open(run, resolved.config, options.attempt)
    try:
        return OUTCOMES[run_phase(resolved, session)]
    except Exception as error:
        return _failed(session, error)
    finally:
        session.close()


def run_phase(resolved: Resolved, session: Session) -> str:
    """Run the phase that the configuration names."""
    match resolved.config:
        case PrepareConfig() as config:
            from core.phases import prepare

            return prepare.run(config, session)
        case PretrainConfig() as config:
            from core.phases import pretrain

            return pretrain.run(config, session, allow_inexact=resolved.allow_inexact)
        case SFTConfig() as config:
            from core.phases import sft

            return sft.run(config, session, allow_inexact=resolved.allow_inexact)
        case _ as never:
            assert_never(never)


def _failed_early(run: RunDirectory, attempt: int, error: FootplateError) -> int:
    """Say that there is no configuration to work by; without one there is no session."""
    print(f"error: {error}", file=sys.stderr)
    writer = EventWriter(run.events, attempt)
    writer.write(Failed(exit_code=int(error.exit_code), message=error.message, hint=error.hint))
    writer.close()
    return int(error.exit_code)


def _failed(session: Session, error: Exception) -> int:
    known = _as_footplate_error(error)
    if known is None:
        traceback.print_exc()
        known = FootplateError(
            f"unexpected {type(error).__name__}: {error}",
            hint=f"This is a bug of Footplate; the traceback is in {session.run.attempt(session.attempt).log}.",
        )
    else:
        print(f"error: {known}", file=sys.stderr)
    session.emit(
        Failed(exit_code=int(known.exit_code), message=known.message, hint=known.hint, step=session.step)
    )
    return int(known.exit_code)


def _as_footplate_error(error: Exception) -> FootplateError | None:
    if isinstance(error, FootplateError):
        return error
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower() or "can't allocate memory" in str(error):
        return OutOfMemoryError(f"no memory left: {_memory_words()}{str(error).splitlines()[0]}", hint=MEMORY_HINT)
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        where = error.filename or "a file of the run"
        return StorageError(f"{where}: {error.strerror}", hint="Free some space, then resume the run.")
    return None


MEMORY_HINT = (
    "Lower batch.micro_size (batch.size stays, accumulation grows), set model.gradient_checkpointing: true, or lower "
    "batch.sequence_length."
)


def _memory_words() -> str:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        import resource

        return f"this process held at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB; "
    peak, reserved = torch.cuda.max_memory_allocated(), torch.cuda.memory_reserved()
    return f"at most {peak / 1e9:.2f} GB allocated, {reserved / 1e9:.2f} GB reserved; "


if __name__ == "__main__":
    sys.exit(main())
