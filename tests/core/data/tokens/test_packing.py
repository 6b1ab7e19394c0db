from __future__ import annotations

import random
import time

import pytest

from core.data.tokens.packing import best_fit


def test_best_fit_puts_an_item_into_the_fullest_bin_that_takes_it() -> None:
    # 6 and 5 open two bins with 4 and 5 left; 4 fits the first exactly, 3 and 2 the second.
    assert best_fit([3, 6, 4, 5, 2], 10) == [[1, 2], [3, 0, 4]]


@pytest.mark.parametrize("seed", range(5))
def test_every_item_once_and_capacity_never_exceeded(seed: int) -> None:
    draw = random.Random(seed)
    capacity = draw.choice([8, 100, 2048])
    lengths = [draw.randint(1, capacity) for _ in range(2000)]
    bins = best_fit(lengths, capacity)
    assert sorted(item for items in bins for item in items) == list(range(2000))
    assert max(sum(lengths[item] for item in items) for items in bins) <= capacity
    assert bins == best_fit(lengths, capacity)


def test_agrees_with_a_search_of_every_bin() -> None:
    """The same algorithm as a double loop; compared by what each bin holds."""
    draw = random.Random(3)
    lengths = [draw.randint(1, 50) for _ in range(300)]
    reference: list[list[int]] = []
    for length in sorted(lengths, reverse=True):
        open_bins = [items for items in reference if sum(items) + length <= 50]
        if open_bins:
            max(open_bins, key=sum).append(length)
        else:
            reference.append([length])
    found = sorted(sorted(lengths[item] for item in items) for items in best_fit(lengths, 50))
    assert sorted(map(sum, found)) == sorted(map(sum, reference))


@pytest.mark.parametrize("length", [0, 11, -1])
def test_a_length_that_no_bin_takes_is_an_error(length: int) -> None:
    with pytest.raises(ValueError, match="item 1: expected a length within 1 and 10"):
        best_fit([3, length], 10)


def test_many_items_take_little_time() -> None:
    draw = random.Random(0)
    lengths = [min(2048, int(draw.lognormvariate(5.5, 1)) + 1) for _ in range(100_000)]
    begin = time.monotonic()
    bins = best_fit(lengths, 2048)
    assert time.monotonic() - begin < 5  # 0.2 s alone on one core; a search of every bin takes minutes
    assert sum(lengths) / (2048 * len(bins)) > 0.99
