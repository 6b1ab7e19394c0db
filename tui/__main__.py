"""The `footplate` command: which function answers what.

Heavy modules are imported by the branch that needs them: `footplate --version` answers in a tenth of a second.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import TextIO

from core.run.directory import home_from
from tui.commands.arguments import parse
from tui.commands.context import Context, speak_utf8
from tui.commands.data_arguments import answer_data
from tui.commands.export_arguments import answer_export
from tui.commands.score_arguments import answer_score


def main(argv: Sequence[str] | None = None) -> int:
    """Answer one command and return its exit code; `argv` is without the program's name."""
    speak_utf8()
    os.umask(0o077)
    environment = dict(os.environ)
    output, words = (stream or open(os.devnull, "w", encoding="utf-8") for stream in (sys.stdout, sys.stderr))  # noqa: SIM115
    context = Context(home_from(environment), environment, output, words, sys.stdin is not None and sys.stdin.isatty())
    try:
        code = _answer(parse(sys.argv[1:] if argv is None else list(argv)), context)
        output.flush()
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        from tui.commands.failure import explain

        code = explain(error, context)
    for stream in (output, words):
        _let_go_of_what_is_closed(stream)
    return code


def _answer(asked: argparse.Namespace, context: Context) -> int:
    if asked.version:
        from tui.commands.version import version

        print(version(), file=context.output)
        return 0
    match asked.command:
        case None:
            from tui.commands.console import console

            return console(context, attach=None)
        case "run" | "resume" | "attach":
            return _answer_watching(asked, context)
        case "check" | "measure" | "presets" | "schema":
            return _answer_presets(asked, context)
        case "runs" | "logs" | "stop" | "checkpoint":
            return _answer_runs(asked, context)
        case "data":
            return answer_data(asked, context)
    return _answer_helped(asked, context)


def _answer_watching(asked: argparse.Namespace, context: Context) -> int:
    from tui.commands import run

    match asked.command:
        case "run":
            how = run.Start(name=asked.name, overrides=tuple(asked.set), detach=asked.detach, as_json=asked.json)
            return run.run(asked.preset, how, context)
        case "resume":
            how = run.Start(overrides=tuple(asked.set), detach=asked.detach, as_json=asked.json)
            return run.resume(asked.run, how, context, allow_inexact=asked.allow_inexact)
    return run.attach(asked.run, context, as_json=asked.json)


def _answer_presets(asked: argparse.Namespace, context: Context) -> int:
    from tui.commands import presets

    match asked.command:
        case "check":
            return presets.check(asked.preset, tuple(asked.set), context, as_json=asked.json)
        case "measure":
            from tui.commands.measure import measure

            return measure(asked.preset, tuple(asked.set), context, steps=asked.steps, as_json=asked.json)
        case "presets":
            return presets.presets(context, as_json=asked.json)
    return presets.schema(context)


def _answer_runs(asked: argparse.Namespace, context: Context) -> int:
    from tui.commands import runs

    match asked.command:
        case "runs":
            return runs.runs(context, as_json=asked.json)
        case "logs":
            return runs.logs(asked.run, context, follow=asked.follow)
        case "stop":
            return runs.stop(asked.run, context, wait=asked.wait)
    return runs.checkpoint(asked.run, context, wait=asked.wait)


def _answer_helped(asked: argparse.Namespace, context: Context) -> int:
    match asked.command:
        case "sample":
            from tui.commands.sample import Wish, sample

            wish = Wish(asked.prompt, asked.max_new_tokens, asked.temperature, asked.seed)
            return sample(asked.run, wish, context, as_json=asked.json)
        case "export":
            return answer_export(asked, context)
        case "score":
            return answer_score(asked, context)
        case "fetch":
            from tui.commands.sample import fetch

            return fetch(asked.what, context)
    from tui.commands.doctor import doctor

    return doctor(context, as_json=asked.json)


def _let_go_of_what_is_closed(stream: TextIO) -> None:
    """Point a stream elsewhere where its reader is gone: the interpreter would leave with 120 because of it."""
    try:
        stream.flush()
    except (OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


if __name__ == "__main__":
    sys.exit(main())
