"""Questions to a helper process: one at a time, replaced while they wait, given up by ending it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.message import Message

from tui.services.data_questions import DataAnswered, DataProgress, DataQuestions, DataRefused

HELPER = """
import json, os, sys, time
print("a library prints as it likes", flush=True)
for line in sys.stdin:
    question = json.loads(line)
    match question["verb"]:
        case "echo":
            print(json.dumps({"type": "result", "said": question["say"], "pid": os.getpid()}), flush=True)
        case "slow":
            print(json.dumps({"type": "progress", "stage": "waiting", "done": 1, "total": None}), flush=True)
            time.sleep(question["seconds"])
            print(json.dumps({"type": "result", "said": "at last"}), flush=True)
        case "refuse":
            print(json.dumps({"type": "error", "message": "no", "hint": "never", "exit_code": 5}), flush=True)
        case "die":
            print("the last words", file=sys.stderr, flush=True)
            os._exit(3)
"""


@pytest.fixture
def posted() -> list[Message]:
    return []


@pytest.fixture
def asking(tmp_path: Path, posted: list[Message]) -> Iterator[DataQuestions]:
    (tmp_path / "helper.py").write_text(HELPER)
    questions = DataQuestions(posted.append, {}, [sys.executable, str(tmp_path / "helper.py")])
    yield questions
    questions.end()


def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.01)


def said(posted: list[Message]) -> list[object]:
    return [message.result["said"] for message in posted if isinstance(message, DataAnswered)]


def test_answers_come_with_topic_and_key_from_one_process(asking: DataQuestions, posted: list[Message]) -> None:
    first = asking.ask("a", {"verb": "echo", "say": 1})
    wait_for(lambda: posted)
    second = asking.ask("b", {"verb": "echo", "say": 2})
    wait_for(lambda: len(posted) == 2)
    answers = [message for message in posted if isinstance(message, DataAnswered)]
    assert [(one.topic, one.key, one.result["said"]) for one in answers] == [("a", first, 1), ("b", second, 2)]
    assert answers[0].result["pid"] == answers[1].result["pid"]


def test_a_question_that_waits_is_replaced_by_the_next_of_its_topic(
    asking: DataQuestions, posted: list[Message]
) -> None:
    asking.ask("other", {"verb": "slow", "seconds": 0.4})
    wait_for(lambda: asking.busy_with() == "other" and any(isinstance(one, DataProgress) for one in posted))
    for number in range(5):
        asking.ask("trial", {"verb": "echo", "say": number})
    wait_for(lambda: len(said(posted)) == 2)
    time.sleep(0.1)
    assert said(posted) == ["at last", 4]


def test_an_error_is_told_with_its_hint_and_the_process_goes_on(asking: DataQuestions, posted: list[Message]) -> None:
    asking.ask("a", {"verb": "refuse"})
    asking.ask("b", {"verb": "echo", "say": "still there"})
    wait_for(lambda: len(posted) == 2)
    refused = posted[0]
    assert isinstance(refused, DataRefused)
    assert (refused.message, refused.hint) == ("no", "never")
    assert said(posted) == ["still there"]


def test_a_helper_that_dies_says_its_last_words_and_the_next_question_gets_another(
    asking: DataQuestions, posted: list[Message]
) -> None:
    asking.ask("a", {"verb": "die"})
    wait_for(lambda: posted)
    assert isinstance(posted[0], DataRefused)
    assert "code 3): the last words" in posted[0].message
    asking.ask("b", {"verb": "echo", "say": "a new one"})
    wait_for(lambda: said(posted) == ["a new one"])


def test_to_cancel_ends_the_helper_at_once_and_brings_no_answer(asking: DataQuestions, posted: list[Message]) -> None:
    asking.ask("a", {"verb": "slow", "seconds": 60})
    wait_for(lambda: any(isinstance(one, DataProgress) for one in posted))
    asking.ask("waits", {"verb": "echo", "say": "never"})
    began = time.monotonic()
    asking.cancel()
    asking.ask("b", {"verb": "echo", "say": "after"})
    wait_for(lambda: said(posted))
    assert time.monotonic() - began < 10
    assert said(posted) == ["after"]
    assert not any(isinstance(one, DataRefused) for one in posted)


def test_a_command_that_is_not_there_is_refused(tmp_path: Path, posted: list[Message]) -> None:
    questions = DataQuestions(posted.append, {}, [str(tmp_path / "nothing")])
    questions.ask("a", {"verb": "echo"})
    wait_for(lambda: posted)
    questions.end()
    assert isinstance(posted[0], DataRefused)
    assert "cannot be started" in posted[0].message
