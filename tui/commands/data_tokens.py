"""`data tokens`: every token of a row, whether the loss counts it, and its class of source code where it has one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from core.data.subject import columns_from, find_subject
from core.data.tokens.encoders import syntax_of
from core.errors import UsageError
from tui.commands.context import Context
from tui.commands.data_preview import Window
from tui.commands.display import write
from tui.commands.output import cells, folded, shown
from tui.commands.query import ask
from tui.services.safe_text import safe_lines
from tui.services.syntax_classes import legend, letter_mark

_SECONDS = 600
"""A tokenizer may have to be fetched from the hub, a model file to be converted."""
_TEMPLATES = ("auto", "alpaca", "chat", "code")
_INDENT = "  "
_COUNTED, _SPECIAL = "32", "1;35"
_SIDES = {
    "chosen": "the better answer (chosen)",
    "rejected": "the worse answer (rejected)",
    "good": "judged good",
    "bad": "judged bad",
    "prompt": "the prompt, up to where the response begins",
    "answer": "the answer that comes with it",
}


@dataclass(frozen=True)
class Tokens:
    """Which row, and how it becomes tokens; None takes what the configuration says."""

    row: int = 0
    tokenizer: str | None = None
    template: str | None = None
    max_tokens: int | None = None
    window: Window = field(default_factory=Window)
    """What a path's rows look like."""

    def check(self) -> None:
        """Raise UsageError for what cannot be meant."""
        if self.row < 0:
            raise UsageError(f"--row {self.row}", hint="Rows are counted from 0.")
        if self.template not in (None, *_TEMPLATES):
            raise UsageError(f"--template {self.template}", hint=f"Templates: {', '.join(_TEMPLATES)}.")
        if self.max_tokens is not None and not 8 <= self.max_tokens <= 1_048_576:
            raise UsageError(f"--max-tokens {self.max_tokens}", hint="From 8 to 1,048,576.")
        if self.tokenizer == "":
            raise UsageError("--tokenizer is empty", hint="Name a folder, a file, a run, smollm2, or a hub name.")


def tokens(text: str, wish: Tokens, context: Context, *, as_json: bool) -> int:
    """Print the tokens of a row, with a mark on those that the loss counts; one object with --json.

    Raises: UsageError where there is no such row or no tokenizer; DataError where the row cannot be used.
    """
    wish.check()
    columns = columns_from(wish.window.columns)
    subject = find_subject(text, context.home, Path.cwd(), shape=wish.window.shape, columns=columns)
    question: dict[str, Any] = {"verb": "tokens", "data": subject.data.model_dump(mode="json"), "row": wish.row}
    if subject.seed is not None:
        question["seed"] = subject.seed
    if subject.model is not None:
        question["model"] = subject.model.model_dump(mode="json")
    if subject.weights is not None and syntax_of(subject.data) is not None:
        question["weights"] = subject.weights.model_dump(mode="json")
    chosen = {"template": wish.template, "max_tokens": wish.max_tokens, "tokenizer": _absolute(wish.tokenizer),
              "prepared": str(subject.prepared) if subject.prepared else None}  # fmt: skip
    answer = ask({**question, **{name: value for name, value in chosen.items() if value is not None}}, context,
                 seconds=_SECONDS)  # fmt: skip
    del answer["type"]
    if as_json:
        write(context, f"{json.dumps(answer)}\n")
    else:
        write(context, "".join(f"{line}\n" for line in _lines(answer, context)))
    if answer.get("stands_in"):
        context.say("The tokenizer of this data is still to be trained, or was not named; smollm2 stands in for it.")
    return 0


def _absolute(tokenizer: str | None) -> str | None:
    """Return a path from this folder as an absolute one: the helper works in another folder. Names stay names."""
    if tokenizer is None or not Path(tokenizer).expanduser().exists():
        return tokenizer
    return str(Path(tokenizer).expanduser().absolute())


