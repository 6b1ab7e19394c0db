"""What `footplate data` accepts, and which function answers it; imports nothing heavy until it is asked."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tui.commands.context import Context

EXAMPLES = """\
examples:
  footplate data inspect ./corpus                          what is it, how many rows, how many bad ones
  footplate data preview rows.jsonl --rows 3               rows as they come out: turns, answers, documents
  footplate data preview rows.csv --column text=body       name a column that has another name than usual
  footplate data filter-report pages.warc.gz               try filters on the beginning, count by rule
  footplate data filter-report my-run --show length.too_short    what a rule dropped, and for what value
  footplate data tokens rows.jsonl --tokenizer smollm2     the tokens of a row, and which of them the loss counts

PATH is a file or a folder of anything that is known, PRESET a name from `footplate presets` or a file, RUN a finished
prepare run. Nothing is written, and nothing but the path needs to be said.
"""


def add_data(data: argparse.ArgumentParser) -> None:
    """Add the commands below `data`; `inner` of the parsed arguments is the parser of the one that was named."""
    data.epilog = EXAMPLES
    group = data.add_subparsers(dest="data_command", metavar="COMMAND", required=True, parser_class=type(data))

    def command(name: str, words: str) -> argparse.ArgumentParser:
        about = words[0].upper() + words[1:] + "."
        inner = group.add_parser(name, help=words, description=about, allow_abbrev=False)
        inner.set_defaults(inner=inner)
        inner.add_argument("--json", action="store_true", help="print objects, one a line")
        return inner

    inspect = command("inspect", "say what a file or folder is: its format, its rows, its bad rows, its columns")
    inspect.add_argument("path", metavar="PATH")
    inspect.add_argument("--limit", type=int, metavar="N", help="look at the first N rows of each file only")

    preview = command("preview", "show rows as they come out")
    preview.add_argument("what", metavar="PATH|PRESET")
    preview.add_argument("--rows", type=int, default=5, metavar="N", help="how many (default: 5)")
    preview.add_argument("--start", type=int, default=0, metavar="K", help="begin at row K, counted from 0")
    _add_shape(preview)

    report = command("filter-report", "count what filters dropped by rule, in a run or on a sample, and show why")
    report.add_argument("what", metavar="RUN|PRESET|PATH")
    report.add_argument("--filters", metavar="FILE", help="try the filters of a YAML file (default: the preset's)")
    report.add_argument("--sample", type=int, metavar="N", help="try them on N documents (default: 1000)")
    report.add_argument("--show", metavar="RULE", help="show the documents that a rule dropped, and for what value")
    report.add_argument("--rows", type=int, default=10, metavar="N", help="with --show, how many (default: 10)")
    _add_shape(report)

    tokens = command("tokens", "show every token of a row, and whether the loss counts it")
    tokens.add_argument("what", metavar="PATH|PRESET")
    tokens.add_argument("--row", type=int, default=0, metavar="K", help="which row, counted from 0")
    tokens.add_argument("--tokenizer", metavar="PLACE", help="a folder, a file, a run, smollm2, or a name on the hub")
    tokens.add_argument("--template", metavar="T", help="auto, alpaca, chat or code")
    tokens.add_argument("--max-tokens", type=int, metavar="N", help="cut the row to so many tokens")
    _add_shape(tokens)


def _add_shape(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", default="auto", metavar="F", help="the format of a path's rows (default: auto)")
    parser.add_argument("--column", action="append", default=[], metavar="ROLE=NAME",
                        help="which column holds what, such as text=body (again for more)")  # fmt: skip


def answer_data(asked: argparse.Namespace, context: Context) -> int:
    """Answer one of the commands."""
    from tui.commands.data_preview import Window, preview

    match asked.data_command:
        case "inspect":
            from tui.commands.data_inspect import inspect

            return inspect(asked.path, asked.limit, context, as_json=asked.json)
        case "filter-report":
            from tui.commands.data_filters import Wanted, filter_report

            shape = Window(shape=asked.format, columns=tuple(asked.column))
            wanted = Wanted(asked.filters, asked.sample, asked.show, asked.rows, shape)
            return filter_report(asked.what, wanted, context, as_json=asked.json)
        case "tokens":
            from tui.commands.data_tokens import Tokens, tokens

            shape = Window(shape=asked.format, columns=tuple(asked.column))
            wish = Tokens(asked.row, asked.tokenizer, asked.template, asked.max_tokens, shape)
            return tokens(asked.what, wish, context, as_json=asked.json)
    window = Window(asked.start, asked.rows, asked.format, tuple(asked.column))
    return preview(asked.what, window, context, as_json=asked.json)
