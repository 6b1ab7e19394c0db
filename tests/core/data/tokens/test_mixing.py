"""Mixtures: what each source gives, against numbers worked by hand, and that order and choice repeat."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.config.sources import Mix
from core.data.tokens.mixing import chosen, interleaved, targets
from core.errors import DataError

NAMES = ["books", "code"]


@pytest.mark.parametrize(
    ("mix", "shares", "expected"),
    [
        (Mix(), [1, 1], [1000, 300]),
        (Mix(by="epochs"), [0.5, 3], [500, 900]),
        (Mix(by="tokens"), [400, 600], [400, 600]),
        (Mix(by="weight", tokens=500), [3, 2], [300, 200]),
        (Mix(by="weight"), [3, 2], [450, 300]),  # the code is used up, the books follow
        (Mix(by="weight"), [9, 1], [1000, 1000 / 9]),  # the books are used up
    ],
)
def test_targets_by_hand(mix: Mix, shares: list[float], expected: list[float]) -> None:
    assert targets(mix, shares, [1000, 300], NAMES) == pytest.approx(expected)


def test_going_through_a_source_too_often_is_refused() -> None:
    with pytest.raises(DataError, match=r"code: the mix takes 1,500 tokens of a source that has 300.*5.00 times"):
        targets(Mix(by="tokens"), [100, 1500], [1000, 300], NAMES)
    assert targets(Mix(by="tokens", max_epochs=5), [100, 1500], [1000, 300], NAMES) == [100, 1500]
    with pytest.raises(DataError, match="books: expected tokens to mix, found none left"):
        targets(Mix(by="epochs"), [1, 1], [0, 300], NAMES)


def test_whole_passes_keep_the_order_and_a_part_is_drawn() -> None:
    lengths = np.array([10, 20, 30, 40])
    assert chosen(lengths, 100, seed=1).tolist() == [0, 1, 2, 3]
    assert chosen(lengths, 199.9999, seed=1).tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    part = chosen(lengths, 150, seed=1)
    assert part[:4].tolist() == [0, 1, 2, 3]
    assert part[4:].tolist() == sorted(set(part[4:].tolist()))
    assert 50 <= lengths[part[4:]].sum() < 50 + 40  # ends with the document that reaches the number
    assert part.tolist() == chosen(lengths, 150, seed=1).tolist()
    assert len({tuple(chosen(np.full(50, 7), 70, seed=seed).tolist()) for seed in range(9)}) == 9
    assert chosen(lengths, 0, seed=1).tolist() == []
    assert chosen(np.zeros(0, dtype=np.int64), 0, seed=1).tolist() == []


@given(st.lists(st.lists(st.integers(1, 50), min_size=1, max_size=40), min_size=1, max_size=4))
def test_every_choice_comes_once_and_no_source_runs_ahead(lengths: list[list[int]]) -> None:
    sizes = [np.array(found) for found in lengths]
    choices = [np.arange(len(found)) for found in sizes]
    order = list(interleaved(choices, sizes))
    for source, found in enumerate(choices):
        assert [document for number, document in order if number == source] == found.tolist()
    given_by = [0.0] * len(sizes)
    for source, document in islice(order, len(order) // 2):
        given_by[source] += sizes[source][document]
        shares = [got / found.sum() for got, found in zip(given_by, sizes, strict=True)]
        # Nobody is ahead of another by more than the document that it gave last.
        assert max(shares) - min(shares) <= max(found.max() / found.sum() for found in sizes) + 1e-9
