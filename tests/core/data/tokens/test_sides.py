"""A document of preferences or prompts told apart by its marks."""

from __future__ import annotations

import numpy as np
import pytest

from core.data.tokens.sides import has_one_side, marks_of_side, pair_of, prompt_of


def numbers(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8)


def test_a_pair_by_hand() -> None:
    ids = np.array([7, 8, 1, 2, 7, 8, 3], dtype=np.uint16)
    pair = pair_of(ids, numbers(0, 0, 1, 1, 2, 2, 3))
    assert len(pair) == 2
    better, worse = pair
    assert (better.ids.tolist(), better.supervised.tolist()) == ([7, 8, 1, 2], [False, False, True, True])
    assert (worse.ids.tolist(), worse.supervised.tolist()) == ([7, 8, 3], [False, False, True])
    assert (better.is_worse, worse.is_worse, better.ids.dtype) == (False, True, np.uint16)


@pytest.mark.parametrize(("marks", "is_worse"), [((0, 0, 1), False), ((2, 2, 3), True)])
def test_a_judged_answer_has_one_side(marks: tuple[int, ...], is_worse: bool) -> None:
    pair = pair_of(np.array([7, 8, 1]), numbers(*marks))
    assert len(pair) == 1
    (side,) = pair
    assert (side.ids.tolist(), side.supervised.tolist(), side.is_worse) == ([7, 8, 1], [False, False, True], is_worse)


def test_one_token_a_side_is_told_apart() -> None:
    better, *worse = pair_of(np.array([7, 9]), numbers(1, 3))
    assert (better.ids.tolist(), [side.ids.tolist() for side in worse]) == ([7], [[9]])
    assert has_one_side(numbers(1))


def test_a_side_is_marked_as_it_is_read() -> None:
    supervised = np.array([False, True])
    assert marks_of_side(supervised, is_worse=False).tolist() == [0, 1]
    assert marks_of_side(supervised, is_worse=True).tolist() == [2, 3]
    assert marks_of_side(supervised, is_worse=True).dtype == np.uint8


def test_a_prompt_with_and_without_an_answer() -> None:
    asked, answer = prompt_of(np.array([7, 8, 1]), numbers(0, 0, 1))
    assert (asked.tolist(), answer.tolist()) == ([7, 8], [1])
    asked, answer = prompt_of(np.array([7, 8]), numbers(0, 0))
    assert (asked.tolist(), answer.tolist()) == ([7, 8], [])
