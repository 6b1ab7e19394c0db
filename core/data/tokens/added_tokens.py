"""Special tokens that a configuration adds to a tokenizer that exists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer

from core.data.tokens.tokenize import TextTokenizer
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import DataError


def add_tokens(folder: Path, tokens: Sequence[str]) -> list[str]:
    """Make each of `tokens` a special token of the tokenizer in `folder`; return those that are new.

    The new ones get the ids after the last one, in the order of `tokens`, in tokenizer.json and in what transformers
    reads beside it. An added token that text could become (Qwen's <|fim_prefix|>) keeps its id and becomes special.

    Raises: DataError as `with_added_tokens`.
    """
    before = load_tokenizer(folder)
    after, new = with_added_tokens(before, tokens)
    if after is before:
        return []
    after.backend.save(str(folder / "tokenizer.json"))
    _write_beside(folder, after.backend, tokens, new)
    return new


def with_added_tokens(tokenizer: TextTokenizer, tokens: Sequence[str]) -> tuple[TextTokenizer, list[str]]:
    """Return a tokenizer that has each of `tokens` as a special token, and which of them are new.

    Where it has them all it is the same object; else its backend is another one.

    Raises: DataError where one is an ordinary token of the vocabulary, to which text may be encoded, or where ids would
        not follow the last one.
    """
    decoder = tokenizer.backend.get_added_tokens_decoder().values()
    special = {token.content: token.special for token in decoder}
    tokens = list(dict.fromkeys(tokens))
    missing = [token for token in tokens if token not in special]
    for token in missing:
        if (number := tokenizer.backend.token_to_id(token)) is not None:
            raise DataError(
                f"data.tokenizer.added_tokens: expected tokens that no text is encoded to, found {token!r}, which is "
                f"token {number} of the vocabulary",
                hint="Choose another string, such as <|...|>.",
            )
    if all(special.get(token) for token in tokens):
        return tokenizer, []
    backend = _all_special(tokenizer.backend, set(tokens))
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in missing])
    expected = list(range(tokenizer.vocabulary_size, tokenizer.vocabulary_size + len(missing)))
    found = [backend.token_to_id(token) for token in missing]
    if found != expected:
        raise DataError(
            f"data.tokenizer.added_tokens: expected ids from {tokenizer.vocabulary_size} on, found {found}: the ids of "
            "this tokenizer have gaps, into which the new ones would fall",
            hint="Take another tokenizer, or add the tokens to its file yourself.",
        )
    return replace(tokenizer, backend=backend), missing


def check_special(tokenizer: TextTokenizer, tokens: Mapping[str, str]) -> None:
    """Raise DataError where a token is no special token, or ends texts; `tokens` has each by the field that names it.

    Text could be encoded to a token that is not special, and nobody could tell it from one that was set.
    """
    for field, token in tokens.items():
        if token == tokenizer.end_token:
            raise DataError(
                f"{field}: expected a token of its own, found {token!r}, the tokenizer's end of text",
                hint="Name another token.",
            )
        if token not in tokenizer.special_tokens:
            known = tokenizer.backend.token_to_id(token) is not None
            raise DataError(
                f"{field}: expected a special token of the tokenizer, found {token!r}, which "
                f"{'is an ordinary one there' if known else 'it does not have'}",
                hint=f"Name it in data.tokenizer.added_tokens: [{', '.join(map(json.dumps, tokens.values()))}] (in "
                "special_tokens with kind train).",
            )


def _all_special(backend: Tokenizer, tokens: set[str]) -> Tokenizer:
    """Return a copy in which those of `tokens` that are added tokens are special ones."""
    values = json.loads(backend.to_str())
    for entry in values["added_tokens"]:
        entry["special"] = entry["special"] or entry["content"] in tokens
    return Tokenizer.from_str(json.dumps(values))


def _write_beside(folder: Path, backend: Tokenizer, tokens: Sequence[str], new: Sequence[str]) -> None:
    """Say in the other files of a tokenizer what tokenizer.json says."""
    config_file = folder / "tokenizer_config.json"
    config = _read(config_file) or {}
    numbers = _read(folder / "added_tokens.json")
    if isinstance(entries := config.get("added_tokens_decoder"), dict):
        for number, token in backend.get_added_tokens_decoder().items():
            if token.content in tokens:
                entries[str(number)] = {
                    "content": token.content, "lstrip": token.lstrip, "normalized": token.normalized,
                    "rstrip": token.rstrip, "single_word": token.single_word, "special": True,
                }  # fmt: skip
    for values in (config, _read(folder / "special_tokens_map.json")):
        if values and isinstance(listed := values.get("additional_special_tokens"), list):
            names = [entry.get("content") if isinstance(entry, dict) else entry for entry in listed]
            listed += [token for token in dict.fromkeys(tokens) if token not in names]
            if values is not config:
                _write(folder / "special_tokens_map.json", values)
    _write(config_file, config)
    if numbers is not None:
        _write(folder / "added_tokens.json", {**numbers, **{token: backend.token_to_id(token) for token in new}})


def _read(file: Path) -> dict[str, Any] | None:
    if not file.is_file():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{file}: expected a JSON object, found: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f"{file}: expected a JSON object, found {type(values).__name__}")
    return values


def _write(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
