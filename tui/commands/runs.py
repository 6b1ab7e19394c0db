"""`runs`, `logs`, `stop` and `checkpoint`: runs that exist."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator

from core.errors import CheckpointError, ExitCode, UsageError
from core.run.control import request
from core.run.directory import AttemptDirectory, RunDirectory
from core.run.event_log import EventReader
from core.run.events import RequestHandled
from core.run.private import open_file
from core.run.runs import find_run, list_runs
from core.run.stages import Branch, as_tree, read_stages
from core.run.status import read_status
from tui.commands.context import Context
from tui.commands.display import write
from tui.commands.ending import exit_code_of, has_ended, is_at_work, wait_for_end
from tui.commands.output import shown, table
from tui.services.run_list import RunRow, RunSummary, age_seconds
from tui.services.safe_text import safe
from tui.services.words import age_text, value_text

_POLL_SECONDS = 0.25
_CHUNK_BYTES = 1 << 16


def runs(context: Context, *, as_json: bool) -> int:
    """Print all runs, newest first: phase, status, step, loss, and how long ago each gave a sign of life.

    Runs of stages stand below their pipeline.
    """
    rows = [(branch, RunSummary(branch.run).row()) for branch in as_tree(list_runs(context.home))]
    if as_json:
        for branch, row in rows:
            print(json.dumps(_as_dict(branch, row, context)), file=context.output)
        return 0
    if not rows:
        context.say(f"There are no runs in {shown(str(context.home.runs))}. `footplate run quickstart` starts one.")
        return 0
    cells = [
        (f"  {row.name}" if branch.stage else row.name, row.phase, row.state.word, _step(row), _number(row.loss),
         _number(row.evaluation), age_text(age_seconds(row)))
        for branch, row in rows
    ]  # fmt: skip
    head = ("run", "phase", "status", "step", "loss", "held-out", "age")
    for text in table(head, cells, right=frozenset({3, 4, 5, 6})):
        print(text, file=context.output)
    return 0


def logs(text: str, context: Context, *, follow: bool) -> int:
    """Print what the worker of the newest attempt wrote, and with `follow` what it writes until the run ends."""
    run = find_run(context.home, text)
    attempts = run.attempts()
    if not attempts:
        context.say(f"{shown(run.name)} was never started, so it has written nothing.")
        return 0
    if len(attempts) > 1:
        context.say(f"attempt {attempts[-1].number} of {len(attempts)}")
    for line in _lines(run, attempts[-1], follow=follow):
        write(context, f"{safe(line.rstrip(chr(13)).rsplit(chr(13), 1)[-1])}\n")  # what a progress bar drew last
    status = read_status(run)
    if status.word in ("failed", "lost"):
        context.say(f"{shown(run.name)}: {shown(status.words)}")  # who was killed has written nothing of it
    for stage, made in read_stages(run).items():
        context.say(f"stage {shown(stage)} has a log of its own: footplate logs {shown(made.run)}")
    return 0


def stop(text: str, context: Context, *, wait: bool) -> int:
    """Ask a run to save a checkpoint and end; with `wait` return its exit code once it has."""
    run = find_run(context.home, text)
    name = shown(run.name)
    status = read_status(run)
    if not is_at_work(status):
        context.say(f"{name} is not running: {shown(status.words)}")
        return 0
    request(run, "stop")
    context.say(f"Asked {name} to stop. It keeps what is done first.")
    if not wait:
        return 0
    status = wait_for_end(run)
    context.say(f"{name}: {shown(status.words)}")
    return exit_code_of(status)


def checkpoint(text: str, context: Context, *, wait: bool) -> int:
    """Ask a run to save a checkpoint now; with `wait` return once it lies on the disk.

    The worker answers once it has saved or failed to. Raises: UsageError where the run is not running; CheckpointError
    where nothing was saved, or the run ended before it came to the request.
    """
    run = find_run(context.home, text)
    status = read_status(run)
    if not is_at_work(status):
        raise UsageError(f"{run.name} is not running, so it has nothing new to save ({status.words})", hint=_kept(run))
    reader = EventReader(run.events)
    nonce = request(run, "checkpoint")
    context.say(f"Asked {shown(run.name)} for a checkpoint.")
    if not wait:
        return 0
    answer = _answer(run, reader, nonce)
    if answer is None:
        raise CheckpointError(f"{run.name} ended before it came to the request", hint=read_status(run).words)
    if not answer.accepted:
        words = answer.message or "without a reason"
        raise CheckpointError(f"{run.name} saved no checkpoint: {words}", hint=f"See footplate logs {run.name}.")
    context.say(f"{shown(run.name)} saved a checkpoint: {shown(answer.message or 'done')}.")
    return int(ExitCode.DONE)


def _kept(run: RunDirectory) -> str:
    stages = read_stages(run)
    if stages:
        return f"Its stages keep checkpoints of their own: {', '.join(stage.run for stage in stages.values())}."
    return f"Its checkpoints lie in {run.checkpoints}."


def _answer(run: RunDirectory, reader: EventReader, nonce: str) -> RequestHandled | None:
    """Return what became of a request; None where the run ended without an answer."""
    while True:
        ended = has_ended(read_status(run))
        while events := reader.read():
            for event in events:
                if isinstance(event, RequestHandled) and event.nonce == nonce:
                    return event
        if ended:
            return None
        time.sleep(_POLL_SECONDS)


def _lines(run: RunDirectory, attempt: AttemptDirectory, *, follow: bool) -> Iterator[str]:
    """Yield the lines of a log; half a line waits for its rest for as long as there may be one."""
    try:
        descriptor = open_file(attempt.log, os.O_RDONLY, root=run.path)
    except FileNotFoundError:
        return
    rest = b""
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        while True:
            goes_on = follow and not has_ended(read_status(run))
            while data := file.read(_CHUNK_BYTES):
                *whole, rest = (rest + data).split(b"\n")
                yield from (line.decode("utf-8", "replace") for line in whole)
                if len(rest) > _CHUNK_BYTES:
                    yield rest.decode("utf-8", "replace")
                    rest = b""
            if not goes_on:
                break
            time.sleep(_POLL_SECONDS)
    if rest:
        yield rest.decode("utf-8", "replace")


def _step(row: RunRow) -> str:
    if row.step is None:
        return row.progress
    return f"{row.step:,}" if row.steps is None else f"{row.step:,}/{row.steps:,}"


def _number(value: float | None) -> str:
    return "" if value is None else value_text(value)


def _as_dict(branch: Branch, row: RunRow, context: Context) -> dict[str, str | int | float | bool | None]:
    def finite(value: float | None) -> float | str | None:
        return value if value is None or abs(value) < float("inf") else str(value)

    return {
        "run": row.name,
        "path": str(context.home.runs / row.name),
        "pipeline": branch.pipeline or None,
        "stage": branch.stage or None,
        "status": row.state.word,
        "words": row.state.words,
        "phase": row.phase,
        "attempt": row.state.attempt,
        "exit_code": row.state.exit_code,
        "step": row.step,
        "steps": row.steps,
        "loss": finite(row.loss),
        "held_out_loss": finite(row.evaluation) if row.evaluated.endswith("/loss") else None,
        "held_out": finite(row.evaluation),
        "held_out_series": row.evaluated or None,
        "exact": row.exact,
        "age_seconds": round(age_seconds(row), 1),
    }
