"""Beginnings that documents of a row have in common, such as the prompt of several answers: read once, not once each.

A row with shared prefixes holds the documents first, each without its prefix, then the prefixes, then padding. So
whatever looks at a document's own tokens (targets, its last one) need not know of prefixes; attention alone does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.model.batch import IGNORED, PackedBatch, SharedPrefixes

_SHORTEST = 32
"""Tokens below which a prefix of its own costs as much as it saves: 10 + 200 tokens 213 and 229 ms, 60 + 60 tokens 114
and 95 ms (width 256, two groups of two, beside other work)."""


def worth_sharing(tokens: int) -> int:
    """Return how many of the tokens that documents begin with are to be shared: all or, of few, none."""
    return tokens if tokens >= _SHORTEST else 0


def share_prefixes(batch: PackedBatch, groups: Sequence[tuple[int, int]]) -> PackedBatch:
    """Return the same documents with each shared prefix in the row once.

    groups: how many documents follow each other that begin with the same tokens, and how many these are; for all
    documents of `batch`, which is not padded. 0 tokens: nothing is shared. A prefix has no targets, and every document
    is longer than its own.
    """
    assert batch.padding == 0
    assert sum(documents for documents, _ in groups) == len(batch.lengths)
    edges = np.cumsum([0, *batch.lengths])
    own: list[range] = []  # of each document, in the old row
    prefixes: list[range] = []
    prefix_of: list[int | None] = []
    for documents, tokens in groups:
        first = len(own)
        own += [range(edges[n] + tokens, edges[n + 1]) for n in range(first, first + documents)]
        prefix_of += [len(prefixes) if tokens else None] * documents
        if tokens:
            prefixes.append(range(edges[first], edges[first] + tokens))
    if not prefixes:
        return batch
    assert all(map(len, own)), "a document is nothing but its prefix"
    order = torch.from_numpy(np.concatenate([*own, *prefixes]))
    lengths = tuple(map(len, [*own, *prefixes]))
    starts = np.cumsum([0, *lengths])
    _check_prefixes(batch, groups, edges)
    seen = [
        [*_of_prefix(starts, len(own), prefix), *range(starts[n], starts[n + 1])]
        for n, prefix in enumerate([*prefix_of, *[None] * len(prefixes)])
    ]
    key_lengths = tuple(map(len, seen))
    return replace(
        batch,
        input_ids=batch.input_ids[:, order],
        targets=batch.targets[:, order],
        position_ids=batch.position_ids[:, order],
        weights=None if batch.weights is None else batch.weights[:, order],
        boundaries=torch.from_numpy(starts.astype(np.int32)),
        lengths=lengths,
        prefixes=SharedPrefixes(
            places=torch.from_numpy(np.concatenate(seen).astype(np.int64)),
            boundaries=torch.from_numpy(np.cumsum([0, *key_lengths]).astype(np.int32)),
            lengths=key_lengths,
            count=len(prefixes),
        ),
    )


def _check_prefixes(batch: PackedBatch, groups: Sequence[tuple[int, int]], edges: NDArray[np.int64]) -> None:
    """Check what would be lost without a word: other tokens, or targets, in what a group shares."""
    first = 0
    for documents, tokens in groups:
        spans = [slice(begin, begin + tokens) for begin in edges[first : first + documents]]
        assert all(bool((batch.targets[0, span] == IGNORED).all()) for span in spans), "a prefix has targets"
        ids = [batch.input_ids[0, span] for span in spans]
        assert all(torch.equal(ids[0], other) for other in ids), "documents of a group begin with other tokens"
        first += documents


def _of_prefix(starts: NDArray[np.int64], documents: int, prefix: int | None) -> range:
    return range(0) if prefix is None else range(starts[documents + prefix], starts[documents + prefix + 1])


def unshared(batch: PackedBatch) -> tuple[PackedBatch, Tensor]:
    """Return the documents whole again, without targets, and where each token of `batch` stands in that row, (tokens,).

    A token of a prefix stands there several times: one of them is named.
    """
    shared = batch.prefixes
    assert shared is not None
    documents = len(batch.lengths) - shared.count
    lengths = shared.lengths[:documents]
    places = shared.places[: sum(lengths)]
    found = torch.empty(batch.input_ids.shape[1], dtype=torch.int64, device=places.device)
    found[places] = torch.arange(len(places), device=places.device)
    whole = replace(
        batch,
        input_ids=batch.input_ids[:, places],
        targets=torch.full((1, len(places)), IGNORED, device=places.device),
        position_ids=batch.position_ids[:, places],
        weights=None,
        boundaries=shared.boundaries[: documents + 1],
        lengths=lengths,
        prefixes=None,
    )
    return whole, found
