"""The mark of a run that was continued inexactly."""

from __future__ import annotations

import pytest

from core.run.directory import RunDirectory
from core.run.event_log import EventWriter
from core.run.events import Resumed
from core.run.exactness import is_exact


def resumed(run: RunDirectory, *exact: bool) -> None:
    for attempt, one in enumerate(exact, start=2):
        writer = EventWriter(run.events, attempt)
        writer.write(Resumed(step=2, checkpoint="step-00000002", exact=one))
        writer.close()


def test_a_run_that_was_never_allowed_is_exact_whatever_its_log_says(run: RunDirectory) -> None:
    assert is_exact(run)
    run.overrides(1).write_text('{"set": {"schedule.steps": 9}, "allow_inexact": false}\n')
    run.events.write_bytes(b"\xff\n")
    assert is_exact(run)


@pytest.mark.parametrize(
    ("said", "exact"), [((True,), True), ((False,), False), ((False, False), False), ((False, True), True), ((), True)]
)
def test_the_newest_continuation_says_it(run: RunDirectory, said: tuple[bool, ...], exact: bool) -> None:
    """An earlier checkpoint, from before the inexact one, makes a run exact again."""
    run.overrides(1).write_text('{"set": {}, "allow_inexact": true}\n')
    run.overrides(2).write_text('{"set": {}, "allow_inexact": false}\n')
    resumed(run, *said)
    assert is_exact(run) is exact
