"""The words of a text, as spaCy's English tokenizer splits them, and what the quality rules count about them.

The rules are those of spaCy 3.8 (lang/punctuation.py, lang/en/punctuation.py, tokenizer.pyx; MIT), written again: a
text is cut at white space, affixes are taken off each chunk from outside to inside, then the rest is cut at infixes.
The split of a chunk depends on nothing else, so each different chunk is split once in a process: this is where the
speed comes from. Two things differ: a chunk of more than `LONGEST_CHUNK` characters is cut there (spaCy needs time
that grows with the square of its length), and letters are told by Unicode's properties, not by lists of scripts.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, groupby
from operator import itemgetter
from sys import intern

from core.data.filters.contractions import SPLITS
from core.data.filters.punctuation import SYMBOLS

LONGEST_CHUNK = 1000
_LONGEST_KEPT_CHUNK = 64
_KEPT_CHUNKS = 100_000  # about 30 MB in a process


@dataclass(frozen=True)
class Words:
    """The words of a text in order, punctuation included, and sums over them.

    `plain` counts words that are not only punctuation, `plain_characters` their characters, `alphabetic` words with a
    letter.
    """

    words: list[str]
    plain: int
    plain_characters: int
    alphabetic: int


@lru_cache(maxsize=1)
def words_of(text: str) -> Words:
    """Return the words of a text; several filters that look at the same text in turn share one answer."""
    known = _KNOWN
    if len(known) > _KEPT_CHUNKS:
        known.clear()
    plain = characters = alphabetic = 0
    for chunk, count in Counter(text.split()).items():
        of_chunk = known[chunk]
        plain += count * of_chunk[1]
        characters += count * of_chunk[2]
        alphabetic += count * of_chunk[3]
    return Words(split(text), plain, characters, alphabetic)


def split(text: str) -> list[str]:
    """Return the words of a text, punctuation included."""
    return list(chain.from_iterable(map(_FIRST, map(_KNOWN.__getitem__, text.split()))))


_Known = tuple[tuple[str, ...], int, int, int]
_FIRST: Callable[[_Known], tuple[str, ...]] = itemgetter(0)


class _Chunks(dict[str, _Known]):
    """Chunk: its words, and the three sums over them as in `Words`."""

    def __missing__(self, chunk: str) -> _Known:
        known = _common(chunk) or _any(chunk)
        if len(chunk) <= _LONGEST_KEPT_CHUNK:
            self[chunk] = known
        return known


def _common(chunk: str) -> _Known | None:
    """Return what is known of a chunk of the commonest shapes: a word, or one with a mark of punctuation after it."""
    if chunk in SPLITS or len(chunk) > LONGEST_CHUNK:
        return None
    if chunk.isalpha():
        return (intern(chunk),), 1, len(chunk), 1
    core, mark = chunk[:-1], chunk[-1]
    if core.isalpha() and core not in SPLITS and (mark in _PLAIN_LAST if mark != "." else core[-1] in _LOWER):
        return (intern(core), mark), 1, len(core), 1
    return None


def _any(chunk: str) -> _Known:
    pieces = [chunk[at : at + LONGEST_CHUNK] for at in range(0, len(chunk), LONGEST_CHUNK)]
    words = tuple(map(intern, chain.from_iterable(map(split_chunk, pieces))))
    plain = [word for word in words if not SYMBOLS.issuperset(word)]
    alphabetic = sum(1 for word in words if word.isalpha() or any(map(str.isalpha, word)))
    return words, len(plain), sum(map(len, plain)), alphabetic


_KNOWN = _Chunks()


def split_chunk(chunk: str) -> list[str]:
    """Return the words of a chunk, which holds no white space."""
    if chunk in SPLITS:
        return list(SPLITS[chunk])
    if chunk.isalpha():
        return [chunk]
    before, core, after = _without_affixes(chunk)
    words = [*before, *_inner(core), *reversed(after)]
    return _joined(words) if len(words) > 1 else words


def _without_affixes(chunk: str) -> tuple[list[str], str, list[str]]:
    """Take prefixes and suffixes off, one of each in turn, until a known word or nothing more is found."""
    before: list[str] = []
    after: list[str] = []
    while chunk and chunk not in SPLITS:
        start = _prefix(chunk)
        if start and chunk[start:] in SPLITS:
            before.append(chunk[:start])
            return before, chunk[start:], after
        stop = len(chunk) - _suffix(chunk[start:])
        if stop < len(chunk) and chunk[:stop] in SPLITS:
            after.append(chunk[stop:])
            return before, chunk[:stop], after
        if start:
            before.append(chunk[:start])
        if stop < len(chunk):
            after.append(chunk[stop:])
        elif not start:
            break
        chunk = chunk[start:stop]
    return before, chunk, after


def _prefix(chunk: str) -> int:
    """Return how many characters the prefix of a chunk has; 0 for none."""
    first = chunk[:1]
    if first in _FIRST_MARKS:
        return 1
    if first in _RARE_FIRST and (found := _RARE_PREFIX.match(chunk)):
        return found.end()
    return 0


def _suffix(chunk: str) -> int:
    """Return how many characters the suffix of a chunk has; 0 for none."""
    last = chunk[-1:]
    if last in _LAST:
        return 2 if chunk.endswith("……") else 1
    if last == ".":
        return _stop(chunk)
    if last in "sS" and chunk[-2:-1] in _APOSTROPHES:
        return 2
    if _DIGIT.search(chunk) and (found := _UNIT.search(chunk)):
        return len(chunk) - found.start()
    return 0


def _stop(chunk: str) -> int:
    dots = len(chunk) - len(chunk.rstrip("."))
    if dots > 1:
        return dots
    return 1 if _BEFORE_STOP.search(chunk[-4:]) else 0


def _inner(chunk: str) -> list[str]:
    if not chunk:
        return []
    if chunk in SPLITS:
        return list(SPLITS[chunk])
    if not _INFIX_MARK.search(chunk) or ("." in chunk and _ADDRESS.match(chunk)):
        return [chunk]
    words: list[str] = []
    start = 0
    for found in _INFIX.finditer(chunk):
        if found.start() == 0:
            continue
        if found.start() != start:
            words.append(chunk[start : found.start()])
        words.append(found.group())
        start = found.end()
    if start < len(chunk):
        words.append(chunk[start:])
    return words


def _joined(words: list[str]) -> list[str]:
    """Put together what the affixes tore apart of a known word, such as the smile at the end of `good:)`."""
    joined: list[str] = []
    at = 0
    while at < len(words):
        for stop in range(min(len(words), at + 6), at + 1, -1):
            word = "".join(words[at:stop])
            if word in SPLITS:
                joined.extend(SPLITS[word])
                at = stop
                break
        else:
            joined.append(words[at])
            at += 1
    return joined


# Every upper and lower case letter that is not far out stands below U+2E00.
_UPPER = "".join(character for character in map(chr, range(0x2E00)) if character.isupper())
_LOWER = "".join(character for character in map(chr, range(0x2E00)) if character.islower())
_ICONS = [code for code in (*range(0x10000), *range(0x1F000, 0x1FB00)) if unicodedata.category(chr(code)) == "So"]
# As ranges: `re` looks through single characters beyond U+FFFF one by one.
_ICON = "".join(
    f"{chr(run[0])}-{chr(run[-1])}"
    for _, group in groupby(enumerate(_ICONS), key=lambda place: place[1] - place[0])
    for run in [[code for _, code in group]]
)
# With the vowel signs of the scripts in which `\w` leaves them out.
_LETTER = r"(?:[^\W\d_]|[\u0591-\u05f4\u0900-\u0963\u0966-\u09ff\u0b80-\u0cff\u0d80-\u0dff])"
_MARKS = r"…,:;!?¿؟¡()\[\]{}<>_#*&。？！，、；：～·।،۔؛٪"
_QUOTES = "'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉〈〉⟦⟧"
_CURRENCIES = "$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿"
_UNITS = (
    "km[²³]?|m[²³]?|dm[²³]?|cm[²³]?|mm[²³]?|ha|µm|nm|yd|in|ft|kg|g|mg|µg|t|lb|oz|m/s|km/h|kmh|mph|hPa|Pa|mbar|mb|MB|"
    "kb|KB|gb|GB|tb|TB|T|G|M|K|%|[кдсм]?м[²³]?|нм|[км]?г|м/с|км/ч|к?Па|мбар|[КМГТ]б|[КМГТ]Б|[кмгт]б|"
    "كم[²³]?|م[²³]?|سم[²³]?|مم[²³]?|غرام|جرام|جم|كغ|ملغ|كوب|اكواب"
)


_LAST = frozenset(_MARKS.replace("\\", "") + _QUOTES + "—–").union(map(chr, _ICONS))
_PLAIN_LAST = _LAST & SYMBOLS
_FIRST_MARKS = _LAST.union("§%=", _CURRENCIES)
_RARE_FIRST = frozenset("+.UCA")
_RARE_PREFIX = re.compile(r"\+(?![0-9])|\.\.+|(?:US|C|A)\$")
_APOSTROPHES = frozenset("'’")
_DIGIT = re.compile("[0-9]")
_UNIT = re.compile(rf"(?<=[0-9])(?:\+|[{_CURRENCIES}]|(?:US|C|A)\$|{_UNITS})$")
_BEFORE_STOP = re.compile(
    rf"(?:[0-9%²\-+|{_MARKS}{_QUOTES}]|°[FfCcKk]|(?![{_UPPER}]){_LETTER}|(?:(?![{_LOWER}]){_LETTER}){{2}})\.$"
)
_INFIX_MARK = re.compile(rf"[.,+*^\-–—~:<>=/…{_ICON}]")
# The mark is looked for first and what stands before it afterwards: most places fail at once.
_INFIX = re.compile(
    rf"\.(?:\.+|(?:(?<=[{_QUOTES}]\.)|(?<={_LETTER}\.)(?<![{_UPPER}]\.))(?=(?![{_LOWER}]){_LETTER}|[{_QUOTES}]))"
    rf"|[…{_ICON}]|[+\-*^](?<=[0-9].)(?=[0-9-])"
    rf"|,(?<={_LETTER},)(?={_LETTER})"
    rf"|[\-–—~:<>=/](?:(?<={_LETTER}.)|(?<=[0-9].))(?={_LETTER})"
    rf"|(?:--|——)(?:(?<={_LETTER}..)|(?<=[0-9]..))(?={_LETTER})"
    rf"|---(?:(?<={_LETTER}...)|(?<=[0-9]...))(?={_LETTER})"
)
_HOST = r"[A-Za-z0-9\u00a1-\uffff]"
_ADDRESS = re.compile(
    rf"(?:[\w+\-.]{{2,}}://)?(?:\S+@)?"
    rf"(?:(?!(?:10|127)\.|169\.254\.|192\.168\.)(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3])(?:\.\d{{1,3}}){{3}}"
    rf"|(?:(?:{_HOST}(?:{_HOST}|[_-]){{0,62}})?{_HOST}\.)+(?:(?![{_UPPER}]){_LETTER}){{2,63}})"
    rf"(?::\d{{2,5}})?(?:[/?#]\S*)?$"
)
