"""Conversations as token ids with a mark on each token that the loss counts, cut to a length."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from core.config.code import CodeTokens
from core.config.data import Accepted
from core.data.formats import Conversation, Turn
from core.data.tally import RowError
from core.data.tokens.alpaca_template import alpaca_pieces
from core.data.tokens.code_template import code_pieces
from core.data.tokens.faults import Fault, Faults
from core.data.tokens.marking import answer_classes
from core.data.tokens.piece import Piece, encode_pieces, encode_pieces_spanned, with_begin
from core.data.tokens.templates import ChatTemplate, TemplateName
from core.data.tokens.tokenize import TextTokenizer
from core.errors import DataError


@dataclass(frozen=True)
class Example:
    """Shapes: ids is (tokens,) int64, supervised (tokens,) bool, True on answers and their end-of-turn tokens.

    `classes`, (tokens,) uint8, are classes of source code (core.data.tokens.syntax), None where data.syntax is empty.
    """

    ids: NDArray[np.int64]
    supervised: NDArray[np.bool_]
    classes: NDArray[np.uint8] | None = None

    def part(self, *, head: int, start: int, stop: int, supervised: NDArray[np.bool_]) -> Example:
        """Return the first `head` tokens and those from `start` to before `stop`, of which `supervised` count."""
        kept = np.r_[0:head, start:stop]
        classes = None if self.classes is None else self.classes[kept]
        return Example(self.ids[kept], np.concatenate([np.zeros(head, dtype=np.bool_), supervised]), classes)


class ExampleEncoder:
    """Turns conversations into examples of at most `max_tokens` tokens.

    `accept` names faults that the configuration accepts: with `cut_answers` an answer that does not fit is cut at its
    end, else its row is given back as a RowError. Template code needs `code_tokens`. `syntax` is data.syntax.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        template: TemplateName,
        max_tokens: int,
        *,
        code_tokens: CodeTokens | None = None,
        accept: Sequence[Accepted] = (),
        syntax: str | None = None,
    ) -> None:
        self.faults = Faults()
        """What `encode` found where it was given no other count."""
        self._tokenizer = tokenizer
        self._syntax = syntax
        self._is_code = template == "code"
        self._max_tokens = max_tokens
        self._cut_answers = "cut_answers" in accept
        self._ends = {
            number
            for token in (*tokenizer.special_tokens, tokenizer.end_token)
            if token != tokenizer.unknown_token and (number := tokenizer.backend.token_to_id(token)) is not None
        }
        self._pieces: Callable[[Conversation], list[list[Piece]]]
        match template:
            case "chat":
                self._pieces = ChatTemplate(tokenizer).pieces
            case "alpaca":
                self._pieces = lambda conversation: [alpaca_pieces(conversation, tokenizer)]
            case "code":
                assert code_tokens is not None, "template code needs its tokens"
                self._pieces = lambda conversation: [code_pieces(conversation, tokenizer, code_tokens)]
            case _:
                assert_never(template)

    def encode(
        self, conversations: Sequence[Conversation], *, places: Sequence[str] = (), faults: Faults | None = None
    ) -> list[list[Example] | RowError]:
        """Return the examples of each conversation, or why there are none.

        There is one, but for a chat template that rewrites earlier turns; see `ChatTemplate.pieces`. Faults are
        counted with the conversations' `places`, in `faults` or in the encoder's own count.
        """
        result: list[list[Example] | RowError] = []
        for number, whole in enumerate(self.whole(conversations)):
            if isinstance(whole, RowError):
                result.append(whole)
                continue
            place = places[number] if places else ""
            result.append(self._fitted(whole, place, self.faults if faults is None else faults))
        return result

    def whole(self, conversations: Sequence[Conversation]) -> Iterator[list[Example] | RowError]:
        """Yield the examples of each conversation before they are cut to length and looked at for faults."""
        rendered: list[list[list[Piece]] | RowError] = []
        for conversation in conversations:
            try:
                rendered.append(self._pieces(conversation))
            except RowError as error:
                rendered.append(error)
        usable = [pieces for examples in rendered if not isinstance(examples, RowError) for pieces in examples]
        encoded = iter(self._encoded(usable))
        for examples in rendered:
            if isinstance(examples, RowError):
                yield examples
                continue
            whole = [next(encoded) for _ in examples]
            refused = next((one for one in whole if isinstance(one, RowError)), None)
            yield refused or [one for one in whole if not isinstance(one, RowError)]

    def template_faults(self, examples: Sequence[Example]) -> list[Fault]:
        """Return what the template did wrong with the examples of one row."""
        found: list[Fault] = []
        begin = self._tokenizer.begin_token_id
        if begin is not None and any(one.ids[:2].tolist() == [begin, begin] for one in examples):
            found.append("double_begin")
        if any(self._unended(one) for one in examples):
            found.append("no_end_of_turn")
        return found

    def _encoded(self, examples: list[list[Piece]]) -> Iterator[Example | RowError]:
        if self._syntax is None:
            for pieces, ids in zip(examples, encode_pieces(self._tokenizer, examples), strict=True):
                yield self._marked(pieces, ids, None)
            return
        for pieces, found in zip(examples, encode_pieces_spanned(self._tokenizer, examples), strict=True):
            try:
                classes = answer_classes(self._tokenizer, pieces, found, self._syntax, is_code=self._is_code)
            except RowError as error:
                yield error
            else:
                yield self._marked(pieces, [one.ids.tolist() for one in found], classes)

    def rendered(self, conversation: Conversation) -> list[list[Piece]]:
        """Return the pieces of each example of a conversation.

        Raises: RowError where the template cannot write it.
        """
        return self._pieces(conversation)

    def _marked(self, pieces: list[Piece], encoded: list[list[int]], classes: NDArray[np.uint8] | None) -> Example:
        ids = [token for piece in encoded for token in piece]
        flags = [piece.supervised for piece, tokens in zip(pieces, encoded, strict=True) for _ in tokens]
        begun = with_begin(self._tokenizer, ids)
        more = len(begun) - len(ids)
        return Example(
            np.array(begun, dtype=np.int64),
            np.array([False] * more + flags, dtype=np.bool_),
            None if classes is None else np.concatenate([np.zeros(more, dtype=np.uint8), classes]),
        )

    def _fitted(self, marked: list[Example], place: str, faults: Faults) -> list[Example] | RowError:
        """Return the examples of one row cut to length, or a RowError where none is left; count the row's faults."""
        faults.rows += 1
        for fault in self.template_faults(marked):
            faults.count(fault, place)
        examples: list[Example] = []
        refused: RowError | None = None
        for one in marked:
            try:
                examples.append(self._shortened(one))
            except RowError as error:
                refused = error
                if self._cut_answers:
                    examples.append(self._cut(one))
        if refused is not None:
            faults.count("over_long_answers", place)
        if refused is not None and not examples:
            return refused
        if not any(example.supervised.any() for example in examples):
            faults.count("unlabelled_rows", place)
        return examples

    def _unended(self, example: Example) -> bool:
        """Whether an answer that the loss counts has no special token at its end: nobody would learn to stop there."""
        counted = example.supervised
        ends = np.flatnonzero(counted & ~np.append(counted[1:], False))
        return any(int(example.ids[end]) not in self._ends for end in ends)

    def _shortened(self, example: Example) -> Example:
        # Where the tokenizer adds none, a first token that is its begin token is the mark of a turn (SmolLM2).
        return shortened(example, max_tokens=self._max_tokens, keep_first=self._tokenizer.adds_begin_token)

    def _cut(self, example: Example) -> Example:
        return cut(example, max_tokens=self._max_tokens, keep_first=self._tokenizer.adds_begin_token)


