"""One question to the helper process `python -m core.query`, which has the heavy libraries.

The question is one JSON line, `{"verb": ..., ...}`; the answers are JSON lines: `{"type": "progress", ...}` any number
of times, then `{"type": "result", ...}` or `{"type": "error", "message", "hint", "exit_code"}`.
"""

from __future__ import annotations

import json
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import core
from core.errors import ExitCode, FootplateError
from tui.commands.context import Context

Progress = Callable[[Mapping[str, Any]], None]

_SOURCE = Path(core.__file__).resolve().parent.parent


class QueryError(FootplateError):
    """What the helper answered in place of a result; it carries the helper's own exit code."""

    def __init__(self, message: str, *, hint: str = "", exit_code: ExitCode = ExitCode.UNEXPECTED) -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def ask(
    question: Mapping[str, Any], context: Context, *, seconds: float, progress: Progress | None = None
) -> dict[str, Any]:
    """Return the helper's result. The helper ends with this call, however it ends.

    Raises: QueryError where it answers with an error, dies, or says nothing for so many seconds.
    """
    environment = {**context.environment, "FOOTPLATE_HOME": str(context.home.path)}
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            [sys.executable, "-m", "core.query"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            env=environment,
            cwd=_SOURCE,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError):  # it died at once: its last words say why
                process.stdin.write(json.dumps(question).encode() + b"\n")
                process.stdin.close()
            answer = _result(process.stdout, seconds, progress)
        finally:
            process.kill()
            process.wait()
        if answer is not None:
            return answer
        words.seek(0)
        last = words.read().decode("utf-8", "replace").strip().splitlines()[-1:]
        raise QueryError(f"the helper process ended without an answer: {' '.join(last) or 'it said nothing'}",
                          hint="`footplate doctor` shows what is installed.")  # fmt: skip


def _result(stream: IO[bytes], seconds: float, progress: Progress | None) -> dict[str, Any] | None:
    for line in _lines(stream, seconds):
        try:
            answer = json.loads(line)
        except ValueError:
            continue  # what a library printed
        match answer:
            case {"type": "result"}:
                return dict(answer)
            case {"type": "error", "message": str(message)}:
                code, hint = answer.get("exit_code"), answer.get("hint")
                known = ExitCode(code) if code in set(ExitCode) else ExitCode.UNEXPECTED
                raise QueryError(message, hint=str(hint or ""), exit_code=known)
            case {"type": "progress"} if progress is not None:
                progress(answer)
    return None


def _lines(stream: IO[bytes], seconds: float) -> Any:
    """Yield lines; QueryError where none comes for so long."""
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        end = time.monotonic() + seconds
        while True:
            if not selector.select(max(0.0, end - time.monotonic())):
                raise QueryError(f"the helper process has said nothing for {seconds:.0f} s", hint="Try again.")
            data = stream.read1(65536)  # type: ignore[attr-defined]
            if not data:
                return
            *whole, rest = (rest + data).split(b"\n")
            if whole:
                end = time.monotonic() + seconds
            yield from whole
