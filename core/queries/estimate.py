"""What the whole of a trial comes to: which tokenizer tells how many tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.config.data import LoadedTokenizer, TextData
from core.config.preferences import Preparable
from core.data.cleaning.trial import Candidate
from core.data.estimate import estimate
from core.data.tokens.added_tokens import with_added_tokens
from core.data.tokens.templates import TemplateName, resolve_template
from core.data.tokens.tokenize import TextTokenizer
from core.errors import FootplateError
from core.queries.tokens import find_tokenizer, load_once, tokens_to_add
from core.run.directory import Home


def estimate_of(
    data: Preparable, shares: Sequence[float | None], kept: Sequence[Candidate], home: Home
) -> dict[str, Any] | None:
    """Return documents, tokens and bytes on disk that stay of the whole; None where nobody can say.

    `exact`: every document was looked at. `stands_in`: the tokens are not those of the data's own tokenizer, which is
    still to be trained, or not on this machine.
    """
    tokenizer, template, stands_in = _tokenizer(data, home)
    found = estimate(data, shares, kept, tokenizer, template)
    return None if found is None else {**found.as_json(), "stands_in": stands_in}


def _tokenizer(data: Preparable, home: Home) -> tuple[TextTokenizer | None, TemplateName | None, bool]:
    """Return what turns documents into tokens as far as it is on this machine: a trial fetches nothing."""
    if isinstance(data.tokenizer, LoadedTokenizer) and not _is_here(data.tokenizer.path, home):
        return None, None, True
    try:
        place, stands_in = find_tokenizer(data, home)
        tokenizer, _ = with_added_tokens(load_once(place), tokens_to_add(data))
        template: TemplateName | None = None
        if not isinstance(data, TextData):
            template = resolve_template(data.template, tokenizer, data.code_tokens)
    except FootplateError:
        return None, None, True  # the usual bytes a token do; a tokenizer that is broken says so in the token view
    return tokenizer, template, stands_in


def _is_here(tokenizer: str, home: Home) -> bool:
    return tokenizer in home.fetched or Path(tokenizer).expanduser().exists()
