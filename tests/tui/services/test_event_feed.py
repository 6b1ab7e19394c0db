from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from textual.message import Message

from core.run.directory import Home
from tests.tui.runs_made_by_code import RunMade, finished_run
from tui.messages import CurvesReady, FeedFailed, RunBatch, RunsListed
from tui.services.curves import CurveRequest
from tui.services.event_feed import EventFeed


def wait_for(condition: Callable[[], object], seconds: float = 15.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.02)


def test_no_more_events_are_read_than_the_console_takes(home: Home) -> None:
    made = RunMade(home, "many").started()
    for step in range(2500):
        made.evaluated(step, 1.0)
    posted: list[Message] = []
    feed = EventFeed(home, posted.append)
    feed.start()
    try:
        feed.watch(made.run, 1, CurveRequest())
        wait_for(lambda: any(isinstance(one, RunBatch) for one in posted))
        time.sleep(0.7)
        assert sum(isinstance(one, RunBatch) for one in posted) == 1
        for _ in range(60):
            feed.taken()
            time.sleep(0.02)
        wait_for(lambda: feed.taken() or sum(len(one.events) for one in posted if isinstance(one, RunBatch)) == 2501)
        batches = [one for one in posted if isinstance(one, RunBatch)]
        assert [one.has_more for one in batches] == [True, True, False]
        assert [event.seq for one in batches for event in one.events] == list(range(2501))
    finally:
        feed.end()


def test_a_look_that_stumbles_is_told_and_tried_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_run(home)
    posted: list[Message] = []
    feed = EventFeed(home, posted.append)
    stumbled = threading.Event()

    def once(_: Home) -> None:
        stumbled.set()
        raise RuntimeError("\x1b[2J")

    monkeypatch.setattr("tui.services.event_feed.list_folders", once)
    feed.start()
    try:
        feed.list_runs(on=True)
        wait_for(stumbled.is_set)
        wait_for(lambda: any(isinstance(one, FeedFailed) for one in posted))
        words = next(one.words.text for one in posted if isinstance(one, FeedFailed))
        assert "RuntimeError: ␛[2J" in words
        monkeypatch.undo()
        feed.list_runs(on=True)
        wait_for(lambda: any(isinstance(one, RunsListed) for one in posted))
    finally:
        feed.end()


def test_curves_come_again_only_when_there_is_something_new(home: Home) -> None:
    made = RunMade(home, "a").started().rows(0, 10)
    posted: list[Message] = []
    feed = EventFeed(home, posted.append, frame_seconds=0.0)

    def frames() -> int:
        feed.taken()
        return sum(isinstance(one, CurvesReady) for one in posted)

    feed.start()
    try:
        feed.watch(made.run, 1, CurveRequest(panels=(("loss", ("train/loss",), 50),)))
        wait_for(lambda: frames() == 1)
        time.sleep(0.8)
        assert frames() == 1
        made.rows(10, 20)
        wait_for(lambda: frames() == 2)
    finally:
        feed.end()
