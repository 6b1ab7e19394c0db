"""Every token of a text or a conversation, as the model gets it: its text, whether it is special, whether it counts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from core.config.data import Accepted
from core.data.formats import Conversation
from core.data.tally import RowError
from core.data.tokens.examples import ExampleEncoder
from core.data.tokens.faults import WORDS, Faults
from core.data.tokens.templates import TemplateName
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
    encoder = ExampleEncoder(tokenizer, template, max_tokens or _NO_LIMIT, accept=accept)
    whole = ExampleEncoder(tokenizer, template, _NO_LIMIT).encode([content])[0]
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
    text_of = _token_text(tokenizer)
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


def _token_text(tokenizer: TextTokenizer) -> Callable[[str], str]:
    """Return how a token of the vocabulary is written as text, by what the tokenizer's decoder does."""
    decoder = tokenizer.backend.decoder
    parts = _parts(json.loads(decoder.__getstate__())) if decoder is not None else []
    kinds = {part["type"] for part in parts}
    if "ByteLevel" in kinds:
        return _byte_level_text
    spaces = {part["replacement"] for part in parts if part["type"] == "Metaspace"}
    spaces |= {
        part["pattern"]["String"]
        for part in parts
        if part["type"] == "Replace" and part.get("content") == " " and "String" in part.get("pattern", {})
    }

    def with_spaces(token: str) -> str:
        for space in spaces:
            token = token.replace(space, " ")
        return token

    return with_spaces


def _parts(decoder: dict[str, Any]) -> list[dict[str, Any]]:
    inner: list[dict[str, Any]] = decoder.get("decoders", []) if decoder.get("type") == "Sequence" else [decoder]
    return inner


def _byte_level_text(token: str) -> str:
    try:
        raw = bytes(_BYTES[character] for character in token)
    except KeyError:
        return token  # a token that the training alphabet did not make
    # surrogateescape keeps each byte that is no part of a whole character as one of U+DC80 to U+DCFF.
    text = raw.decode("utf-8", "surrogateescape")
    return re.sub("[\udc80-\udcff]", lambda found: f"<0x{ord(found[0]) - 0xDC00:02X}>", text)


def _byte_alphabet() -> dict[str, int]:
    """Return the characters by which byte-level BPE writes bytes (GPT-2, `bytes_to_unicode` of openai/gpt-2)."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTES = _byte_alphabet()