def shortened(example: Example, *, max_tokens: int, keep_first: bool) -> Example:
    """Return an example of at most `max_tokens` tokens: a longer one loses its start, never its last answer.

    `keep_first` keeps the begin token besides. An answer that lost its own start is no longer supervised: nobody would
    begin there.

    Raises: RowError where the last answer and one token before it do not fit.
    """
    length, flags = len(example.ids), example.supervised
    if length <= max_tokens:
        return example
    answer = last_answer(flags)
    if answer + 1 > max_tokens:
        raise RowError(
            "over_long", f"expected an answer of fewer than {max_tokens} tokens (data.max_tokens), found {answer}"
        )
    head = 1 if keep_first and answer + 2 <= max_tokens else 0
    start = length - (max_tokens - head)
    kept = flags[start:].copy()
    if flags[start - 1] and kept[0]:
        kept[: int(kept.argmin())] = False
    return example.part(head=head, start=start, stop=length, supervised=kept)


def cut(example: Example, *, max_tokens: int, keep_first: bool) -> Example:
    """Return the last answer of an example that does not fit, cut at its end: its end-of-turn token is lost.

    Before it stand the last tokens of what asks for it, at most half of `max_tokens`, the begin token included where
    `keep_first` keeps it. Nothing else is supervised.
    """
    flags = example.supervised
    begin = len(example.ids) - last_answer(flags)
    asked = min(begin, max_tokens // 2)
    head = 1 if keep_first and begin > asked else 0
    start = begin - asked + head
    stop = start + max_tokens - head
    kept = flags[start:stop].copy()
    kept[: begin - start] = False
    return example.part(head=head, start=start, stop=min(stop, len(example.ids)), supervised=kept)


def last_answer(flags: NDArray[np.bool_]) -> int:
    """Return how many tokens the answer has that ends an example."""
    return len(flags) if flags.all() else int(flags[::-1].argmin())


def stop_token_ids(
    tokenizer: TextTokenizer, template: TemplateName | None, accept: Sequence[Accepted] = ()
) -> list[int]:
    """Return what ends a continuation: the end token, and the end-of-turn token where the chat template has one.

    Raises: DataError where the chat template cannot be used for training, or has a fault that is not accepted.
    """
    ids = {tokenizer.end_token_id}
    if template == "chat":
        probe = Conversation((Turn("user", "Hello"), Turn("assistant", "Hello")))
        encoder = ExampleEncoder(tokenizer, template, 2**30)
        examples = encoder.encode([probe], places=["the chat template"])[0]
        if isinstance(examples, RowError):
            raise DataError(f"data.template: {examples}")
        encoder.faults.check(accept, 0.0)
        if not encoder.faults.counts["no_end_of_turn"]:
            ids.add(int(examples[0].ids[-1]))
    return sorted(ids)
