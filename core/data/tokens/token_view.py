"""Every token of a text or a conversation, as the model gets it: its text, whether it is special, whether it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np

from core.config.code import CodeTokens
from core.config.data import Accepted
from core.config.loss import SyntaxWeights
from core.data.formats import Conversation, Judged, Preference, Prompt
from core.data.tally import RowError
from core.data.tokens.answered import Answered, AnsweredEncoder, sides_of
from core.data.tokens.examples import Example, ExampleEncoder
from core.data.tokens.faults import WORDS, Faults
from core.data.tokens.marking import marked_document
from core.data.tokens.sides import pair_of, prompt_of
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
    """The other examples of a conversation whose template rewrites earlier turns; the other side of a pair; the answer
    that comes with a prompt."""
    side: str = ""
    """chosen, rejected, good, bad, prompt or answer; "" for documents and conversations."""

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
            **({"side": self.side} if self.side else {}),
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


def answered_view(
    row: Answered,
    tokenizer: TextTokenizer,
    template: TemplateName,
    *,
    max_tokens: int | None = None,
    code_tokens: CodeTokens | None = None,
    place: str = "",
) -> TokenView:
    """Return the tokens of a pair, both sides, of a judged answer, or of a prompt with the answer that it comes with.

    What keeps the row out, such as an answer that does not fit into `max_tokens`, stands in `faults`; the tokens are
    then those before anything was cut off. Of a prompt the loss counts nothing.

    Raises: DataError where the template is no template.
    """
    laid = ExampleEncoder(tokenizer, template, _NO_LIMIT, code_tokens=code_tokens)
    encoder = AnsweredEncoder(tokenizer, laid, max_tokens or _NO_LIMIT)
    faults = Faults()
    try:
        whole = encoder.whole(row)
        texts = ["".join(piece.text for piece in laid.rendered(side)[0]) for side in sides_of(row)]
    except RowError as error:
        return TokenView(place, template, "", (), faults=(str(error),))
    (made,) = encoder.encode([row], places=[place], faults=faults)
    words = tuple(f"{fault}: such rows {WORDS[fault]}" for fault in sorted(faults.counts))
    if isinstance(made, RowError):
        words, examples = (*words, str(made)), whole
    elif isinstance(row, Prompt):
        asked, _ = prompt_of(*made)
        examples = [Example(asked, np.zeros(len(asked), dtype=np.bool_))]
    else:
        examples = [Example(side.ids, side.supervised) for side in pair_of(*made)]
    if isinstance(row, Prompt):
        texts = [_before_response(row, laid)]
    views = [
        TokenView(place, template, text, _shown(tokenizer, example, None), left_out=len(full.ids) - len(example.ids),
                  faults=words, side=name)
        for name, text, example, full in zip(_side_names(row), texts, examples, whole, strict=False)
    ]  # fmt: skip
    if isinstance(row, Prompt) and row.answer is not None and not isinstance(made, RowError):
        answer = prompt_of(*made)[1]
        tokens = _shown(tokenizer, Example(answer, np.zeros(len(answer), dtype=np.bool_)), None)
        views.append(TokenView(place, None, row.answer, tokens, side="answer"))
    return replace(views[0], further=tuple(views[1:]))


def _side_names(row: Answered) -> tuple[str, ...]:
    match row:
        case Preference():
            return "chosen", "rejected"
        case Judged():
            return ("good" if row.label else "bad",)
        case Prompt():
            return ("prompt",)


def _before_response(row: Prompt, laid: ExampleEncoder) -> str:
    pieces = laid.rendered(sides_of(row)[0])[0]
    return "".join(piece.text for piece in takewhile(lambda piece: not piece.supervised, pieces))


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
