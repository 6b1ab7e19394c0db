"""Documents cut in three, of which the middle comes last (Bavarian et al. 2022, arXiv:2207.14255).

    prefix first (PSM)  <prefix> beginning <suffix> end <middle> middle
    suffix first (SPM)  <prefix> <suffix> end <middle> beginning middle

SPM is the paper's second variant (its appendix D), in which beginning and middle touch: the one that StarCoder's
training (github.com/bigcode-project/Megatron-LM, megatron/data/gpt_dataset.py) and Megatron-LM have. Both of the cuts
are drawn evenly from all places between characters, so that a part may be empty, and each part is encoded on its own.
A document ends with the end token as always, which then says that the middle is whole.
"""

from __future__ import annotations

import hashlib

from core.config.code import FillInTheMiddle
from core.data.tokens.tokenize import DocumentPart

_BYTES = 8
_PERSON = b"fill the middle"


def document_parts(text: str, config: FillInTheMiddle, *, seed: int) -> list[DocumentPart]:
    """Return a document as the parts of which its tokens are made; one where it is not cut.

    Seed and text alone decide whether and where it is cut: neither its place nor who encodes it. The parts with a
    `start` hold every character once.
    """
    if not config.rate:
        return [DocumentPart(text, 0)]
    chosen, suffix_first, one, other = _draws(text, seed)
    if chosen >= config.rate * 2 ** (8 * _BYTES):
        return [DocumentPart(text, 0)]
    # An integer below 2^64 to one of the len + 1 places between characters, evenly.
    first, second = sorted(draw * (len(text) + 1) >> (8 * _BYTES) for draw in (one, other))
    prefix = DocumentPart(text[:first], 0)
    middle = DocumentPart(text[first:second], first)
    suffix = DocumentPart(text[second:], second)
    begin, end, between = (
        DocumentPart(token, None) for token in (config.prefix_token, config.suffix_token, config.middle_token)
    )
    if suffix_first < config.suffix_first_rate * 2 ** (8 * _BYTES):
        parts = [begin, end, suffix, between, prefix, middle]
    else:
        parts = [begin, prefix, end, suffix, between, middle]
    return [part for part in parts if part.text]


def gaps_tokens(config: FillInTheMiddle) -> dict[str, str]:
    """Return the control tokens of cut documents by the field that names each."""
    return {
        f"data.fill_in_the_middle.{name}": getattr(config, name)
        for name in ("prefix_token", "suffix_token", "middle_token")
    }


def _draws(text: str, seed: int) -> list[int]:
    digest = hashlib.blake2b(
        text.encode(), digest_size=4 * _BYTES, salt=seed.to_bytes(16, "little"), person=_PERSON
    ).digest()
    return [int.from_bytes(digest[start : start + _BYTES], "little") for start in range(0, len(digest), _BYTES)]
