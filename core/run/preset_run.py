"""The run whose model `model: {kind: preset}` means: one that is finished, else one to wait for, else a new one.

A run is one of a preset where its configuration is that of the preset, but for the sections on which no bit of the
result depends. The one that finished first is taken, so that the answer stays the same. What is started here is a run
like any other: it goes on when the run that waits for it is killed.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from core.config.paths import placed
from core.config.phases import FREE_SECTIONS, TRAINING, Config, TrainingConfig
from core.config.preset_chain import preset_chain
from core.config.presets import dump_config, load_preset, resolve
from core.data.progress import PreparationStopped
from core.errors import (
    CheckpointError,
    DataError,
    FootplateError,
    NumericError,
    OutOfMemoryError,
    RunHeldError,
    StorageError,
    UsageError,
)
from core.run.child_run import AT_WORK, POLL_SECONDS, ask_to_stop, follow
from core.run.directory import Home, RunDirectory, check_run_name
from core.run.event_log import EventReader
from core.run.events import Notice
from core.run.launch import create_run, launch
from core.run.overrides import resolved_config, write_overrides
from core.run.private import read_file, write_atomic
from core.run.records import read_exit
from core.run.runs import list_runs
from core.run.session import Session
from core.run.status import RunStatus, read_status

_CHOICE_BYTES = 10_000
_ASKED_SECONDS = 15.0
"""How long a run that leaves waits for the run that it asked to stop, so that the next attempt finds it stopped."""
_ERRORS: dict[int | None, type[FootplateError]] = {
    int(kind.exit_code): kind
    for kind in (UsageError, CheckpointError, DataError, NumericError, OutOfMemoryError, StorageError)
}


def finished_run(preset: str, home: Home) -> RunDirectory:
    """Return the run of a preset that finished first.

    Raises: UsageError where there is none yet, or no such preset; ConfigurationError.
    """
    found = _finished(_runs_of(_configuration(preset, home), home))
    if found is None:
        raise UsageError(
            f"model.preset: no run of the preset {preset} is finished yet", hint=f"Run `footplate run {preset}` first."
        )
    return found


def trained_run(preset: str, session: Session) -> RunDirectory:
    """Return the run of a preset that finished first; where there is none, start or continue one and wait for it.

    The choice is written down: later attempts begin with the same, whatever becomes of the preset.
    Raises: PreparationStopped where the waiting run is to leave; UsageError where there is no such preset;
    ConfigurationError; where the other run ends without a model, the error that its exit code stands for.
    """
    run = chosen_run(session.run, preset)
    if run is None:
        run = _found_or_trained(preset, session)
        text = json.dumps({"preset": preset, "run": run.name})
        write_atomic(session.run.base_run, text.encode(), root=session.run.path)
    return run


def chosen_run(run: RunDirectory, preset: str) -> RunDirectory | None:
    """Return the run with whose model `run` began before, None where it did not yet or that model is gone."""
    try:
        said = json.loads(read_file(run.base_run, limit_bytes=_CHOICE_BYTES, root=run.path))
        chosen = RunDirectory(run.home.runs / check_run_name(said["run"]))
    except (FootplateError, OSError, ValueError, KeyError, TypeError):
        return None
    return chosen if said.get("preset") == preset and chosen.model.is_dir() else None


def _found_or_trained(preset: str, session: Session) -> RunDirectory:
    home = session.run.home
    config = _configuration(preset, home)
    with _one_at_a_time(home, session):
        run = _finished(_runs_of(config, home))
        if run is not None:
            message = f"begins with the model of {run.name}, a run of the preset {preset}"
            session.emit(Notice(level="info", code="preset_run", message=message))
            return run
        run = _started(preset, config, session)
    with session.section(f"waiting for {run.name}"):
        _wait(run, session)
    return run


def _configuration(preset: str, home: Home) -> TrainingConfig:
    """Return what `footplate run PRESET` would run; relative paths begin at the preset's own folder."""
    path = preset_chain(preset, home.presets)[0]
    config = placed(resolve(load_preset(path)), path.parent, runs=home.runs)
    assert isinstance(config, TRAINING), "preset_chain refuses what trains no model"
    return config


def _runs_of(config: Config, home: Home) -> list[RunDirectory]:
    """Return the runs with this configuration, those that were made first before others."""
    wanted = _result_of(config)
    return [run for run in reversed(list_runs(home)) if _configured(run, config.phase) == wanted]


