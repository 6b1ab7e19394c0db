"""Pairs of answers, judged answers and prompts as token ids with their marks (core.data.tokens.sides), cut to a length.

Both sides of a pair are laid by the template as fine-tuning lays them, so that what a reward model or a policy reads
is what a fine-tuned model wrote. A prompt is laid up to where the response begins, and is exactly what stands before
the last answer of a conversation in fine-tuning.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from unicodedata import normalize

import numpy as np
from numpy.typing import NDArray

from core.data.formats import Conversation, Judged, Preference, Prompt, Turn, unsupervised
from core.data.tally import RowError, show
from core.data.tokens.examples import Example, ExampleEncoder, last_answer, shortened
from core.data.tokens.faults import Faults
from core.data.tokens.sides import Marks, marks_of_side
from core.data.tokens.tokenize import TextTokenizer

Answered = Preference | Judged | Prompt
Marked = tuple[NDArray[np.int64], Marks]
"""Ids of a document and their marks. Shapes: (tokens,) each."""
_STAND_IN = Turn("assistant", "x")


class AnsweredEncoder:
    """Turns pairs, judged answers and prompts into documents; every side, and every prompt, has at most `max_tokens`.

    `encoder` lays conversations by the template; its own length does not matter.
    """

    def __init__(self, tokenizer: TextTokenizer, encoder: ExampleEncoder, max_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._max_tokens = max_tokens

    def encode(self, rows: Sequence[Answered], *, places: Sequence[str], faults: Faults) -> list[Marked | RowError]:
        """Return the document of each row, or why there is none; faults of the template are counted in `faults`."""
        conversations = [sides_of(row) for row in rows]
        laid = self._encoder.whole([side for sides in conversations for side in sides])
        result: list[Marked | RowError] = []
        for row, sides, place in zip(rows, conversations, places, strict=True):
            try:
                # All sides are taken before one of them may be refused: `laid` has those of every row.
                found = [next(laid) for _ in sides]
                examples = [_one(examples) for examples in found]
                faults.rows += 1
                for fault in self._encoder.template_faults(examples):
                    faults.count(fault, place)
                result.append(self._document(row, examples))
            except RowError as error:
                result.append(error)
        return result

    def whole(self, row: Answered) -> list[Example]:
        """Return the sides of a row before they are cut to length; of a prompt what stands before the response.

        Raises: RowError where the template cannot write it.
        """
        examples = [_one(examples) for examples in self._encoder.whole(sides_of(row))]
        return [_asked(examples[0])] if isinstance(row, Prompt) else examples

    def _document(self, row: Answered, examples: list[Example]) -> Marked:
        match row:
            case Prompt():
                return self._prompt(row, examples[0])
            case Judged():
                (side,) = examples
                return _joined([(self._shortened(side), not row.label)])
            case Preference():
                better, worse = self.pair(*examples)
                return _joined([(better, False), (worse, True)])

    def pair(self, better: Example, worse: Example) -> tuple[Example, Example]:
        """Return both sides of a pair without the start of their prompt that does not fit.

        Raises: RowError where both sides are the same, have not the same prompt, or an answer does not fit.
        """
        asked = _prompt_length(better)
        if asked != _prompt_length(worse) or not np.array_equal(better.ids[:asked], worse.ids[:asked]):
            raise RowError("template", "expected the same prompt on both sides, found a template that writes two")
        if np.array_equal(better.ids, worse.ids):
            raise RowError("equal_pair", "expected two answers that differ, found the same tokens twice")
        more = max(len(better.ids), len(worse.ids)) - self._max_tokens
        if more <= 0:
            return better, worse
        answer = max(len(better.ids), len(worse.ids)) - asked
        _check_fits(answer, self._max_tokens)
        head = 1 if self._tokenizer.adds_begin_token and answer + 2 <= self._max_tokens else 0
        better, worse = (
            side.part(head=head, start=head + more, stop=len(side.ids), supervised=side.supervised[head + more :])
            for side in (better, worse)
        )
        return better, worse

    def _shortened(self, side: Example) -> Example:
        answer = len(side.ids) - _prompt_length(side)
        if len(side.ids) > self._max_tokens:
            _check_fits(answer, self._max_tokens)
        return shortened(side, max_tokens=self._max_tokens, keep_first=self._tokenizer.adds_begin_token)

    def _prompt(self, row: Prompt, example: Example) -> Marked:
        ids = _asked(example).ids
        if (more := len(ids) - self._max_tokens) > 0:
            head = 1 if self._tokenizer.adds_begin_token else 0
            ids = np.concatenate([ids[:head], ids[head + more :]])
        answer = self.answer(row)
        marks = np.repeat(np.array([0, 1], dtype=np.uint8), [len(ids), len(answer)])
        return np.concatenate([ids, answer]), marks

    def answer(self, row: Prompt) -> NDArray[np.int64]:
        """Return the tokens of the answer that comes with a prompt, without template and end: (tokens,).

        Raises: RowError where they do not give the same text back, space around it and the form of accents apart: many
        tokenizers compose those (NFC).
        """
        if row.answer is None:
            return np.zeros(0, dtype=np.int64)
        ids = self._tokenizer.encode([row.answer], control=False, continued=False)[0]
        if normalize("NFC", back := answer_text(self._tokenizer, ids)).strip() != normalize("NFC", row.answer).strip():
            raise RowError(
                "answer", f"expected an answer that the tokenizer can write, found {show(row.answer)}, of which its "
                f"tokens make {show(back)}",
            )  # fmt: skip
        return np.array(ids, dtype=np.int64)


def answer_text(tokenizer: TextTokenizer, ids: Sequence[int]) -> str:
    """Return the text of the answer that comes with a prompt, from its tokens."""
    return str(tokenizer.backend.decode(list(ids), skip_special_tokens=False))


def sides_of(row: Answered) -> list[Conversation]:
    """Return a row as the conversations that the template lays; only what answers its prompt is supervised.

    Of a prompt that is its turns with a stand-in for the response.
    """
    match row:
        case Preference():
            return [_supervised(row.prompt, answers) for answers in (row.chosen, row.rejected)]
        case Judged():
            turns = row.conversation.turns
            return [_supervised(turns[:-1], turns[-1:])]
        case Prompt():
            return [_supervised(row.turns, (_STAND_IN,))]


def _supervised(prompt: tuple[Turn, ...], answers: tuple[Turn, ...]) -> Conversation:
    return Conversation((*unsupervised(prompt), *(replace(turn, supervised=True) for turn in answers)))


def _one(examples: list[Example] | RowError) -> Example:
    if isinstance(examples, RowError):
        raise examples
    if len(examples) != 1:
        raise RowError("template", "expected a chat template that keeps earlier answers of one side, found another")
    return examples[0]


def _prompt_length(example: Example) -> int:
    return int(example.supervised.argmax()) if example.supervised.any() else len(example.ids)


def _asked(example: Example) -> Example:
    """Return what stands before the response."""
    stop = len(example.ids) - last_answer(example.supervised)
    return example.part(head=0, start=0, stop=stop, supervised=example.supervised[:stop])


def _check_fits(answer: int, max_tokens: int) -> None:
    if answer + 1 > max_tokens:
        raise RowError(
            "over_long",
            f"expected an answer of fewer than {max_tokens} tokens (data.max_tokens), found {answer}; data.accept: "
            "[dropped_answers] leaves such rows out",
        )


def _joined(sides: Sequence[tuple[Example, bool]]) -> Marked:
    ids = np.concatenate([side.ids for side, _ in sides])
    return ids, np.concatenate([marks_of_side(side.supervised, is_worse=is_worse) for side, is_worse in sides])
