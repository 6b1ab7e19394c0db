"""Several sources as one training split: which of their documents, how often, in which order."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from core.config.sources import Mix
from core.errors import DataError


def targets(mix: Mix, shares: Sequence[float], available: Sequence[int], names: Sequence[str]) -> list[float]:
    """Return how many tokens each source gives, from its share and the tokens that it has.

    Raises: DataError where a source has no tokens to train on, or would be gone through more often than
        `mix.max_epochs`.
    """
    for name, tokens in zip(names, available, strict=True):
        if mix.by != "once" and not tokens:
            raise DataError(f"{name}: expected tokens to mix, found none left", hint="Leave the source out.")
    match mix.by:
        case "once":
            return [float(tokens) for tokens in available]
        case "epochs":
            wanted = [share * tokens for share, tokens in zip(shares, available, strict=True)]
        case "tokens":
            wanted = list(shares)
        case "weight":
            scale = (
                mix.tokens / sum(shares)
                if mix.tokens is not None
                else min(tokens / share for share, tokens in zip(shares, available, strict=True))
            )
            wanted = [share * scale for share in shares]
    for name, taken, have in zip(names, wanted, available, strict=True):
        if taken > mix.max_epochs * have * (1 + 1e-9):
            raise DataError(
                f"{name}: the mix takes {taken:,.0f} tokens of a source that has {have:,}, which is "
                f"{taken / have:.2f} times through it (data.mix.max_epochs: {mix.max_epochs:g})",
                hint="Lower its share, add more of its kind, or raise data.mix.max_epochs.",
            )
    return wanted


def chosen(lengths: NDArray[np.int64], tokens: float, seed: int) -> NDArray[np.int64]:
    """Return which documents of a source give about so many tokens, in order: whole passes, then a part of one.

    The part is drawn from `seed` and keeps the order of the source; it ends with the document that reaches the number.
    Shapes: lengths (documents,), in tokens.
    """
    total = int(lengths.sum())
    passes, rest = divmod(tokens, total) if total else (0.0, 0.0)
    if total - rest < 0.5:  # a share that is a whole number but for rounding
        passes, rest = passes + 1, 0.0
    everything = np.arange(len(lengths), dtype=np.int64)
    parts = [everything] * int(passes)
    if rest >= 0.5:
        order = np.random.default_rng(seed).permutation(len(lengths))
        count = int(np.searchsorted(np.cumsum(lengths[order]), rest)) + 1
        parts.append(np.sort(order[:count]))
    return np.concatenate(parts) if parts else everything[:0]


def interleaved(
    choices: Sequence[NDArray[np.int64]], lengths: Sequence[NDArray[np.int64]]
) -> Iterator[tuple[int, int]]:
    """Yield (source, document) so that at any point each source has given about its part of the tokens."""
    totals = [float(lengths[number][choice].sum()) for number, choice in enumerate(choices)]
    queue = [(0.0, number, 0) for number, choice in enumerate(choices) if len(choice)]
    heapq.heapify(queue)
    while queue:
        share, number, at = heapq.heappop(queue)
        document = int(choices[number][at])
        yield number, document
        if at + 1 < len(choices[number]):
            heapq.heappush(queue, (share + lengths[number][document] / totals[number], number, at + 1))
