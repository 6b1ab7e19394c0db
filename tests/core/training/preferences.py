"""Small preferences for tests: documents in memory, with the part of TokenShards that rows of pairs use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Document = tuple[list[int], list[int]]
"""Token ids and their marks, as shards of preferences have them."""

DOCUMENTS: list[Document] = [
    ([1, 2, 3, 4, 0, 1, 2, 5, 0], [0, 0, 1, 1, 1, 2, 2, 3, 3]),
    ([6, 7, 0], [2, 3, 3]),  # judged bad
    ([8, 9, 0, 8, 10, 0], [0, 1, 1, 2, 3, 3]),
    ([11, 12, 0], [0, 1, 1]),  # judged good
]


@dataclass
class PreferenceShards:
    """Documents of preferences in memory."""

    contents: Sequence[Document]
    split: str = "train"

    @property
    def documents(self) -> int:
        return len(self.contents)

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(ids) for ids, _ in self.contents])

    def document(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        ids, marks = self.contents[number]
        return np.array(ids, np.uint16), np.array(marks, np.uint8)


def pair(prompt: list[int], better: list[int], worse: list[int]) -> Document:
    """Return a document of a prompt and two answers."""
    ids = [*prompt, *better, *prompt, *worse]
    marks = [0] * len(prompt) + [1] * len(better) + [2] * len(prompt) + [3] * len(worse)
    return ids, marks


def judged(prompt: list[int], answer: list[int], *, is_good: bool) -> Document:
    """Return a document of a prompt and one answer."""
    offset = 0 if is_good else 2
    return [*prompt, *answer], [offset] * len(prompt) + [offset + 1] * len(answer)


def random_pairs(count: int, *, vocabulary: int, seed: int = 3, longest: int = 9) -> list[Document]:
    """Return pairs of unequal lengths."""
    generator = np.random.default_rng(seed)

    def some() -> list[int]:
        return [int(token) for token in generator.integers(vocabulary, size=int(generator.integers(1, longest)))]

    return [pair(some(), some(), some()) for _ in range(count)]
