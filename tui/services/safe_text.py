"""Text that cannot do anything to a terminal or a layout.

Whatever comes from data, from a run or from a file name goes through `SafeText` before a widget or a stream sees it.
It imports neither Textual nor Rich, so that the command line prints with it too.

- A control character becomes its picture (`␛`, `␀`, `␡`) or its code point in `⟨U+009B⟩`; so do C1 controls, which
  some terminals obey like ESC sequences, bidirectional and zero-width characters, tags, variation selectors,
  unassigned and private code points and lone surrogates.
- At most two combining marks follow a character; the rest are counted in a mark.
- A line is cut at a number of characters and says how much there was: `… 5.0 MB`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

LINE_CHARACTERS = 2_000
TEXT_LINES = 2_000
MAX_COMBINING = 2

_PRINTABLE_ASCII = re.compile(r"[\x20-\x7e]*")
_HARMLESS = re.compile(
    r"[\x20-\x7e\u00a1-\u00ac\u00ae-\u02ff\u0370-\u0377\u2010-\u2027\u2190-\u23ff\u2500-\u27bf\u2801-\u28ff]*"
)
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_INVISIBLE_LETTERS = frozenset({0x034F, 0x115F, 0x17B4, 0x17B5, 0x3164, 0xFFA0})


@dataclass(frozen=True, slots=True)
class SafeText:
    """Text in which every character is visible and stays in its place; made by `safe` and `safe_lines` only.

    `text` holds no control character, no bidirectional and no zero-width one; a newline occurs only where
    `safe_text` was asked for several lines.
    """

    text: str

    def __str__(self) -> str:
        return self.text

    def __len__(self) -> int:
        return len(self.text)

    def __bool__(self) -> bool:
        return bool(self.text)

    def __add__(self, other: SafeText) -> SafeText:
        return SafeText(self.text + other.text)

    def join(self, parts: Iterable[SafeText]) -> SafeText:
        """Return the parts with this text between them."""
        return SafeText(self.text.join(part.text for part in parts))


def safe(value: object, *, limit: int = LINE_CHARACTERS) -> SafeText:
    """Return `value` as one line of at most about `limit` characters; newlines and tabs become marks."""
    text = value if isinstance(value, str) else str(value)
    if len(text) <= limit and _PRINTABLE_ASCII.fullmatch(text):
        return SafeText(text)
    cut = text[:limit]
    return SafeText(_visible(cut) + _rest(text, limit))


def safe_lines(value: object, *, limit: int = LINE_CHARACTERS, lines: int = TEXT_LINES) -> list[SafeText]:
    """Return `value` as lines: newlines (LF, CRLF) part them, tabs become blanks, the rest as in `safe`."""
    text = value if isinstance(value, str) else str(value)
    window = text[: limit * min(lines, 200)]  # bounded work whatever comes in
    parts = window.split("\n", lines)
    shown = [safe(part.removesuffix("\r").expandtabs(4), limit=limit) for part in parts[:lines]]
    if len(window) < len(text) or len(parts) > lines:
        shown.append(SafeText(f"… {size_words(_bytes(text))} in all"))
    return shown


def safe_text(value: object, *, limit: int = LINE_CHARACTERS, lines: int = TEXT_LINES) -> SafeText:
    """Return `value` with its line breaks kept; everything else as in `safe`."""
    return SafeText("\n".join(part.text for part in safe_lines(value, limit=limit, lines=lines)))


def size_words(count: float) -> str:
    """Return a number of bytes for a person: 512 B, 5.0 MB."""
    value = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _rest(text: str, limit: int) -> str:
    return f" … {size_words(_bytes(text))}" if len(text) > limit else ""


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _visible(text: str) -> str:
    if _HARMLESS.fullmatch(text):
        return text
    return "".join(_marks(text))


def _marks(text: str) -> Iterator[str]:
    combining = 0
    for character in text:
        if " " <= character <= "~":
            yield from _surplus(combining)
            combining = 0
            yield character
            continue
        category = unicodedata.category(character)
        if category in ("Mn", "Me", "Mc") and not _is_hidden(character, category):
            combining += 1
            if combining <= MAX_COMBINING:
                yield character
            continue
        yield from _surplus(combining)
        combining = 0
        yield _mark(character) if _is_hidden(character, category) else character
    yield from _surplus(combining)


def _surplus(combining: int) -> Iterator[str]:
    if combining > MAX_COMBINING:
        yield f"⟨+{combining - MAX_COMBINING} marks⟩"


def _is_hidden(character: str, category: str) -> bool:
    code = ord(character)
    return (
        category in _HIDDEN
        or code in _INVISIBLE_LETTERS
        or 0xFE00 <= code <= 0xFE0F  # variation selectors change the width that a terminal gives
        or 0xE0000 <= code <= 0xE0FFF
        or 0x1F1E6 <= code <= 0x1F1FF  # two regional letters are drawn as one flag by some terminals only
        or 0x1F3FB <= code <= 0x1F3FF  # skin tones melt into the sign before them
        or 0x1160 <= code <= 0x11FF  # joining Hangul parts have no width of their own
        or 0xD7B0 <= code <= 0xD7FF
        or (category == "Zs" and character != " ")
    )


def _mark(character: str) -> str:
    code = ord(character)
    if character == "\u00a0":
        return " "
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return f"⟨U+{code:04X}⟩"
