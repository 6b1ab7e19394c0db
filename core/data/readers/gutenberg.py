"""Books of Project Gutenberg, without the licence and notices that come before and after the book.

Source: the marks are those of the files at https://www.gutenberg.org since 1991: "*** START OF THE PROJECT GUTENBERG
EBOOK", before 2005 "*END*THE SMALL PRINT", and "End of Project Gutenberg's" before the last mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from core.data.readers.opening import opened
from core.data.rows import Row
from core.data.tally import RowError, Tally
from core.errors import DataError

MAX_BOOK_BYTES = 64 * 2**20
_LANGUAGES = {
    "english": "en", "french": "fr", "german": "de", "spanish": "es", "italian": "it", "portuguese": "pt",
    "dutch": "nl", "finnish": "fi", "swedish": "sv", "danish": "da", "norwegian": "no", "latin": "la", "greek": "el",
    "chinese": "zh", "japanese": "ja", "polish": "pl", "hungarian": "hu", "esperanto": "eo", "catalan": "ca",
    "tagalog": "tl", "russian": "ru", "czech": "cs", "welsh": "cy", "icelandic": "is",
}  # fmt: skip
_NAME = r"(?:the |this )?project gutenberg"
_START = re.compile(rf"^[ \t]*\*{{2,}} ?start of {_NAME}[^\n]*(?:\n[^\n]+)?\*{{2,}}[ \t]*$", re.I | re.M)
_START_LINE = re.compile(rf"^[ \t]*\*{{2,}} ?start of {_NAME}.*$", re.I | re.M)
_SMALL_PRINT = re.compile(r"^[ \t]*\*?end\*? ?\*?the small print!?.*$", re.I | re.M)
_END = re.compile(
    rf"^[ \t]*(?:\*{{2,}} ?end of {_NAME}|end of {_NAME}(?:'s|’s| e-?text| e-?book| edition)).*",
    re.I | re.M,
)
_FIELD = re.compile(r"^(Title|Author|Language|Release Date)[ \t]*:[ \t]*(.+(?:\n[ \t]{2,}\S.*)*)", re.I | re.M)
_CREDIT = re.compile(
    r"\A\s*(?:(?:this )?(?:e-?text|e-?book|file) (?:was )?(?:prepared|produced|scanned|transcribed)"
    r"|produced by|transcribed (?:by|from)|\[?transcriber's note)[^\n]*(?:\n[^\n]+)*\n\s*\n",
    re.I,
)


def is_gutenberg(beginning: str) -> bool:
    """Whether a text begins as Project Gutenberg's do; `beginning` is its first few kilobytes or all of it."""
    head = beginning[:20_000]
    if _START_LINE.search(head) or _SMALL_PRINT.search(head):
        return True
    return bool(re.search(r"\bproject gutenberg(?:'s|’s)? (?:e-?text|e-?book|edition|license)", head[:2000], re.I))


def read_gutenberg(path: Path, tally: Tally) -> Iterator[Row]:
    """Yield the book of one file: text, title, author, language, date.

    Text that is not UTF-8 is read as Latin-1, as most books before 2005 are written; it is counted as repaired
    ("latin-1"). Line ends become those of Unix.
    """
    tally.rows += 1
    try:
        text, is_latin = _decoded(_whole(path))
    except RowError as error:
        tally.refuse(str(path), error)
        return
    tally.repaired.update({"latin-1"} if is_latin else ())
    text = re.sub(r"\r\n?", "\n", text)
    book = without_gutenberg_licence(text)
    if not book.strip():
        tally.empty += 1
        return
    yield Row({"text": book, **gutenberg_metadata(text)}, str(path))


def without_gutenberg_licence(text: str) -> str:
    """Return the book without what Project Gutenberg put before and after it; a text without its marks as it is.

    Who prepared the text, named in the first paragraph, is left out too. Lines end in a line feed.
    """
    head = text[: max(30_000, len(text) // 5)]
    begins = 0
    for pattern in (_START, _START_LINE, _SMALL_PRINT):
        # The last one: a small print may follow the line that starts the book.
        begins = max([begins, *(found.end() for found in pattern.finditer(head))])
    ends = [found.start() for found in _END.finditer(text, begins)]
    # The first mark in the last third, or the last one where all come sooner: a licence may be longer than a poem.
    stop = next((end for end in ends if 3 * end > 2 * len(text)), ends[-1] if ends else len(text))
    book = text[begins:stop]
    book = _CREDIT.sub("", book, count=1) if begins else book
    return book.strip("\n\r\f \t\ufeff") + "\n" if book.strip() else ""


def gutenberg_metadata(text: str) -> dict[str, str]:
    """Return title, author, language (ISO 639-1 where known) and date as the header states them."""
    start = _START_LINE.search(text[:30_000])
    head = text[: start.start()] if start else text[:5000]
    found: dict[str, str] = {}
    for name, value in _FIELD.findall(head):
        found.setdefault(name.lower(), " ".join(value.split()))
    named = re.search(r"Project Gutenberg(?:'s|’s)? (?:E-?text|E-?Book) of ([^\n]+?)(?:, by ([^\n]+))?\n", head, re.I)
    if named and "title" not in found:
        found["title"] = named.group(1).strip(" *")
        if named.group(2):
            found.setdefault("author", named.group(2).strip(" *"))
    language = found.get("language", "")
    date = re.sub(r"\s*\[.*", "", found.get("release date", ""))
    return {
        "title": found.get("title", ""),
        "author": found.get("author", ""),
        "language": _LANGUAGES.get(language.lower(), language),
        "date": date,
    }


def _whole(path: Path) -> bytes:
    try:
        with opened(path) as stream:
            data = stream.read(MAX_BOOK_BYTES + 1)
    except DataError as error:
        raise RowError("damaged", error.message) from None
    if len(data) > MAX_BOOK_BYTES:
        raise RowError("too_long", f"expected a book of at most {MAX_BOOK_BYTES} bytes, found a longer one")
    return data


def _decoded(data: bytes) -> tuple[str, bool]:
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return data.decode("latin-1"), True
