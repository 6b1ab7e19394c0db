"""The text of a token of the vocabulary."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tokenizers import Tokenizer


def token_text(backend: Tokenizer) -> Callable[[str], str]:
    """Return how a token of the vocabulary is written as text, by what the tokenizer's decoder does.

    Bytes that are no whole character alone stand as <0xE2>.
    """
    decoder = backend.decoder
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
