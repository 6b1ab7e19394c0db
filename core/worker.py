"""The process that does a run's work: `python -m core.worker RUN --attempt N`.

The only place that catches everything: whatever ends a phase becomes one event and one exit code.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import traceback
from pathlib import Path
from typing import assert_never

from core.config.phases import (
    DPOConfig,
    GRPOConfig,
    PipelineConfig,
    PPOConfig,
    PrepareConfig,
    PretrainConfig,
    RewardConfig,
    SFTConfig,
)
from core.errors import ExitCode, FootplateError, OutOfMemoryError, StorageError, disk_errno, is_out_of_memory
from core.run import faults
from core.run.directory import RunDirectory
from core.run.event_log import EventWriter
from core.run.events import Failed
from core.run.overrides import Resolved, resolved_config
from core.run.session import Session

OUTCOMES = {"finished": ExitCode.DONE, "asked": ExitCode.DONE, "preempted": ExitCode.PREEMPTED}


def main(arguments: list[str] | None = None, *, is_process: bool = False) -> int:
    """Do the work of one attempt and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m core.worker")
    parser.add_argument("run", type=Path)
    parser.add_argument("--attempt", type=int, required=True)
    options = parser.parse_args(arguments)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS repeats its sums only with this
    run = RunDirectory(options.run)
    try:
        faults.activate(os.environ.get("FOOTPLATE_FAULT", ""))
        resolved = resolved_config(run)
        session = Session.open(run, resolved.config, options.attempt)
    except Exception as error:
        return _failed_early(run, options.attempt, error)
    try:
        return OUTCOMES[run_phase(resolved, session)]
    except Exception as error:
        return _failed(session, error)
    finally:
        session.close(ends_process=is_process)


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
        case RewardConfig() as config:
            from core.phases import reward

            return reward.run(config, session, allow_inexact=resolved.allow_inexact)
        case DPOConfig() as config:
            from core.phases import dpo

            return dpo.run(config, session, allow_inexact=resolved.allow_inexact)
        case PPOConfig() as config:
            from core.phases import ppo

            return ppo.run(config, session, allow_inexact=resolved.allow_inexact)
        case GRPOConfig() as config:
            from core.phases import grpo

            return grpo.run(config, session, allow_inexact=resolved.allow_inexact)
        case PipelineConfig() as config:
            from core.phases import pipeline

            return pipeline.run(config, session, allow_inexact=resolved.allow_inexact)
        case _ as never:
            assert_never(never)


def _failed_early(run: RunDirectory, attempt: int, error: Exception) -> int:
    """Say why there is no session: a configuration that does not hold, or files of the run that cannot be opened."""
    known = _told(error, run.attempt(attempt).log)
    with contextlib.suppress(Exception):  # the log may be what cannot be opened
        writer = EventWriter(run.events, attempt)
        writer.write(Failed(exit_code=int(known.exit_code), message=known.message, hint=known.hint))
        writer.close()
    return int(known.exit_code)


def _failed(session: Session, error: Exception) -> int:
    known = _told(error, session.run.attempt(session.attempt).log)
    session.emit(Failed(exit_code=int(known.exit_code), message=known.message, hint=known.hint, step=session.step))
    return int(known.exit_code)


def _told(error: Exception, log: Path) -> FootplateError:
    """Print an error, a bug with its traceback, and return it as one of ours."""
    known = _as_footplate_error(error)
    try:
        if known is not None:
            print(f"error: {known}", file=sys.stderr)
            return known
        traceback.print_exception(error)
    except OSError:  # the log is on the disk that is full; what waits in this stream must not be tried again at exit
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
        if known is not None:
            return known
    return FootplateError(
        f"unexpected {type(error).__name__}: {error}",
        hint=f"This is a bug of Footplate; the traceback is in {log}.",
    )


def _as_footplate_error(error: Exception) -> FootplateError | None:
    if isinstance(error, FootplateError):
        return error
    if is_out_of_memory(error):
        return OutOfMemoryError(f"no memory left: {_memory_words()}{_first_line(error)}", hint=MEMORY_HINT)
    if disk_errno(error) is not None:
        where = getattr(error, "filename", None) or "a file of the run"
        return StorageError(f"{where}: {_first_line(error)}", hint="Free some space, then resume the run.")
    return None


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


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
    sys.exit(main(is_process=True))
