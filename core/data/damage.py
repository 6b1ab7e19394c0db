"""A worse answer made from a good one by a stated rule: pairs for a reward model from rows that have one answer.

What is damaged are the parts of an answer: its lines; where it has one line, the words of it; where it has one word,
the characters of that. Blank lines stay where they are. What is drawn depends on the seed and the row alone, so that
the same row always gets the same worse answer.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import assert_never

from core.config.preferences import Damage
from core.data.formats import Conversation, Preference, Turn, unsupervised
from core.data.splits import is_held_out, question_of
from core.data.tally import RowError, Tally

Placed = tuple[str, Conversation]
"""A row with its place."""

BLOCK = 1024
"""other_answer takes the answer of one of about so many rows around a row."""
_TRIES = 8
_LOOP = 4
"""Parts that `repeat` says again, at most."""


def damaged_pairs(
    stream: Iterable[Placed], damage: Damage, tally: Tally, *, seed: int, held_out_fraction: float
) -> Iterator[tuple[str, Preference]]:
    """Yield each conversation as a pair: its last answer, and that damaged. `damage.rule` is not none.

    other_answer takes the answer of another row of the same split, so that no held-out answer is trained on.
    Rows whose damaged answer is the answer (a single character, equal lines) are counted in `tally` as equal_pair.
    """
    before: list[_Row] = []
    rows = (_Row.of(placed, seed=seed, held_out_fraction=held_out_fraction) for placed in stream)
    while block := list(islice(rows, BLOCK)):
        others = [*before, *block] if damage.rule == "other_answer" else []
        for row in block:
            try:
                yield row.place, _pair(row, damage, others, seed)
            except RowError as error:
                tally.refuse(row.place, error)
        before = block


@dataclass(frozen=True)
class _Row:
    place: str
    conversation: Conversation
    is_held_out: bool

    @classmethod
    def of(cls, placed: Placed, *, seed: int, held_out_fraction: float) -> _Row:
        place, conversation = placed
        question = question_of(conversation)
        return cls(place, conversation, is_held_out(question, seed=seed, fraction=held_out_fraction))

    @property
    def answer(self) -> str:
        return self.conversation.turns[-1].content


def _pair(row: _Row, damage: Damage, others: Sequence[_Row], seed: int) -> Preference:
    *prompt, answer = row.conversation.turns
    drawn = _generator(seed, row.conversation)
    if damage.rule == "other_answer":
        answers = [one.answer for one in others if one.is_held_out == row.is_held_out]
        worse = _other(row.answer, answers, drawn)
    else:
        worse = damaged(row.answer, damage, drawn)
    if worse.strip() == row.answer.strip() or not worse.strip():
        raise RowError("equal_pair", f"expected an answer that {damage.rule} makes worse, found one that it leaves")
    return Preference(unsupervised(prompt), (Turn("assistant", answer.content),), (Turn("assistant", worse),))


def _other(answer: str, answers: Sequence[str], drawn: random.Random) -> str:
    """Return an answer that is another one, from where a draw points at on; `answer` where all are the same."""
    first = drawn.randrange(len(answers))
    turned = (answers[(first + step) % len(answers)] for step in range(len(answers)))
    return next((other for other in turned if other.strip() != answer.strip()), answer)


def damaged(answer: str, damage: Damage, drawn: random.Random) -> str:
    """Return an answer damaged by any rule but none and other_answer; the answer itself where nothing can be done.

    `damage.strength` is the share of the parts that is moved, said anew or left out, at least one part.
    """
    if not answer.strip():
        return answer
    match damage.rule:
        case "shuffle_lines":
            return _shuffled(answer, _parted(answer), damage.strength, drawn)
        case "shuffle_words":
            return _shuffled(answer, _words(answer), damage.strength, drawn)
        case "repeat":
            return _repeated(_parted(answer), damage.strength, drawn)
        case "cut":
            parts = _parted(answer)
            kept = max(1, len(parts.texts) - _count(parts, damage.strength))
            return parts.joined(parts.texts[:kept])
        case "none" | "other_answer":
            raise ValueError(f"{damage.rule} is no damage to one answer")
        case _:
            assert_never(damage.rule)


@dataclass(frozen=True)
class _Parts:
    """The parts of an answer; `gaps[n]` stands before part n, and the last one at the end."""

    texts: list[str]
    gaps: list[str]

    def joined(self, texts: Sequence[str]) -> str:
        """Return an answer of other texts, one after another, with the gaps of this one; further ones have none."""
        gaps = [*self.gaps[:-1][: len(texts)], *[""] * (len(texts) - len(self.texts))]
        end = self.gaps[-1] if len(texts) == len(self.texts) else ""
        return "".join(gap + text for gap, text in zip(gaps, texts, strict=True)) + end


def _parted(answer: str) -> _Parts:
    """Return the lines of an answer that say something; where there is one, its words."""
    lines = _split(answer, r"(\n)")
    return lines if len(lines.texts) > 1 else _words(answer)


def _words(answer: str) -> _Parts:
    words = _split(answer, r"(\s+)")
    if len(words.texts) > 1:
        return words
    text = answer.strip()
    before, _, after = answer.partition(text)
    return _Parts(list(text), [before, *[""] * (len(text) - 1), after])


def _split(answer: str, between: str) -> _Parts:
    texts: list[str] = []
    gaps = [""]
    for number, part in enumerate(re.split(between, answer)):
        if number % 2 or not part.strip():
            gaps[-1] += part
        else:
            texts.append(part)
            gaps.append("")
    return _Parts(texts, gaps)


def _count(parts: _Parts, strength: float) -> int:
    return max(1, round(strength * len(parts.texts)))


def _shuffled(answer: str, parts: _Parts, strength: float, drawn: random.Random) -> str:
    """Put parts in one another's places, in a circle, so that none of those that are chosen stays."""
    size = len(parts.texts)
    if size < 2:
        return answer
    for _ in range(_TRIES):
        places = drawn.sample(range(size), max(2, min(size, _count(parts, strength))))
        texts = list(parts.texts)
        for place, source in zip(places, [*places[1:], places[0]], strict=True):
            texts[place] = parts.texts[source]
        if texts != parts.texts:
            return parts.joined(texts)
    return answer


def _repeated(parts: _Parts, strength: float, drawn: random.Random) -> str:
    """Put in place of the end of an answer what stood before it, again and again: it stays about as long."""
    begin = max(1, len(parts.texts) - _count(parts, strength))
    loop = parts.texts[begin - drawn.randint(1, min(_LOOP, begin)) : begin]
    more = max(1, len(parts.texts) - begin)
    return parts.joined([*parts.texts[:begin], *(loop[number % len(loop)] for number in range(more))])


def _generator(seed: int, conversation: Conversation) -> random.Random:
    salt = seed.to_bytes(16, "little")
    digest = hashlib.blake2b(conversation.dumped().encode("utf-8", "surrogatepass"), digest_size=8, salt=salt).digest()
    return random.Random(int.from_bytes(digest, "little"))
