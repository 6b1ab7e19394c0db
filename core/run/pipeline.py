"""The stages of a pipeline as runs: found, made, changed, started, and what the end of one means for the pipeline."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from core.config.drafts import Draft
from core.config.phases import Config, PipelineConfig, Stage, run_config
from core.config.pipeline_rules import references
from core.config.presets import draft_of, dump_config, place_of, read_yaml, set_value
from core.config.shapes import inner_value
from core.config.yaml_text import Place, Value
from core.errors import ExitCode, FootplateError, RunHeldError
from core.run.before_after import before_after
from core.run.child_run import AT_WORK, ask_to_stop, follow
from core.run.directory import RunDirectory
from core.run.events import Notice
from core.run.launch import create_run, launch
from core.run.overrides import write_overrides
from core.run.resumable import finished_event
from core.run.runs import list_runs
from core.run.session import Leaving, Session
from core.run.stages import StageRun, read_stages, write_stages
from core.run.status import RunStatus, read_status

_LONGEST_STEM = 56
Facts = dict[str, str | int | float | bool]


class Stages:
    """The stages of one pipeline run, seen from its worker, which is the only writer of stages.json."""

    def __init__(self, config: PipelineConfig, session: Session, *, allow_inexact: bool) -> None:
        self._config = config
        self._session = session
        self._allow_inexact = allow_inexact
        self._run = session.run
        self._runs = read_stages(session.run)

    def run_of(self, stage: Stage) -> RunDirectory:
        """Return the run of a stage."""
        return RunDirectory(self._run.home.runs / self._runs[stage.name].run)

    def begin(self, number: int) -> bool:
        """Have the run of the `number`th stage at work, from 0; return False where it is finished already.

        A run that is not there is made; one that was left goes on; one that a resume has changed is given that first.
        Raises: UsageError, ConfigurationError where it has nothing to do, or does not hold; StorageError.
        """
        stage = self._config.pipeline[number]
        known = self._runs.get(stage.name)
        if known is not None and not self.run_of(stage).config.exists():
            self._tell(
                f"{known.run}, the run of stage {stage.name}, is gone: it is made anew. Stages after it that are "
                "finished stay as they are.", level="warning",
            )  # fmt: skip
            known = None
        if known is None:
            self._make(stage)
            is_changed = False
        else:
            is_changed = self._pass_on(number, known)
        run = self.run_of(stage)
        if not is_changed and finished_event(run) is not None:
            return False
        if read_status(run).word not in AT_WORK:
            with suppress(RunHeldError):  # its user was faster
                launch(run)
                self._tell(f"stage {stage.name} is at work: {run.name}")
        return True

    def wait(self, number: int) -> Leaving | None:
        """Wait for the run of a stage and return None once it is finished, else why the pipeline is to leave.

        Whoever leaves takes the stage along, and waits until it has saved what it has.
        Raises: FootplateError with the exit code of the stage, where it has failed.
        """
        stage = self._config.pipeline[number]
        run = self.run_of(stage)
        label = f"stage {number + 1} of {len(self._config.pipeline)}, {stage.name}"
        refusal = f"a pipeline has nothing of its own to save or evaluate; its stage at work is {run.name}"
        with self._session.section(f"stage {stage.name}"):
            status = follow(run, self._session, stage=label, refusal=refusal)
            if status is None:
                reason = self._session.leaving()
                assert reason is not None
                ask_to_stop(run, self._session, reason, seconds=None)
                return reason
        match status.word:
            case "finished" if finished_event(run) is not None:
                self._tell(f"stage {stage.name} is finished: {run.name}")
                return None
            case "stopped":
                return "asked"
            case "preempted":
                return "preempted"
            case _:
                raise self._failure(stage, run, status)

    def facts(self) -> Facts:
        """Return the runs of the stages, and what each of their evaluated series was first and last."""
        facts: Facts = {}
        for stage in self._config.pipeline:
            run = self.run_of(stage)
            facts[f"{stage.name} run"] = run.name
            for change in before_after(run):
                facts[f"{stage.name} {change.series.name} before"] = change.before
                facts[f"{stage.name} {change.series.name} after"] = change.after
        return facts

    def _make(self, stage: Stage) -> None:
        stem = f"{self._run.name[: _LONGEST_STEM - len(stage.name) - 1]}-{stage.name}"
        text = dump_config(self._preset_of(stage))
        # A kill between the two lines below has left one that nobody knows of.
        run = self._left_behind(stem, text) or create_run(self._run.home, None, stem, text)
        self._remember(stage.name, StageRun(run.name, self._written()))

    def _left_behind(self, stem: str, text: str) -> RunDirectory | None:
        for run in list_runs(self._run.home):
            if run.name.startswith(stem) and not run.attempts() and run.config.read_bytes() == text.encode():
                return run
        return None

    def _remember(self, name: str, made: StageRun) -> None:
        runs = {**self._runs, name: made}
        self._runs = {stage.name: runs[stage.name] for stage in self._config.pipeline if stage.name in runs}
        write_stages(self._run, self._runs)

    def _preset_of(self, stage: Stage) -> Config:
        """Return the configuration of a stage on its own, with the runs of the stages that it names."""
        values = stage.model_dump(mode="json", exclude={"name"})
        draft = Draft(values)
        for reference in references(values):
            if reference.name in self._runs:
                draft = set_value(draft, reference.place, self._runs[reference.name].run)
        return run_config.validate_json(json.dumps(draft.values))

    def _written(self) -> int:
        """Return how many overrides files the pipeline has."""
        return next(number for number in range(1000) if not self._run.overrides(number + 1).exists())

    def _pass_on(self, number: int, known: StageRun) -> bool:
        """Give a stage's run what resumes of the pipeline have changed of the stage since; return whether there was."""
        stage, written = self._config.pipeline[number], self._written()
        texts = self._changes(number, range(known.overrides + 1, written + 1))
        run = self.run_of(stage)
        is_at_work = read_status(run).word in AT_WORK
        if texts and is_at_work:  # the pipeline was killed, and its stage went on as it was
            self._tell(f"{run.name} is asked to stop, and goes on with what was changed")
            ask_to_stop(run, self._session, "asked", seconds=None)
        if texts or not (is_at_work or finished_event(run)):
            write_overrides(run, texts, allow_inexact=self._allow_inexact)
        if written != known.overrides:
            self._remember(stage.name, StageRun(known.run, written))
        return bool(texts)

    def _changes(self, number: int, files: Iterable[int]) -> list[str]:
        """Return what these overrides files of the pipeline change of a stage, as `section.field=VALUE`."""
        wanted = draft_of(self._preset_of(self._config.pipeline[number])).values
        found: dict[Place, str] = {}
        for path in map(self._run.overrides, files):
            changes = read_yaml(path.read_text(encoding="utf-8"), str(path)).values.get("set")
            for name in changes if isinstance(changes, dict) else {}:
                place = place_of(name)
                if place[:2] == ("pipeline", number) and (text := _set_text(place[2:], wanted)):
                    found[place[2:]] = text
        return list(found.values())

    def _failure(self, stage: Stage, run: RunDirectory, status: RunStatus) -> FootplateError:
        name = self._run.name
        error = FootplateError(
            f"stage {stage.name} ({run.name}) is not finished: {status.words}",
            hint=f"See `footplate logs {run.name}`. `footplate resume {name}` goes on with this stage; what is to be "
            f"changed goes to `footplate resume {name} --set {stage.name}.section.field=VALUE`.",
        )
        error.exit_code = status.exit_code or ExitCode.UNEXPECTED
        return error

    def _tell(self, message: str, *, level: Any = "info") -> None:
        self._session.emit(Notice(level=level, code="stage", message=message))


def _set_text(place: Place, wanted: Mapping[str, Value]) -> str:
    """Return `section.field=VALUE` with the value that is wanted in the end; "" where a later change took it away."""
    value: Value = dict(wanted)
    for step in place:
        if isinstance(value, dict) and step not in value:
            return ""
        value = inner_value(value, step)
    return f"{'.'.join(map(str, place))}={json.dumps(value)}"  # escaped: YAML reads some characters otherwise
