"""A start that would do nothing is refused, and one that would do something never is."""

from __future__ import annotations

import pytest

from core.config.presets import Config, draft_of, dump_config, parse_config, resolve
from core.errors import ExitCode, UsageError
from core.run.directory import Home, RunDirectory
from core.run.event_log import EventWriter
from core.run.events import Finished, Stopped
from core.run.private import make_folder
from core.run.records import ExitRecord, write_exit
from core.run.resumable import check_resumable
from tests.core.run.test_overrides import TINY

PREPARE = """\
phase: prepare
about: {title: tiny}
data:
  kind: text
  sources: [{kind: standard_library, max_bytes: 100000}]
  tokenizer: {kind: train, vocabulary_size: 300}
"""


def ended(home: Home, config: Config, event: Finished | Stopped | None) -> RunDirectory:
    """Return a run whose only attempt ended with code 0 and this event."""
    run = RunDirectory(home.runs / "tiny")
    make_folder(home.runs, root=home.path)
    make_folder(run.path, root=home.path)
    run.config.write_text(dump_config(config))
    attempt = run.attempt(1)
    make_folder(attempt.path, root=run.path)
    write_exit(attempt, ExitRecord(0, "", "now", 1.0, "supervisor", ()))
    if event is not None:
        writer = EventWriter(run.events, 1)
        writer.write(event)
        writer.close()
    return run


def changed(config: Config, *overrides: str) -> Config:
    return resolve(draft_of(config), overrides)


CONFIG = parse_config(TINY)
EPOCHS = changed(CONFIG, "schedule.steps=null", "schedule.epochs=2")


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (CONFIG, CONFIG, "finished at step 6"),
        (CONFIG, changed(CONFIG, "schedule.steps=5"), "finished at step 6"),
        (CONFIG, changed(CONFIG, "schedule.steps=7"), ""),
        (CONFIG, EPOCHS, ""),
        (EPOCHS, EPOCHS, "finished at step 6"),
        (EPOCHS, changed(EPOCHS, "schedule.epochs=2.5"), ""),
        (EPOCHS, changed(CONFIG, "schedule.steps=6"), "finished at step 6"),
    ],
)
def test_a_finished_run_goes_on_only_where_it_becomes_longer(
    before: Config, now: Config, words: str, home: Home
) -> None:
    run = ended(home, before, Finished(step=6, facts={"model": "/somewhere"}))
    make_folder(run.model, root=run.path)
    if not words:
        check_resumable(run, before, now)
        return
    with pytest.raises(UsageError, match=words) as caught:
        check_resumable(run, before, now)
    assert caught.value.exit_code == ExitCode.USAGE
    assert "--set schedule." in caught.value.hint


def test_a_stopped_run_goes_on_but_not_to_before_its_newest_checkpoint(home: Home) -> None:
    run = ended(home, CONFIG, Stopped(step=4, reason="asked"))
    for step in (2, 4):
        make_folder(run.checkpoint(step), root=run.path)
    make_folder(run.checkpoints / ".tmp-00000009-abc", root=run.path)
    check_resumable(run, CONFIG, CONFIG)
    check_resumable(run, CONFIG, changed(CONFIG, "schedule.steps=4"))
    with pytest.raises(UsageError, match="steps is 3, but tiny has a checkpoint of step 4"):
        check_resumable(run, CONFIG, changed(CONFIG, "schedule.steps=3"))


def test_a_finished_preparation_has_nothing_to_do_unless_its_data_is_gone(home: Home) -> None:
    config = parse_config(PREPARE)
    run = ended(home, config, Finished(facts={"data": "/somewhere"}))
    check_resumable(run, config, config)
    make_folder(run.data, root=run.path)
    with pytest.raises(UsageError, match="nothing to do"):
        check_resumable(run, config, config)


def test_a_training_run_that_is_finished_stays_so_whoever_s_data_it_names(home: Home) -> None:
    run = ended(home, CONFIG, Finished(step=6, facts={"model": "/somewhere", "data": "/of/another/run"}))
    make_folder(run.model, root=run.path)
    with pytest.raises(UsageError, match="finished at step 6"):
        check_resumable(run, CONFIG, CONFIG)


def test_a_log_without_its_end_is_no_reason_to_fail_otherwise(home: Home) -> None:
    run = ended(home, CONFIG, None)
    make_folder(run.checkpoint(6), root=run.path)
    with pytest.raises(UsageError, match="finished at step 6"):
        check_resumable(run, CONFIG, CONFIG)
