"""Items of different lengths laid into bins of one capacity."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence


def best_fit(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Return bins of item numbers, every item once, by best-fit decreasing; the same input gives the same bins.

    The longest item comes first (of equals the one that stands first) and goes into the fullest bin that still takes
    it. Costs O(n log n): open bins are kept by their free space, of which there are at most `capacity` values.

    Units: lengths and capacity in tokens.
    Raises: ValueError where a length is not within 1 and capacity.
    Source: Johnson 1973, best-fit decreasing; for sequences Ding et al. 2024, https://arxiv.org/abs/2404.10830
    """
    bins: list[list[int]] = []
    spaces: list[int] = []  # the free spaces that open bins have, ascending, each once
    open_bins: dict[int, list[int]] = {}  # free space -> bins
    for item in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        length = int(lengths[item])
        if not 1 <= length <= capacity:
            raise ValueError(f"item {item}: expected a length within 1 and {capacity}, found {length}")
        at = bisect_left(spaces, length)
        if at == len(spaces):
            bins.append([item])
            _open(open_bins, spaces, len(bins) - 1, capacity - length)
            continue
        space = spaces[at]
        chosen = open_bins[space].pop()
        if not open_bins[space]:
            del open_bins[space], spaces[at]
        bins[chosen].append(item)
        _open(open_bins, spaces, chosen, space - length)
    return bins


def _open(open_bins: dict[int, list[int]], spaces: list[int], number: int, space: int) -> None:
    if space == 0:
        return
    if space not in open_bins:
        open_bins[space] = []
        insort(spaces, space)
    open_bins[space].append(number)