def _result_of(config: Config) -> str:
    return config.model_dump_json(exclude=set(FREE_SECTIONS))


def _configured(run: RunDirectory, phase: str) -> str | None:
    try:
        # Whoever has many runs waits for the parsing of each of the same phase only.
        if not run.config.read_bytes().startswith(f"phase: {phase}\n".encode()):
            return None
        return _result_of(resolved_config(run).config)
    except (FootplateError, OSError, ValueError):  # of another version, or damaged: no run of this preset
        return None


def _finished(runs: list[RunDirectory]) -> RunDirectory | None:
    ended: list[tuple[str, str, RunDirectory]] = []
    for run in runs:
        record = read_exit(run.attempts()[-1]) if run.attempts() else None
        if record is not None and run.model.is_dir() and read_status(run).word == "finished":
            ended.append((record.wall, run.name, run))
    return min(ended)[2] if ended else None


def _started(preset: str, config: Config, session: Session) -> RunDirectory:
    """Return a run at work with this configuration: one that is, one that was left and goes on, or a new one."""
    home = session.run.home
    runs = _runs_of(config, home)
    for run in runs:
        if read_status(run).word in AT_WORK:
            return run
    if runs:
        run = runs[0]
        write_overrides(run, (), allow_inexact=False)
    else:
        run = create_run(home, None, preset, dump_config(config))
    with suppress(RunHeldError):  # its user was faster
        launch(run)
        session.emit(Notice(level="info", code="preset_run", message=_started_words(run)))
    return run


def _started_words(run: RunDirectory) -> str:
    return f"started {run.name}, whose model this run begins with"


def _wait(run: RunDirectory, session: Session) -> None:
    """Wait until a run is finished, and tell how far it is.

    Raises: PreparationStopped where `session` is to leave; what the run's exit code stands for where it ends otherwise.
    """
    with _interest(run) as is_alone:
        status = follow(run, session, stage=f"training {run.name}")
        if status is None:
            if (reason := session.leaving()) is not None and _was_started_by(session.run, run) and is_alone():
                ask_to_stop(run, session, reason, seconds=_ASKED_SECONDS)
            raise PreparationStopped
    if status.word != "finished" or not run.model.is_dir():
        _fail(run, status, session.run)


def _fail(run: RunDirectory, status: RunStatus, waiting: RunDirectory) -> NoReturn:
    was_left = status.word in ("stopped", "preempted")
    kind = UsageError if was_left else _ERRORS.get(status.exit_code, FootplateError)
    raise kind(
        f"{run.name}, whose model this run begins with, has made none: {status.words}",
        hint=f"See `footplate logs {run.name}`. Then `footplate resume {waiting.name}` goes on with {run.name} first; "
        f"what is to be changed goes to `footplate resume {run.name} --set section.field=VALUE`.",
    )


def _was_started_by(waiting: RunDirectory, run: RunDirectory) -> bool:
    """Whether an attempt of the waiting run started the other one."""
    reader, words = EventReader(waiting.events), _started_words(run)
    while events := reader.read():
        if any(isinstance(event, Notice) and event.message == words for event in events):
            return True
    return False


@contextmanager
def _one_at_a_time(home: Home, session: Session) -> Iterator[None]:
    """Let one process at a time look for a run and start one, so that two that need it do not train it twice."""
    with _folder(home.runs) as descriptor:
        while not _locked(descriptor, fcntl.LOCK_EX, home.runs):
            if session.leaving() is not None:
                raise PreparationStopped
            time.sleep(POLL_SECONDS)
        yield


@contextmanager
def _interest(run: RunDirectory) -> Iterator[Callable[[], bool]]:
    """Be known to wait for a run, and give what tells whether nobody else does. A kill leaves nothing behind."""
    with _folder(run.path) as descriptor:
        _locked(descriptor, fcntl.LOCK_SH, run.path)
        yield lambda: _locked(descriptor, fcntl.LOCK_EX, run.path)


@contextmanager
def _folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _locked(descriptor: int, kind: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise StorageError(
            f"the file system of {path} has no locks ({error.strerror})",
            hint="Two runs could train one model twice there. Set FOOTPLATE_HOME to a local disk.",
        ) from error
    return True