def _lines(answer: dict[str, Any], context: Context) -> Iterator[str]:
    width = shutil.get_terminal_size().columns
    yield _styled(shown(f"row {answer['row']:,}  {answer['format']}  {answer['place']}"), "1", context)
    yield shown(f"tokenizer {answer['tokenizer']}, template {answer['template']}")
    examples = [answer, *answer["further"]]
    for number, example in enumerate(examples, 1):
        if len(examples) > 1 or example.get("side"):
            yield ""
            side = _SIDES.get(example.get("side", ""), f"example {number} of {len(examples)}")
            yield _styled(side, "1", context)
        yield from _example_lines(example, width, context)


def _example_lines(example: dict[str, Any], width: int, context: Context) -> Iterator[str]:
    yield from (f"! {line}" for fault in example["faults"] for line in folded(shown(fault), max(20, width - 2)))
    counts = example["counts"]
    share = f" ({counts['loss'] / counts['tokens']:.0%})" if counts["tokens"] else ""
    cut = f", {example['left_out']:,} more cut off" if example["left_out"] else ""
    yield f"{counts['tokens']:,} tokens{cut}: the loss counts {counts['loss']:,}{share}, {counts['special']:,} special"
    yield ""
    yield _styled("text", "1", context)
    for part in safe_lines(example["text"]):
        yield from (f"{_INDENT}{line}".rstrip() for line in folded(part.text, max(20, width - 3)))
    if "text_characters" in example:
        yield f"{_INDENT}... {example['text_characters']:,} characters in all"
    yield ""
    counted, masked, opening, closing, _ = _marks(context)
    yield _styled("tokens", "1", context) + (
        f"  {counted} the loss counts it, {masked} it does not, {opening}special token{closing}"
    )
    times = "×" if context.unicode else "x"
    marks = ((one.get("class"), one.get("weight"), bool(one["loss"])) for one in example["tokens"])
    classes = "; ".join(legend(marks, times))
    yield from (f"{_INDENT}{line}" for line in folded(classes, max(20, width - 3)) if classes)
    yield from _token_lines(example["tokens"], width, context)
    if "tokens_in_all" in example:
        yield f"{_INDENT}... {example['tokens_in_all']:,} tokens in all"


def _token_lines(shown_tokens: list[dict[str, Any]], width: int, context: Context) -> Iterator[str]:
    """Yield tokens in runs of the same mark; a new line begins where a token ends one."""
    counted, masked, opening, closing, bar = _marks(context)
    for is_counted, run in groupby(shown_tokens, key=lambda token: bool(token["loss"])):
        head = _styled(counted, _COUNTED, context) if is_counted else masked
        line, used = "", 0
        for token in run:
            text = f"{opening}{shown(token['text'])}{closing}" if token["special"] else _visible(token["text"], context)
            text += letter_mark(token.get("class"))
            size = cells(text) + 1
            if used and used + size > width - 5:
                yield f"{_INDENT}{head} {line}"
                line, used = "", 0
            colour = _SPECIAL if token["special"] else _COUNTED if is_counted else ""
            line += _styled(text, colour, context) + bar
            used += size
            if token["text"].endswith("\n"):
                yield f"{_INDENT}{head} {line}"
                line, used = "", 0
        if line:
            yield f"{_INDENT}{head} {line}"


def _visible(text: str, context: Context) -> str:
    newline, tab = ("⏎", "⇥") if context.unicode else ("\\n", "\\t")
    return shown(text.replace("\n", newline).replace("\t", tab))


def _marks(context: Context) -> tuple[str, str, str, str, str]:
    """Return the marks for counted, not counted, the beginning and end of a special token, and between tokens."""
    return ("█", "░", "⟪", "⟫", "▏") if context.unicode else ("#", ".", "<<", ">>", "|")


def _styled(text: str, style: str, context: Context) -> str:
    return f"\x1b[{style}m{text}\x1b[m" if style and context.colours else text
