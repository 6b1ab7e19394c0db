"""Conversations as text: which template, the chat template of a tokenizer, and prompts.

A template turns a conversation into pieces. Which tokens the loss counts is decided here, by construction and not by
searching token ids: the text of a turn is what rendering one message more adds to the text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NoReturn, assert_never

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from core.config.code import CodeTokens
from core.data.formats import Conversation
from core.data.tally import RowError, show
from core.data.tokens.added_tokens import check_special
from core.data.tokens.alpaca_template import alpaca_prompt
from core.data.tokens.code_template import code_fields, code_prompt, instruction_and_input
from core.data.tokens.piece import Piece, encode_pieces, with_begin
from core.data.tokens.tokenize import TextTokenizer
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import DataError

TemplateName = Literal["alpaca", "chat", "code"]

# Some chat templates write today's date. A fixed one (the default of Llama 3's) gives the same tokens every day.
TEMPLATE_DATE = datetime(2024, 7, 26)
_MARKS = ("\U000f0000", "\U000f0001")


def resolve_template(
    choice: Literal["auto", "alpaca", "chat", "code"], tokenizer: TextTokenizer, code_tokens: CodeTokens | None = None
) -> TemplateName:
    """Return the template that a choice means for this tokenizer: chat where it has a chat template, else alpaca.

    Raises: DataError where chat is asked for and the tokenizer has no chat template, or code and it lacks one of the
        `code_tokens`.
    """
    match choice:
        case "auto":
            return "chat" if tokenizer.chat_template else "alpaca"
        case "chat":
            if not tokenizer.chat_template:
                raise DataError(
                    "data.template: expected a tokenizer with a chat template, this one has none",
                    hint="Set template: alpaca, or take the tokenizer of a chat model.",
                )
            return "chat"
        case "code":
            assert code_tokens is not None, "template code needs its tokens"
            check_special(tokenizer, code_fields(code_tokens))
            return "code"
        case "alpaca":
            return "alpaca"
        case _:
            assert_never(choice)


class ChatTemplate:
    """The chat template that comes with a tokenizer, run in a sandbox, with the settings that transformers gives it."""

    def __init__(self, tokenizer: TextTokenizer) -> None:
        self._tokenizer = tokenizer
        try:
            self._template = _environment().from_string(tokenizer.chat_template or "")
        except jinja2.TemplateSyntaxError as error:
            raise DataError(f"chat template, line {error.lineno}: expected a Jinja template, found: {error}") from error

    def render(self, messages: Sequence[dict[str, str]], *, add_generation_prompt: bool) -> str:
        """Return the text of some messages, and where asked for the beginning of the assistant's next turn.

        Raises: RowError where the template refuses the messages.
        """
        names = self._tokenizer
        try:
            return self._template.render(
                messages=list(messages),
                add_generation_prompt=add_generation_prompt,
                tools=None,
                documents=None,
                bos_token=names.begin_token,
                eos_token=names.end_token,
                pad_token=names.pad_token,
                unk_token=names.unknown_token,
            )
        except (jinja2.TemplateError, TypeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
            raise RowError("template", f"the chat template refused it: {error}") from None

    def pieces(self, conversation: Conversation) -> list[list[Piece]]:
        """Return the examples of a conversation as pieces, supervised answers marked up to their end-of-turn tokens.

        There is one, with every assistant turn in it. Where the template writes an earlier turn otherwise once another
        follows (Qwen 3 drops its thoughts), each supervised turn is an example with what stands before it.

        Raises: RowError where the template rewrites the question when the answer comes: then nobody can say which
            tokens are the answer.
        """
        messages = [{**message, "content": self._marked(message["content"])} for message in conversation.messages()]
        steps: list[tuple[str, str, bool]] = []
        appends = True
        done = ""
        for number, turn in enumerate(conversation.turns):
            if turn.role != "assistant":
                continue
            asked = self.render(messages[:number], add_generation_prompt=True)
            answered = self.render(messages[: number + 1], add_generation_prompt=False)
            if not answered.startswith(asked):
                raise RowError(
                    "template",
                    f"expected a chat template that only appends, found one that rewrites what stands before "
                    f"messages[{number}]",
                )
            appends = appends and asked.startswith(done)
            done = answered[: len(asked) + self._end_of_turn(answered[len(asked) :])]
            steps.append((asked, done, turn.supervised))
        if appends:
            return [self._appended(steps)]
        counted = [step for step in steps if step[2]] or steps[-1:]
        return [self._appended([step]) for step in counted]

    def _appended(self, steps: Sequence[tuple[str, str, bool]]) -> list[Piece]:
        """Return texts up to an answer and with it, each of which goes on from the one before, as pieces."""
        result: list[Piece] = []
        done = ""
        for asked, answered, supervised in steps:
            result += self._split(asked[len(done) :], supervised=False)
            result += self._split(answered[len(asked) :], supervised=supervised)
            done = answered
        return result

    def prompt(self, messages: Sequence[dict[str, str]]) -> list[Piece]:
        """Return messages and the beginning of the assistant's turn, for a model to go on from."""
        marked = [{**message, "content": self._marked(message["content"])} for message in messages]
        return self._split(self.render(marked, add_generation_prompt=True), supervised=False)

    @cached_property
    def _marked_special(self) -> re.Pattern[str] | None:
        names = "|".join(map(re.escape, self._tokenizer.special_tokens))
        return re.compile(f"{_MARKS[0]}({names}){_MARKS[1]}") if names else None

    def _marked(self, content: str) -> str:
        # Private characters tell what stood in the data from what the template wrote (as transformers 5.24 does).
        special = self._tokenizer.special_pattern
        return special.sub(lambda found: f"{_MARKS[0]}{found[0]}{_MARKS[1]}", content) if special else content

    def _end_of_turn(self, answer: str) -> int:
        """Return the length of an answer up to and with its end-of-turn token, which only space may follow.

        Where there is no such token the answer ends with its last character that is no space.
        """
        stop, special = 0, self._tokenizer.special_pattern
        for found in special.finditer(answer) if special else ():
            if answer[found.end() : found.end() + 1] != _MARKS[1]:
                stop = found.end()
        return stop if stop and not answer[stop:].strip() else len(answer.rstrip())

    def _split(self, text: str, *, supervised: bool) -> list[Piece]:
        # re.split with one group: template, marked, template, marked, ..., template
        parts = self._marked_special.split(text) if self._marked_special else [text]
        return [Piece(part, number % 2 == 0, supervised) for number, part in enumerate(parts) if part]


