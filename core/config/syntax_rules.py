"""Rules about classes of source code and their weights; see core/config/rules.py.

syntax   data.syntax is auto or a lexer that Pygments has; auto of text needs files that are documents
weights  weights count only where tokens are marked, and one of them is above 0
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from core.config.lexers import lexer_name, similar_lexers
from core.config.loss import SyntaxWeights
from core.config.partial import Partial
from core.config.yaml_text import Value, shown
from core.errors import Problem

_CODE = ("code", "standard_library", "path")


def _syntax(draft: Partial) -> Iterator[Problem]:
    wanted = draft.at("data.syntax")
    if not isinstance(wanted, str) or not wanted:
        return
    if wanted != "auto" and lexer_name(wanted) is None:
        similar = ", ".join(similar_lexers(wanted))
        message = "must be auto or a lexer of Pygments, such as python" + (
            f"; similar are {similar}" if similar else ""
        )
        yield Problem("data.syntax", message, found=shown(wanted))
    sources = draft.list_at("data.sources")
    if wanted == "auto" and draft.at("data.kind") == "text" and sources and not any(map(_gives_files, sources)):
        message = "goes by names of files, and no source gives whole files as documents; name the language"
        yield Problem("data.syntax", message, found="auto")


def _gives_files(source: Value) -> bool:
    if not isinstance(source, dict):
        return True
    kind = source.get("kind")
    return kind in _CODE or (kind == "files" and source.get("document", "file") == "file")


def _weights(draft: Partial) -> Iterator[Problem]:
    weights = {name: draft.number(f"loss.syntax_weights.{name}", 1.0) for name in SyntaxWeights.model_fields}
    if all(value == 0 for value in weights.values()):
        message = "is 0 like all others, so that nothing would be learnt; give one class a weight above 0"
        yield Problem("loss.syntax_weights.other", message, found="0")
    elif draft.at("data.kind") in ("text", "instructions") and not draft.has("data.syntax"):
        for name, value in weights.items():
            if value is not None and value != 1:
                message = "counts only where tokens are marked: set data.syntax, or leave it out"
                yield Problem(f"loss.syntax_weights.{name}", message, found=shown(value))


SYNTAX_RULES: tuple[Callable[[Partial], Iterator[Problem]], ...] = (_syntax,)
WEIGHT_RULES: tuple[Callable[[Partial], Iterator[Problem]], ...] = (_weights,)
