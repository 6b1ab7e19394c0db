"""Every token of a text or a conversation, as the model gets it: its text, whether it is special, whether it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.config.code import CodeTokens
from core.config.data import Accepted
from core.data.formats import Conversation
from core.data.tally import RowError
from core.data.tokens.examples import ExampleEncoder
from core.data.tokens.faults import WORDS, Faults
from core.data.tokens.templates import TemplateName
from core.data.tokens.token_text import token_text
from core.data.tokens.tokenize import TextTokenizer, encode_documents

_NO_LIMIT = 2**30


@dataclass(frozen=True)
class TokenShown:
    """One token. Bytes of its text that are no whole character alone stand as <0xE2>."""

    id: int
    text: str
    supervised: bool
    """Whether the loss counts it."""
    special: bool


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
            "tokens": [
                {"id": token.id, "text": token.text, "loss": token.supervised, "special": token.special}
                for token in self.tokens
            ],
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
) -> TokenView:
    """Return the tokens of a text, or of a conversation laid by a template; a text has none.

    A conversation that cannot be used, or whose answer does not fit into `max_tokens`, says so in `faults`.

    Raises: DataError where the template is no template.
    """
    if isinstance(content, str):
        ids = next(iter(encode_documents(tokenizer, [content]))).tolist()
        # Every token is to be predicted but the first, before which nothing stands.
        return TokenView(place, None, content, _shown(tokenizer, ids, [False, *[True] * (len(ids) - 1)]))
    assert template is not None, "a conversation needs a template"
    faults = Faults()
    encoder = ExampleEncoder(tokenizer, template, max_tokens or _NO_LIMIT, code_tokens=code_tokens, accept=accept)
    whole = ExampleEncoder(tokenizer, template, _NO_LIMIT, code_tokens=code_tokens).encode([content])[0]
    if isinstance(whole, RowError):
        return TokenView(place, template, "", (), faults=(str(whole),))
    texts = ["".join(piece.text for piece in pieces) for pieces in encoder.rendered(content)]
    made = encoder.encode([content], places=[place], faults=faults)[0]
    words = tuple(f"{fault}: such rows {WORDS[fault]}" for fault in sorted(faults.counts))
    # Examples of a row that is cut or left out in part cannot be told apart: the whole ones are shown then.
    examples = whole if isinstance(made, RowError) or len(made) != len(whole) else made
    views = [
        TokenView(
            place, template, text, _shown(tokenizer, example.ids.tolist(), example.supervised.tolist()),
            left_out=len(full.ids) - len(example.ids), faults=words,
        )
        for text, example, full in zip(texts, examples, whole, strict=True)
    ]  # fmt: skip
    return replace(views[0], further=tuple(views[1:]))


def _shown(tokenizer: TextTokenizer, ids: Sequence[int], supervised: Sequence[bool]) -> tuple[TokenShown, ...]:
    added = tokenizer.backend.get_added_tokens_decoder()
    text_of = token_text(tokenizer.backend)
    shown: dict[int, tuple[str, bool]] = {}
    for number in set(ids):
        if number in added:
            shown[number] = added[number].content, added[number].special
        else:
            shown[number] = text_of(tokenizer.backend.id_to_token(number) or ""), False
    return tuple(
        TokenShown(number, shown[number][0], counted, shown[number][1])
        for number, counted in zip(ids, supervised, strict=True)
    )