def render_prompt(
    folder: Path, template: Literal["none"] | TemplateName, prompt: str, code_tokens: CodeTokens | None = None
) -> list[int]:
    """Return the token ids from which a model goes on, as training laid them.

    `none` is text to continue, `alpaca` an instruction without input, `chat` one user turn of the chat template, `code`
    an instruction, and as its input what stands behind a line `### Input:`; it needs `code_tokens`.

    Raises: DataError where the tokenizer cannot be used with the template.
    """
    tokenizer = load_tokenizer(folder)
    match template:
        case "none":
            pieces = [Piece(prompt, control=False, supervised=False)]
        case "alpaca":
            pieces = [Piece(alpaca_prompt(prompt), control=False, supervised=False)]
        case "chat":
            resolve_template("chat", tokenizer)
            try:
                pieces = ChatTemplate(tokenizer).prompt([{"role": "user", "content": prompt}])
            except RowError as error:
                raise DataError(f"prompt {show(prompt)}: {error}") from error
        case "code":
            assert code_tokens is not None, "template code needs its tokens"
            resolve_template("code", tokenizer, code_tokens)
            pieces = code_prompt(*instruction_and_input(prompt), code_tokens)
        case _:
            assert_never(template)
    ids = [token for piece in encode_pieces(tokenizer, [pieces])[0] for token in piece]
    return with_begin(tokenizer, ids)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation]
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = TEMPLATE_DATE.strftime
    return environment


class _Generation(jinja2.ext.Extension):
    """`{% generation %}` of transformers marks an assistant's text; here it only has to be accepted."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None,
            sort_keys: bool = False) -> str:  # fmt: skip
    # Jinja's own escapes HTML, which no chat template wants.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
