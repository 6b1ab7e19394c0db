"""A pipeline with stages that do no work: their order and names, what a failure or a leave does, and what goes on."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from core.config.phases import PipelineConfig, PretrainConfig
from core.config.presets import dump_config, read_yaml, resolve
from core.errors import UsageError
from core.run import pipeline as pipeline_module
from core.run.control import request
from core.run.directory import Home, RunDirectory
from core.run.event_log import EventReader, EventWriter
from core.run.events import AnyEvent, Failed, Finished, Notice, Progress, RequestHandled, Stopped
from core.run.launch import create_run, launch, terminate
from core.run.overrides import resolved_config, write_overrides
from core.run.pipeline import Stages
from core.run.processes import end_marked, is_alive, marked
from core.run.records import ExitRecord, read_exit, read_process, write_exit
from core.run.runs import find_run, list_runs
from core.run.session import Session
from core.run.stages import StageRun, as_tree, read_stages, write_stages
from core.run.status import read_status
from tests.core.config.cases import pipeline, text_data, training
from tests.core.run.conftest import stand_in, wait_until

SCRATCH = training("pretrain", text_data())
NEXT = {**training("pretrain", text_data(tokenizer="model"), "run"), "model": {"kind": "run", "run": "a"}}


@pytest.fixture
def made(home: Home) -> Iterator[RunDirectory]:
    """A pipeline `p` of stages a and b, of which b begins with a's model; what still runs at the end is ended."""
    config = resolve(read_yaml(json.dumps(pipeline(SCRATCH, NEXT))))
    yield create_run(home, "p", "p", dump_config(config))
    for run in list_runs(home):
        for attempt in run.attempts():
            record = read_process(attempt)
            if record is not None and is_alive(record.identity):
                with suppress(ProcessLookupError):  # it may end by itself between the question and the signal
                    os.kill(record.identity.pid, signal.SIGKILL)
                end_marked(record.marker, ask_seconds=0, kill_seconds=5)


def begin(run: RunDirectory, *kind: str | int | float) -> None:
    """Start a pipeline whose stages get a worker of this kind."""
    launch(run, worker=stand_in("pipeline", *kind))


def stage(run: RunDirectory, name: str) -> RunDirectory:
    return RunDirectory(run.home.runs / f"{run.name}-{name}")


def word(run: RunDirectory) -> str:
    return read_status(run).word if run.path.is_dir() else "absent"


def events(run: RunDirectory) -> list[AnyEvent]:
    reader, found = EventReader(run.events), []
    while batch := reader.read():
        found += batch
    return found


def told(run: RunDirectory, stage: str) -> list[Progress]:
    return [event for event in events(run) if isinstance(event, Progress) and event.stage == stage]


def is_told(run: RunDirectory) -> bool:
    return any(event.done >= 1 for event in told(run, "stage 1 of 2, a"))


def steps_of(run: RunDirectory) -> int | None:
    config = resolved_config(run).config
    assert isinstance(config, PretrainConfig)
    return config.schedule.steps


def test_a_failure_ends_the_pipeline_with_its_code_and_the_next_attempt_goes_on_there_in_order(
    made: RunDirectory, home: Home
) -> None:
    (home.runs / "a").mkdir()  # a run of the name of a stage: the stage is meant
    begin(made, "exit", 6)
    wait_until(lambda: word(made) == "failed")
    failed = events(made)[-1]
    assert isinstance(failed, Failed)
    assert failed.exit_code == read_status(made).exit_code == 6
    assert failed.message.startswith("stage a (p-a) is not finished: failed, exit code 6")
    assert "`footplate resume p --set a.section.field=VALUE`" in failed.hint
    assert word(stage(made, "b")) == "absent"

    write_overrides(made, ["a.schedule.steps=7", "b.schedule.steps=8", "about.title=x"], allow_inexact=True)
    begin(made, "steps", 20, 0.01)
    wait_until(lambda: word(made) == "finished", seconds=30)
    assert [len(stage(made, name).attempts()) for name in "ab"] == [2, 1]
    assert [steps_of(stage(made, name)) for name in "ab"] == [7, 8]
    assert resolved_config(stage(made, "a")).allow_inexact
    assert read_stages(made) == {"a": StageRun("p-a", 1), "b": StageRun("p-b", 1)}
    check_finished(made)

    write_overrides(made, ["b.schedule.steps=29"], allow_inexact=False)
    assert steps_of(stage(made, "b")) == 8, "the worker passes it on"


