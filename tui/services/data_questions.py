"""What the Data screen asks of the helper process `python -m core.query`, which has the heavy libraries.

One helper a console, started with the first question, because it keeps the sample between questions. A thread writes
one question at a time and reads its answers; a newer question about the same topic takes the place of one that waits.
`cancel` ends the helper: that is the only way to interrupt it, and costs it its sample.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from textual.message import Message

import core

Post = Callable[[Message], object]
HELPER = (sys.executable, "-m", "core.query")

_SOURCE = Path(core.__file__).resolve().parent.parent
_LONGEST_ANSWER = 64 << 20


@dataclass
class DataAnswered(Message):
    """The result of the question with this key."""

    topic: str
    key: int
    result: dict[str, Any]
    seconds: float


@dataclass
class DataRefused(Message):
    """The helper's error instead of a result, or that it ended; `message` and `hint` still have to be made safe."""

    topic: str
    key: int
    message: str
    hint: str


@dataclass
class DataProgress(Message):
    """How far a question is."""

    topic: str
    key: int
    stage: str
    done: float
    total: float | None
    unit: str


@dataclass(frozen=True)
class _Question:
    topic: str
    key: int
    body: dict[str, Any]


class DataQuestions:
    """Asks, and posts `DataAnswered`, `DataRefused` and `DataProgress`; any method may be called from any thread."""

    def __init__(self, post: Post, environment: Mapping[str, str], command: Sequence[str] = HELPER) -> None:
        self._post = post
        self._environment = dict(environment)
        self._command = list(command)
        self._waiting: dict[str, _Question] = {}
        self._asked: _Question | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._words: IO[bytes] | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._last_key = 0
        self._is_ending = False

    def ask(self, topic: str, question: Mapping[str, Any]) -> int:
        """Ask, after what is being asked now, and return the key of the answer.

        A question of the same topic that still waits is forgotten without an answer.
        """
        with self._changed:
            self._last_key += 1
            self._waiting.pop(topic, None)
            self._waiting[topic] = _Question(topic, self._last_key, dict(question))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="footplate-questions", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return self._last_key

    def busy_with(self) -> str | None:
        """Return the topic that the helper works on, or None."""
        asked = self._asked
        return asked.topic if asked is not None else None

    def cancel(self) -> None:
        """Forget what waits and end the helper; what it was asked gets no answer."""
        with self._changed:
            self._waiting.clear()
            if self._asked is not None:
                self._asked = None
                self._kill()

    def end(self) -> None:
        """End thread and helper."""
        with self._changed:
            self._is_ending = True
            self._waiting.clear()
            self._asked = None
            self._kill()
            self._changed.notify_all()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_ending)
                if self._is_ending:
                    return
                question = self._waiting.pop(next(iter(self._waiting)))
                self._asked = question
            began = time.monotonic()
            message = self._answer(question, began)
            with self._changed:
                wanted, self._asked = self._asked is question, None
            if wanted:
                self._post(message)

    def _answer(self, question: _Question, began: float) -> Message:
        """Return the answer; a helper that ended says its last words."""
        try:
            process = self._running(question)
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.write(json.dumps(question.body).encode() + b"\n")
                process.stdin.flush()
            answer = self._read(process, question)
        except OSError as error:
            return DataRefused(question.topic, question.key, f"the helper process cannot be started: {error}", "")
        match answer:
            case None:
                return DataRefused(question.topic, question.key, self._last_words(process),
                                   "Ask again (F6); `footplate doctor` shows what is installed.")  # fmt: skip
            case {"type": "error"}:
                hint = answer.get("hint")
                return DataRefused(question.topic, question.key, str(answer.get("message")), str(hint or ""))
            case _:
                return DataAnswered(question.topic, question.key, answer, time.monotonic() - began)

    def _running(self, question: _Question) -> subprocess.Popen[bytes]:
        with self._changed:
            if self._asked is not question:
                raise OSError("it was cancelled")
            if self._process is None or self._process.poll() is not None:
                self._close()
                self._words = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as its process
                self._process = subprocess.Popen(
                    self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._words,
                    env=self._environment, cwd=_SOURCE, start_new_session=True,
                )  # fmt: skip
            return self._process

    def _close(self) -> None:
        if self._process is not None:
            for stream in (self._process.stdin, self._process.stdout, self._words):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()

    def _read(self, process: subprocess.Popen[bytes], question: _Question) -> dict[str, Any] | None:
        assert process.stdout is not None
        while line := process.stdout.readline(_LONGEST_ANSWER):
            try:
                answer = json.loads(line)
            except ValueError:
                continue  # what a library printed
            match answer:
                case {"type": "result" | "error"}:
                    return dict(answer)
                case {"type": "progress"}:
                    self._post(_progress(question, answer))
        process.wait()
        return None

    def _last_words(self, process: subprocess.Popen[bytes]) -> str:
        last: list[str] = []
        if self._words is not None:
            self._words.seek(0)
            last = self._words.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        ended = f"the helper process ended without an answer (code {process.returncode})"
        return f"{ended}: {last[0]}" if last else ended


def _progress(question: _Question, answer: Mapping[str, Any]) -> DataProgress:
    stage, unit = str(answer.get("stage", "")), str(answer.get("unit", ""))
    done, total = _number(answer.get("done")), _number(answer.get("total"))
    return DataProgress(question.topic, question.key, stage, done or 0.0, total, unit)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
