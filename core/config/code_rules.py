"""Rules over the fields that say how source code becomes tokens; see core/config/rules.py.

control tokens  those of template code and of fill_in_the_middle differ from one another and from the end of text; a
                tokenizer that is trained names them all
added           a token is added once, and has no space around it
comments        comment tokens are set by template code alone
functions       are rows with instructions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from core.config.partial import ROWS, Partial
from core.config.yaml_text import shown
from core.errors import Problem

_END_OF_TEXT = "<|endoftext|>"
_CODE = {"code_begin": "<|code|>", "code_end": "<|/code|>"}
_COMMENTS = {"comment_begin": "<|comment|>", "comment_end": "<|/comment|>"}
_GAPS = {"prefix_token": "<|fim_prefix|>", "suffix_token": "<|fim_suffix|>", "middle_token": "<|fim_middle|>"}


def _control_tokens(draft: Partial) -> Iterator[Problem]:
    names = _names(draft)
    tokens = {place: token for place, default in names.items() if isinstance(token := draft.at(place, default), str)}
    trained = draft.at("data.tokenizer.kind") == "train"
    seen: dict[str, str] = {}
    for place, token in tokens.items():
        if trained and token == _END_OF_TEXT:
            yield Problem(place, "must be a token of its own, not the end of text", found=shown(token))
        elif token in seen:
            yield Problem(place, f"must be another token than {seen[token]}", found=shown(token))
        seen.setdefault(token, place)
    special = draft.list_at("data.tokenizer.special_tokens")
    missing = [token for token in seen if token not in special and token != _END_OF_TEXT]
    if trained and missing:
        what = "data.template code" if draft.at("data.kind") in ROWS else "data.fill_in_the_middle"
        message = f"must hold the tokens that {what} sets; missing: {', '.join(map(shown, missing))}"
        yield Problem("data.tokenizer.special_tokens", message, found=shown(special))


def _names(draft: Partial) -> Mapping[str, str]:
    """Return the fields of the control tokens that this draft sets, each with its default."""
    if draft.at("data.kind") in ROWS and draft.at("data.template") == "code":
        marked = _COMMENTS if draft.at("data.code_tokens.mark_comments") is True else {}
        return {f"data.code_tokens.{name}": token for name, token in {**_CODE, **marked}.items()}
    if draft.at("data.kind") == "text" and draft.number("data.fill_in_the_middle.rate", 0.0):
        return {f"data.fill_in_the_middle.{name}": token for name, token in _GAPS.items()}
    return {}


def _added_tokens(draft: Partial) -> Iterator[Problem]:
    tokens = [token for token in draft.list_at("data.tokenizer.added_tokens") if isinstance(token, str)]
    for token in sorted({token for token in tokens if tokens.count(token) > 1}):
        yield Problem("data.tokenizer.added_tokens", "names a token twice", found=shown(token))
    for token in tokens:
        if token != token.strip():
            message = "must not begin or end with space: such a token would be found all over ordinary text"
            yield Problem("data.tokenizer.added_tokens", message, found=shown(token))


def _comments(draft: Partial) -> Iterator[Problem]:
    if draft.at("data.code_tokens.mark_comments") is True and draft.at("data.template") != "code":
        message = "counts only with data.template code; leave it out, or set that"
        yield Problem("data.code_tokens.mark_comments", message, found="true")


def _functions(draft: Partial) -> Iterator[Problem]:
    if draft.at("data.kind") != "text":
        return
    for index, source in enumerate(draft.list_at("data.sources")):
        if isinstance(source, dict) and source.get("kind") == "functions":
            message = "gives rows for data.kind instructions; for text take standard_library, code or files"
            yield Problem(f"data.sources.{index}.kind", message, found="functions")


CODE_RULES: tuple[Callable[[Partial], Iterator[Problem]], ...] = (_control_tokens, _added_tokens, _comments, _functions)