def check_finished(made: RunDirectory) -> None:
    """Check what the stages of a pipeline have left: their order, what was told of them, and what remains to do."""
    assert [event.total for event in told(made, "stage 2 of 2, b")][-1] == 20
    config = resolved_config(stage(made, "b")).config
    assert isinstance(config, PretrainConfig)
    assert config.model.model_dump()["run"] == "p-a"
    ended = [read_exit(stage(made, name).attempts()[-1]) for name in "ab"]
    assert ended[0] is not None
    assert ended[1] is not None
    assert ended[0].wall < ended[1].wall
    finished = events(made)[-1]
    assert isinstance(finished, Finished)
    assert finished.facts == {
        "a run": "p-a", "a eval/loss before": 0.2, "a eval/loss after": 0.1,
        "b run": "p-b", "b eval/loss before": 0.2, "b eval/loss after": 0.1,
    }  # fmt: skip
    assert find_run(made.home, "p") == made
    assert [(one.run.name, one.pipeline, one.stage) for one in as_tree(list_runs(made.home))] == [
        ("p", "", ""), ("p-a", "p", "a"), ("p-b", "p", "b"),
    ]  # fmt: skip
    with pytest.raises(UsageError, match="p is finished; there is nothing to do"):
        write_overrides(made, (), allow_inexact=True)
    with pytest.raises(UsageError, match=r"stage a is finished \(p-a\), and stage b has begun"):
        write_overrides(made, ["a.schedule.steps=99"], allow_inexact=True)
    with pytest.raises(UsageError, match=r"--set b\.schedule\.steps=M"):
        write_overrides(made, ["b.schedule.steps=9"], allow_inexact=True)


@pytest.mark.parametrize(
    ("by_signal", "words"),
    [(False, "stopped"), pytest.param(True, "preempted", marks=pytest.mark.slow(reason="starts six processes"))],
)
def test_whoever_leaves_takes_the_stage_along_and_goes_on_with_it(
    made: RunDirectory, by_signal: bool, words: str
) -> None:
    begin(made, "steps", 10_000, 0.05)
    wait_until(lambda: is_told(made))
    request(made, "checkpoint")
    wait_until(lambda: any(isinstance(event, RequestHandled) for event in events(made)))
    if by_signal:
        terminate(made, signal.SIGUSR1)
    else:
        request(made, "stop")
    wait_until(lambda: word(made) == words)
    assert word(stage(made, "a")) == words
    (stopped,) = [event for event in events(made) if isinstance(event, Stopped)]
    assert stopped.message == "stage a was at work; a resume goes on with it"
    assert read_status(made).exit_code == (75 if by_signal else 0)
    answer = next(event for event in events(made) if isinstance(event, RequestHandled))
    assert (answer.verb, answer.accepted) == ("checkpoint", False)
    assert answer.message.endswith("its stage at work is p-a")

    begin(made, "steps", 10_000, 0.05)
    wait_until(lambda: len(stage(made, "a").attempts()) == 2)
    assert word(stage(made, "b")) == "absent"


@pytest.mark.slow(reason="starts seven processes; a run that waits for a preset's is killed in the default suite")
def test_a_kill_of_the_pipeline_ends_only_that_and_the_stage_is_found_again(made: RunDirectory) -> None:
    begin(made, "steps", 60, 0.05)
    wait_until(lambda: is_told(made))
    record, running = read_process(made.attempt(1)), read_process(stage(made, "a").attempt(1))
    assert record is not None
    assert running is not None
    for pid in (record.identity.pid, *marked(record.marker)):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: read_exit(made.attempt(1)) is not None)
    assert word(stage(made, "a")) == "running"
    begin(made, "steps", 3, 0.01)
    wait_until(lambda: word(made) == "finished", seconds=30)
    assert [len(stage(made, name).attempts()) for name in "ab"] == [1, 1]


@pytest.mark.slow(reason="starts eight processes")
def test_a_stage_that_went_on_is_stopped_where_a_resume_has_changed_it(made: RunDirectory) -> None:
    begin(made, "steps", 10_000, 0.05)
    wait_until(lambda: is_told(made))
    record = read_process(made.attempt(1))
    assert record is not None
    for pid in (record.identity.pid, *marked(record.marker)):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: read_exit(made.attempt(1)) is not None)
    write_overrides(made, ["a.schedule.peak_learning_rate=0.5"], allow_inexact=False)
    begin(made, "steps", 3, 0.01)
    wait_until(lambda: word(made) == "finished", seconds=30)
    assert [type(event) for event in events(stage(made, "a")) if event.attempt == 1][-1] is Stopped
    assert "peak_learning_rate" in stage(made, "a").overrides(1).read_text()


@pytest.mark.slow(reason="starts four processes for words")
@pytest.mark.parametrize(("kind", "code", "words"), [(("kill", 9), 137, "failed"), (("exit", 75), 75, "preempted")])
def test_the_code_of_a_stage_is_the_code_of_the_pipeline(
    made: RunDirectory, kind: tuple[str, int], code: int, words: str
) -> None:
    begin(made, *kind)
    wait_until(lambda: word(made) == words)
    assert read_status(made).exit_code == code


