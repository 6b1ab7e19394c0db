"""Every token of a text or a conversation, as the model gets it: its text, whether it is special, whether it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from core.config.code import CodeTokens
from core.config.data import Accepted
from core.config.loss import SyntaxWeights
from core.data.formats import Conversation
from core.data.tally import RowError
from core.data.tokens.examples import Example, ExampleEncoder
from core.data.tokens.faults import WORDS, Faults
from core.data.tokens.marking import marked_document
from core.data.tokens.syntax import CLASSES
from core.data.tokens.templates import TemplateName
from core.data.tokens.token_text import token_text
from core.data.tokens.tokenize import DocumentPart, TextTokenizer, encode_documents, encode_parts

_NO_LIMIT = 2**30


@dataclass(frozen=True)
class TokenShown:
    """One token. Bytes of its text that are no whole character alone stand as <0xE2>."""

    id: int
    text: str
    supervised: bool
    """Whether the loss counts it."""
    special: bool
    syntax: str | None = None
    """Its class of source code; None where data.syntax is empty."""
    weight: float | None = None
    """What it counts by loss.syntax_weights; None where there are no weights."""

    def as_json(self) -> dict[str, Any]:
        """Return the token as JSON values; class and weight where there are any."""
        values = {"id": self.id, "text": self.text, "loss": self.supervised, "special": self.special}
        marks = {"class": self.syntax, "weight": self.weight}
        return values | {name: value for name, value in marks.items() if value is not None}


@dataclass(frozen=True)
class SyntaxView:
    """How the classes of source code of one row are shown.

    `syntax` is data.syntax, `language` what a document is read as (None: nothing in it is marked), `weights` those of
    the run. A class whose weight is 0 is none that the loss counts.
    """

    syntax: str
    language: str | None = None
    weights: SyntaxWeights | None = None


@dataclass(frozen=True)
class TokenView:
    """One example: its tokens, and the text that the template made of the row before it was cut to length."""

    place: str
    template: TemplateName | None
    text: str
    tokens: tuple[TokenShown, ...]
    left_out: int = 0
    """How many tokens were cut off to keep to the length."""
    faults: tuple[str, ...] = ()
    """What would stop a launch, or keeps this row out."""
    further: tuple[TokenView, ...] = ()
    """The other examples of a conversation whose template rewrites earlier turns."""

    @property
    def supervised(self) -> int:
        """How many tokens the loss counts."""
        return sum(token.supervised for token in self.tokens)

    @property
    def special(self) -> int:
        """How many tokens are special ones."""
        return sum(token.special for token in self.tokens)

    def as_json(self) -> dict[str, Any]:
        """Return the view as JSON values."""
        return {
            "place": self.place,
            "template": self.template or "none",
            "text": self.text,
            "tokens": [token.as_json() for token in self.tokens],
            "counts": {"tokens": len(self.tokens), "loss": self.supervised, "special": self.special},
            "left_out": self.left_out,
            "faults": list(self.faults),
            "further": [view.as_json() for view in self.further],
        }


def token_view(
    content: str | Conversation,
    tokenizer: TextTokenizer,
    template: TemplateName | None,
    *,
    max_tokens: int | None = None,
    accept: Sequence[Accepted] = (),
    code_tokens: CodeTokens | None = None,
    place: str = "",
    syntax: SyntaxView | None = None,
    parts: Sequence[DocumentPart] | None = None,
) -> TokenView:
    """Return the tokens of a text, or of a conversation laid by a template; a text has none.

    `parts` are those of a text whose middle comes last.
    A conversation that cannot be used, or whose answer does not fit into `max_tokens`, says so in `faults`.

    Raises: DataError where the template is no template.
    """
    if isinstance(content, str):
        return _text_view(content, parts or [DocumentPart(content, 0)], tokenizer, place, syntax)
    assert template is not None, "a conversation needs a template"
    faults = Faults()
    by = None if syntax is None else syntax.syntax
    encoder = ExampleEncoder(
        tokenizer, template, max_tokens or _NO_LIMIT, code_tokens=code_tokens, accept=accept, syntax=by
    )
    whole = ExampleEncoder(tokenizer, template, _NO_LIMIT, code_tokens=code_tokens, syntax=by).encode([content])[0]
    if isinstance(whole, RowError):
        return TokenView(place, template, "", (), faults=(str(whole),))
    texts = ["".join(piece.text for piece in pieces) for pieces in encoder.rendered(content)]
    made = encoder.encode([content], places=[place], faults=faults)[0]
    words = tuple(f"{fault}: such rows {WORDS[fault]}" for fault in sorted(faults.counts))
    # Examples of a row that is cut or left out in part cannot be told apart: the whole ones are shown then.
    examples = whole if isinstance(made, RowError) or len(made) != len(whole) else made
    views = [
        TokenView(
            place, template, text, _shown(tokenizer, example, syntax),
            left_out=len(full.ids) - len(example.ids), faults=words,
        )
        for text, example, full in zip(texts, examples, whole, strict=True)
    ]  # fmt: skip
    return replace(views[0], further=tuple(views[1:]))


def _text_view(
    text: str, parts: Sequence[DocumentPart], tokenizer: TextTokenizer, place: str, syntax: SyntaxView | None
) -> TokenView:
    classes = None
    if syntax is None:
        ids = encode_parts(tokenizer, [parts])[0] if len(parts) > 1 else next(encode_documents(tokenizer, [text]))
    else:
        try:
            found, classes = marked_document(tokenizer, text, parts, syntax.language)
        except RowError as error:
            return TokenView(place, None, text, (), faults=(str(error),))
        ids = found.ids
    supervised = np.arange(len(ids)) > 0  # every token is to be predicted but the first, before which nothing stands
    return TokenView(place, None, text, _shown(tokenizer, Example(ids, supervised, classes), syntax))


def _shown(tokenizer: TextTokenizer, example: Example, syntax: SyntaxView | None) -> tuple[TokenShown, ...]:
    ids: list[int] = example.ids.tolist()
    added = tokenizer.backend.get_added_tokens_decoder()
    text_of = token_text(tokenizer.backend)
    shown: dict[int, tuple[str, bool]] = {}
    for number in set(ids):
        if number in added:
            shown[number] = added[number].content, added[number].special
        else:
            shown[number] = text_of(tokenizer.backend.id_to_token(number) or ""), False
    names = [None] * len(ids) if example.classes is None else [CLASSES[number] for number in example.classes]
    weights = None if syntax is None or syntax.weights is None else syntax.weights.model_dump()
    result: list[TokenShown] = []
    for number, counted, name in zip(ids, example.supervised.tolist(), names, strict=True):
        text, special = shown[number]
        weight = None if weights is None or name is None else float(weights[name])
        result.append(TokenShown(number, text, counted and weight != 0, special, name, weight))
    return tuple(result)
