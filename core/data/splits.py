"""The two splits of a corpus."""

from __future__ import annotations

import hashlib

from core.data.formats import Canonical, turns_of_all
from core.data.manifest import Manifest, Split
from core.errors import DataError


def is_held_out(text: str, *, seed: int, fraction: float) -> bool:
    """Whether a document belongs to the held-out split: its hash decides, so that equal texts stay together."""
    digest = hashlib.blake2b(text.encode(), digest_size=8, salt=seed.to_bytes(16, "little")).digest()
    return int.from_bytes(digest, "little") < fraction * 2**64


def question_of(value: str | Canonical) -> str:
    """Return what decides about the split: a text, or the first question of a row, with its input.

    The conversations of one tree, all answers to one prompt, and pairs and prompts made of the same rows as
    instructions then stay on one side: what is held out was not trained in another row, nor in another phase.
    """
    if isinstance(value, str):
        return value
    first = next(turn for turn in turns_of_all(value) if turn.role == "user")
    return f"{first.content}\n{first.input}" if first.input else first.content


def check_splits(documents: dict[Split, int], fraction: float) -> None:
    """Raise DataError where a split that is to have documents has none."""
    for split, count in documents.items():
        if not count and (split == "train" or fraction > 0):
            word = "to train on" if split == "train" else "held out for evaluation"
            raise DataError(
                f"expected documents {word}, found none among {sum(documents.values())} "
                f"(data.held_out_fraction: {fraction:g})",
                hint="Begin anew with more documents, smaller ones (document: line or paragraph), looser filters, or "
                "another held_out_fraction; 0 holds nothing out.",
            )


def check_marks(manifest: Manifest) -> None:
    """Raise DataError where data.syntax is set and no token of the training split is source code."""
    if manifest.marked_share == 0:
        raise DataError(
            f"data.syntax: expected source code in what the loss counts, found none with {manifest.syntax}",
            hint="Name the language, such as data.syntax: python, or leave data.syntax out.",
        )
