"""The parts of a document of preferences or of prompts, told by the marks beside its tokens.

    mark         pair                       judged answer           prompt
    0            the better side's prompt   prompt of a good one    the prompt as the template lays it
    1            the better answer          the good answer         the row's answer, encoded apart
    2            the worse side's prompt    prompt of a bad one
    3            the worse answer           the bad answer

The better side of a pair stands first. So bit 0 says that the loss may count a token, bit 1 that it is on the worse
side. A side is the whole example: prompt, answer and its end-of-turn token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COUNTED, WORSE = 1, 2
"""The bits of a mark."""

Marks = NDArray[np.uint8]


@dataclass(frozen=True)
class Side:
    """One prompt with one answer. Shapes: ids (tokens,) as they are stored, supervised (tokens,) bool."""

    ids: NDArray[Any]
    supervised: NDArray[np.bool_]
    is_worse: bool
    """The worse one of a pair, or an answer that was judged bad."""


def marks_of_side(supervised: NDArray[np.bool_], *, is_worse: bool) -> Marks:
    """Return the marks of a side: (tokens,)."""
    return supervised.astype(np.uint8) + np.uint8(WORSE * is_worse)


def has_one_side(marks: NDArray[np.bool_] | Marks) -> bool:
    """Return whether the tokens of a document, of which there is at least one, are all of one side."""
    return bool((marks[0] & WORSE) == (marks[-1] & WORSE))


def pair_of(ids: NDArray[Any], marks: Marks) -> tuple[Side, Side] | tuple[Side]:
    """Return the sides of a document of preferences: the better and the worse one, or the one that was judged.

    Shapes: ids and marks (tokens,), of the same length, at least one. They are views, not copies.
    """
    supervised = (marks & COUNTED).astype(np.bool_)
    if has_one_side(marks):
        return (Side(ids, supervised, bool(marks[0] & WORSE)),)
    at = int((marks & WORSE).argmax())
    return Side(ids[:at], supervised[:at], False), Side(ids[at:], supervised[at:], True)


def prompt_of(ids: NDArray[Any], marks: Marks) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the tokens of a prompt, and those of the answer that its row has, (0,) where it has none.

    Shapes: ids and marks (tokens,), of the same length.
    """
    at = len(ids) - int(np.count_nonzero(marks & COUNTED))
    return ids[:at], ids[at:]
