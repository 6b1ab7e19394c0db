"""Names of the lexers that mark source code: those of Pygments, without its plugins."""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache


def lexer_name(wanted: str) -> str | None:
    """Return the name that Pygments has for a language by name or alias, in any case; None where it knows none."""
    return _names().get(wanted.lower())


def similar_lexers(wanted: str) -> list[str]:
    """Return aliases that look like `wanted`, the likeliest first."""
    return get_close_matches(wanted.lower(), list(_names()), n=3, cutoff=0.6)


@cache
def _names() -> dict[str, str]:
    from pygments.lexers import get_all_lexers  # type: ignore[import-untyped]

    found = list(get_all_lexers(plugins=False))
    by_alias = {alias.lower(): name for name, aliases, _, _ in found for alias in aliases}
    return {name.lower(): name for name, *_ in found} | by_alias