class TestWithoutProcesses:
    """What a pipeline's worker finds and writes; nothing is started."""

    @pytest.fixture
    def stages(self, made: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stages]:
        monkeypatch.setattr(pipeline_module, "launch", lambda run: 1)
        config = resolved_config(made).config
        assert isinstance(config, PipelineConfig)
        session = Session.open(made, config, 1)
        yield Stages(config, session, allow_inexact=False)
        session.close()

    def test_a_run_that_a_kill_left_without_a_record_is_taken(self, stages: Stages, made: RunDirectory) -> None:
        assert stages.begin(0)
        made.stages.unlink()
        again = Stages(stages._config, stages._session, allow_inexact=False)
        assert again.begin(0)
        assert sorted(run.name for run in list_runs(made.home)) == ["p", "p-a"]
        stage(made, "a").attempt(1).path.mkdir(parents=True)
        made.stages.unlink()
        assert Stages(stages._config, stages._session, allow_inexact=False).begin(0)
        assert sorted(run.name for run in list_runs(made.home)) == ["p", "p-a", "p-a-1"], "somebody began with p-a"

    def test_a_run_that_is_gone_is_made_anew_with_words(self, stages: Stages, made: RunDirectory) -> None:
        stages.begin(0)
        shutil.rmtree(stage(made, "a").path)
        assert stages.begin(0)
        (notice,) = [one for one in events(made) if isinstance(one, Notice) and one.level == "warning"]
        assert notice.message.startswith("p-a, the run of stage a, is gone: it is made anew")
        assert stage(made, "a").config.exists()

    def test_what_a_later_resume_took_away_is_not_passed_on(self, stages: Stages, made: RunDirectory) -> None:
        stages.begin(0)
        write_overrides(made, ["a.schedule.floor_ratio=0.3"], allow_inexact=False)
        changed = ["a.schedule.kind=constant", "a.data.sources.0.path=.", r'a.about.title="\x85 \U0001F600"']
        write_overrides(made, changed, allow_inexact=False)
        config = resolved_config(made).config
        assert isinstance(config, PipelineConfig)
        Stages(config, stages._session, allow_inexact=False).begin(0)
        changes = json.loads(stage(made, "a").overrides(1).read_text())["set"]
        title = "\x85 \U0001f600"
        assert changes == {"schedule.kind": "constant", "data.sources.0.path": os.getcwd(), "about.title": title}

    @pytest.mark.parametrize("change", ["pipeline.0.name=z", "pipeline.1=null", "pipeline.0.phase=sft"])
    def test_a_pipeline_that_has_begun_keeps_its_stages(self, made: RunDirectory, change: str) -> None:
        with pytest.raises(UsageError):
            write_overrides(made, [change], allow_inexact=False)
        assert not made.overrides(1).exists()

    def test_long_names_keep_the_name_of_the_stage(self, made: RunDirectory, stages: Stages) -> None:
        long = create_run(made.home, "x" * 64, "", made.config.read_text())
        session = Session.open(long, stages._config, 1)
        Stages(stages._config, session, allow_inexact=False).begin(0)
        session.close()
        assert read_stages(long)["a"].run == f"{'x' * 54}-a"
        assert find_run(made.home, "xxx") == long, "its stage begins with its name"

    def test_a_finished_stage_that_was_made_longer_is_at_work_again(self, stages: Stages, made: RunDirectory) -> None:
        stages.begin(0)
        run = stage(made, "a")
        run.attempt(1).path.mkdir(parents=True)
        write_exit(run.attempt(1), ExitRecord(0, "", "now", 1.0, "supervisor"))
        writer = EventWriter(run.events, 1)
        writer.write(Finished(step=10))
        writer.close()
        assert not stages.begin(0)
        write_overrides(made, ["a.schedule.steps=99"], allow_inexact=False)
        config = resolved_config(made).config
        assert isinstance(config, PipelineConfig)
        assert Stages(config, stages._session, allow_inexact=False).begin(0)
        assert steps_of(run) == 99


@pytest.mark.parametrize("text", ["[]", "{", '{"a": {"run": "../x", "overrides": 0}}', '{"a": {"run": "p-a"}}'])
def test_a_damaged_record_is_refused_with_words(made: RunDirectory, text: str) -> None:
    write_stages(made, {"a": StageRun("p-a")})
    made.stages.write_text(text)
    with pytest.raises(UsageError, match="does not say which runs are the stages of p"):
        read_stages(made)
    assert [one.run.name for one in as_tree(list_runs(made.home))] == ["p"]
