"""How unlikely an n-gram model finds a text: KenLM's perplexity of a word; and where a score is too high."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from core.errors import DataError, UsageError

_DIGIT_BITS = 16
_BLOCK = 1 << 20
_CPLUSPLUS = re.compile(r"^Cannot read model .*?' \((.*\bthrew \w+\.?\s+)?|\)$")
"""What stands around the reason in a message of KenLM's: the path again, the function, its types."""


class NgramScorer:
    """Perplexities of texts under a KenLM model."""

    def __init__(self, path: Path) -> None:
        """Load an .arpa file, or a binary one as KenLM's build_binary writes it.

        Raises: UsageError where kenlm is not installed or the file is not there; DataError where it is no such model.
        """
        try:
            import kenlm
        except ImportError as error:
            raise UsageError(
                "n-gram models need the package kenlm, which is not installed", hint="pip install 'footplate[kenlm]'"
            ) from error
        if not path.is_file():
            raise UsageError(f"model: there is no file {path}", hint="Name a KenLM model: .arpa or .bin.")
        options = kenlm.Config()
        options.show_progress = False
        options.arpa_complain = kenlm.ARPALoadComplain.NONE  # it would write about speed to standard error
        try:
            self._model = kenlm.Model(str(path), options)
        except (OSError, RuntimeError, ValueError) as error:
            said = _CPLUSPLUS.sub("", " ".join(str(error).split()))
            raise DataError(
                f"{path}: expected a KenLM model, found: {said or error}",
                hint="It must be an .arpa file of two words and more, or a binary of KenLM's build_binary.",
            ) from error

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return the perplexity of each text, (texts,); see `perplexity`."""
        return np.array([self.perplexity(text) for text in texts], dtype=np.float64)

    def perplexity(self, text: str) -> float:
        """Return 10^(-log10 p / (words + 1)), NaN for a text without a word, inf where it is beyond float64.

        A word is what stands between ASCII space, as in KenLM's own files; the text is one sentence, whose end is
        scored too (the + 1). The scale is that of kenlm's `Model.perplexity`: of words, not of tokens. Case and
        punctuation stay as they are.
        """
        words = text.encode("utf-8", "replace").split()
        if not words:
            return math.nan
        log10 = self._model.score(b" ".join(words), bos=True, eos=True)
        try:
            return float(10.0 ** (-log10 / (len(words) + 1)))
        except OverflowError:
            return math.inf


def threshold(
    scores: NDArray[np.float64] | Sequence[NDArray[np.float64]], *, maximum: float | None, percentile: float | None
) -> float:
    """Return the greatest score that stays.

    `scores` are all scores (or parts of them, which may be mapped files: they are read in pieces, five times), none
    negative; NaN, the score of a text that could not be scored, never stays and does not count. `percentile` p gives
    the least score that at least p percent of the scores do not exceed (the inverted distribution function, of
    Hyndman and Fan 1996 number 1), so that at least p percent stay. With both, the lesser one; with none, infinity.
    """
    limits = [] if maximum is None else [maximum]
    if percentile is not None:
        limits += _quantile([scores] if isinstance(scores, np.ndarray) else scores, percentile)
    return min(limits, default=float("inf"))


def _quantile(parts: Sequence[NDArray[np.float64]], percentile: float) -> list[float]:
    """Return the quantile, or nothing where there are no scores.

    Floats that are not negative are in the order of their bits; the bits are found 16 at a time, by counting.
    """
    count = sum(len(bits) for bits in _bits(parts))
    if not count:
        return []
    rank = math.ceil(Fraction(repr(percentile)) * count / 100) - 1  # as it was written: 0.1 of 1,000 is 1, not 2
    found, known = 0, 0
    while known < 64:
        histogram = np.zeros(1 << _DIGIT_BITS, dtype=np.int64)
        for bits in _bits(parts):
            if known:
                bits = bits[bits >> np.uint64(64 - known) == np.uint64(found)]
            digits = bits >> np.uint64(64 - known - _DIGIT_BITS) & np.uint64((1 << _DIGIT_BITS) - 1)
            histogram += np.bincount(digits.astype(np.int64), minlength=1 << _DIGIT_BITS)
        ends = histogram.cumsum()
        digit = int(np.searchsorted(ends, rank, side="right"))
        rank -= int(ends[digit] - histogram[digit])
        found, known = found << _DIGIT_BITS | digit, known + _DIGIT_BITS
    return [float(np.array([found], dtype=np.uint64).view(np.float64)[0])]


def _bits(parts: Sequence[NDArray[np.float64]]) -> Iterator[NDArray[np.uint64]]:
    for part in parts:
        for start in range(0, len(part), _BLOCK):
            block = np.array(part[start : start + _BLOCK], dtype=np.float64)
            yield block[~np.isnan(block)].view(np.uint64)
