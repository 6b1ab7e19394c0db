"""Documents that share a run of words with an evaluation set (GPT-3, Brown et al. 2020, appendix C).

As there, words are compared without case and punctuation, 13 in a row unless told otherwise. Every text of a row of
the references counts on its own: question, answer, each choice. A text of fewer words than an n-gram, but of at least
8, is looked for as a whole; shorter ones are left out, for they say nothing. Not as there: the whole document goes, not
200 characters around the run; and runs that many documents share are no exception.

N-grams are compared by 64-bit hashes, 12 bytes each in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config.filters import ContaminationFilter
from core.config.sources import PathSource
from core.data.filters.verdict import Dropped, TextFilter, Verdict
from core.data.sources.reading import records, source_files
from core.data.tally import Tally
from core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]

LEAST_WORDS = 8  # GPT-3's least n
_SHOWN_WORDS = 13
_KEPT_WORDS = 200_000
_CJK = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
# A character of a script without spaces is a word.
_WORD = re.compile(rf"[{_CJK}]|[^\W_{_CJK}]+")
_BASE = 0x9E3779B97F4A7C15  # odd, so that no power of it vanishes modulo 2**64


def contamination_filter(config: ContaminationFilter) -> TextFilter:
    """Return the filter, once it has read all references.

    Raises: UsageError where a reference is not there, or none has a text that is long enough; DataError where one is
        no data set.
    """
    names, indexes = _read(config)

    def verdict(text: str) -> Verdict:
        words = words_of(text)
        hashes = _word_hashes(words)
        for n, (known, source) in indexes.items():
            at, place = _first_known(_ngram_hashes(hashes, n), known)
            if at >= 0:
                shown = " ".join(words[at : at + min(n, _SHOWN_WORDS)])
                return Dropped(f"contamination.{n}_gram", f"{names[source[place]]}: {shown}")
        return None

    return verdict


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case, without punctuation."""
    found: list[str] = _WORD.findall(text.lower())
    return found


def _read(config: ContaminationFilter) -> tuple[list[str], dict[int, tuple[Hashes, NDArray[np.uint32]]]]:
    import numpy as np

    least = min(LEAST_WORDS, config.ngram)
    names: list[str] = []
    parts: dict[int, tuple[list[Hashes], list[NDArray[np.uint32]]]] = {}
    for name, text in _reference_texts(config.references):
        if name not in names[-1:]:
            names.append(name)
        words = words_of(text)
        if len(words) < least:
            continue
        n = min(config.ngram, len(words))
        hashes = _ngram_hashes(_word_hashes(words), n)
        of_n = parts.setdefault(n, ([], []))
        of_n[0].append(hashes)
        of_n[1].append(np.full(len(hashes), len(names) - 1, dtype=np.uint32))
    if not parts:
        raise UsageError(
            f"contamination filter: expected texts of at least {least} words, found none in "
            f"{', '.join(config.references)}",
            hint="Give the files of evaluation sets as they are: questions and answers.",
        )
    return names, {n: _index(*parts[n]) for n in sorted(parts, reverse=True)}


def _index(hashes: list[Hashes], sources: list[NDArray[np.uint32]]) -> tuple[Hashes, NDArray[np.uint32]]:
    import numpy as np

    known, first = np.unique(np.concatenate(hashes), return_index=True)
    return known, np.concatenate(sources)[first]


def _reference_texts(references: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield the name of the file and the text for every text in the references; bad rows are left out."""
    for reference in references:
        source = PathSource(kind="path", path=reference)
        for path in source_files(source):
            tally = Tally(f"contamination filter ({path})", 1.0)
            for row in records(source.model_copy(update={"path": str(path)}), tally):
                for text in _texts(row.values):
                    yield Path(path).name, text


def _texts(value: Any) -> Iterator[str]:
    """Yield every text inside a value, however deep it stands."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list | tuple):
            waiting.extend(reversed(value))


class _WordHashes(dict[str, int]):
    def __missing__(self, word: str) -> int:
        # Not `hash`, which another process computes otherwise: the verdict is not to depend on who gives it.
        value = int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "little")
        if len(self) < _KEPT_WORDS:
            self[word] = value
        return value


_HASHES = _WordHashes()


def _word_hashes(words: list[str]) -> Hashes:
    import numpy as np

    return np.fromiter(map(_HASHES.__getitem__, words), dtype=np.uint64, count=len(words))


def _ngram_hashes(hashes: Hashes, n: int) -> Hashes:
    """Return sum(hash of word i + j times base ** j) modulo 2**64 for every n-gram i."""
    import numpy as np

    number = max(len(hashes) - n + 1, 0)
    total = np.zeros(number, dtype=np.uint64)
    factor = 1
    for start in range(n):
        total += hashes[start : start + number] * np.uint64(factor)
        factor = factor * _BASE % 2**64
    return total


def _first_known(hashes: Hashes, known: Hashes) -> tuple[int, int]:
    """Return where the first hash that is known stands, and where in `known`; (-1, -1) for none."""
    import numpy as np

    places = np.searchsorted(known, hashes)
    places[places == len(known)] = 0
    found = np.flatnonzero(known[places] == hashes)
    return (int(found[0]), int(places[found[0]])) if len(found) else (-1, -1)
