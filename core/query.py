"""The helper process for what needs the heavy libraries at once: `python -m core.query`.

A question is one JSON line on standard input, `{"verb": ..., ...}` (core/queries). The answers are JSON lines on
standard output: `{"type": "progress", "stage", "done", "total", "unit"}` any number of times, then
`{"type": "result", ...}` or `{"type": "error", "message", "hint", "exit_code"}`. It owns no run, answers one question
at a time, is cancelled by ending it, and ends when its standard input does.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Mapping
from typing import IO, Any

from core.errors import ExitCode, FootplateError, UsageError
from core.queries import data, export, filter_report, measure, model, score, tokens
from core.queries.model import Say
from core.queries.question import LONGEST_LINE
from core.run.directory import Home, home_from

_VERBS = ("sample", "score", "fetch", "doctor", "inspect", "preview", "filter_report", "tokens", "measure", "export")


def main() -> int:
    """Answer questions until standard input ends."""
    # Libraries print as they like: standard output is ours alone, theirs goes where the words go.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # as a run's worker has it: cuBLAS repeats its sums
    serve(sys.stdin.buffer, answers, home_from(os.environ))
    return 0


def serve(questions: IO[bytes], answers: IO[str], home: Home) -> None:
    """Answer each line of `questions` by lines of `answers`."""

    def say(answer: Mapping[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    while line := questions.readline(LONGEST_LINE):
        if line.strip():
            say(_answer(line, say, home))


def _answer(line: bytes, say: Say, home: Home) -> dict[str, Any]:
    try:
        return {"type": "result", **_result(line, say, home)}
    except FootplateError as error:
        return _error(error.message, error.hint, int(error.exit_code))
    except MemoryError:
        return _error("the machine has no memory left", "End other programs, or take a smaller model.", 7)
    except Exception as error:  # the boundary of this process: the console shows it and goes on
        traceback.print_exc()
        hint = "This is a bug of Footplate; the traceback is on the standard error of the helper."
        return _error(f"unexpected {type(error).__name__}: {error}", hint, int(ExitCode.UNEXPECTED))


def _error(message: str, hint: str, exit_code: int) -> dict[str, Any]:
    return {"type": "error", "message": message, "hint": hint, "exit_code": exit_code}


def _asked(line: bytes) -> tuple[dict[str, Any], object]:
    try:
        question = json.loads(line)
    except ValueError as error:
        raise UsageError(f"the question is not JSON: {error}") from error
    return (question, question.get("verb")) if isinstance(question, dict) else ({}, None)


def _result(line: bytes, say: Say, home: Home) -> dict[str, Any]:
    question, verb = _asked(line)
    match verb:
        case "sample":
            return model.sample(model.SampleQuestion.of(question))
        case "score":
            return score.score(score.ScoreQuestion.of(question), say, home)
        case "fetch":
            return model.fetch(question, say, home)
        case "doctor":
            return model.doctor()
        case "inspect" | "preview" | "filter_report" | "tokens":
            return _about_data(verb, question, say, home)
        case "measure":
            return measure.measure(measure.MeasureQuestion.of(question), say, home)
        case "export":
            return export.export(export.ExportQuestion.of(question), say, home, os.environ)
        case _:
            raise UsageError(f"{verb!r} is no verb", hint=f"Ask for {', '.join(_VERBS)}.")


def _about_data(verb: str, question: dict[str, Any], say: Say, home: Home) -> dict[str, Any]:
    match verb:
        case "inspect":
            return data.inspect(data.InspectQuestion.of(question))
        case "preview":
            return data.preview(data.PreviewQuestion.of(question))
        case "filter_report":
            return filter_report.filter_report(filter_report.FilterReportQuestion.of(question), say, home)
    return tokens.tokens(tokens.TokensQuestion.of(question), home)


if __name__ == "__main__":
    sys.exit(main())
