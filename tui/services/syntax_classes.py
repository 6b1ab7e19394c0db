"""Letters and words for the classes of source code that tokens have."""

from __future__ import annotations

from collections.abc import Iterable

LETTERS = {
    "keyword": "k", "name": "n", "operator": "o", "literal": "l", "string": "s", "comment": "c", "whitespace": "w",
}  # fmt: skip
"""Stands behind a token of the class; nothing stands behind what is no source code."""


def letter_mark(name: str | None) -> str:
    """Return what stands behind a token of a class, such as /k."""
    return f"/{LETTERS[name]}" if name in LETTERS else ""


def legend(tokens: Iterable[tuple[str | None, float | None, bool]], times: str = "×") -> list[str]:
    """Return each class that is there as `/k keyword ×2, 13 tokens`, by class and weight of every token.

    The third value is whether the loss counts the token: so many tokens are named. `times` is the sign before a
    weight. Without classes there is no legend.
    """
    counts: dict[str, int] = {}
    weights: dict[str, float] = {}
    for name, weight, is_counted in tokens:
        if name is not None:
            counts[name] = counts.get(name, 0) + is_counted
            if weight is not None:
                weights[name] = weight
    named = [name for name in (*LETTERS, "other") if name in counts]
    return [
        f"{letter_mark(name)} {name}".strip()
        + (f" {times}{weights[name]:g}" if name in weights else "")
        + f", {counts[name]:,} token{'' if counts[name] == 1 else 's'}"
        for name in named
    ]
