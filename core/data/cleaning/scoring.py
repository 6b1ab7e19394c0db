"""Perplexities of all items of a pass, unit by unit, going on within a unit that was left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from core.data.cleaning.steps import text_of
from core.data.cleaning.unit_files import UnitFiles
from core.data.construction import write_whole
from core.data.formats import loaded
from core.data.progress import Work

Scorer = Callable[[Sequence[str]], NDArray[np.float64]]
"""Perplexities of some texts, NaN where a text has nothing to score. Shape: (texts,)."""

_TEXTS_AT_ONCE = 256
_CHARACTERS_AT_ONCE = 64 * 2**10
_MOST_CHARACTERS = 8 * 2**10
"""What counts of one text, since a model scores only its beginning."""
_SAVING_SECONDS = 60.0


def score_units(units: list[UnitFiles], scorer: Callable[[], Scorer], is_text: bool, work: Work) -> None:
    """Write the scores of every unit that has none yet; `scorer` is called where there is something to score.

    The scores of an unfinished unit are saved about once a minute and at a stop. Which texts are scored together
    depends on the unit alone, so that one that was left gets the same scores.

    Raises: UsageError, DataError where the model cannot be used; PreparationStopped; OSError.
    """
    counts = [files.record().items for files in units]
    total = sum(counts)
    score: Scorer | None = None
    done = 0
    for files, count in zip(units, counts, strict=True):
        if not files.path("scores").is_file():
            score = score or scorer()
            _score_unit(files, score, is_text, work, (done, total))
        done += count
    work.stage_ends("scoring", total, "documents")


def _score_unit(files: UnitFiles, score: Scorer, is_text: bool, work: Work, progress: tuple[int, int]) -> None:
    partial = files.path("scoring")
    found = np.fromfile(partial, dtype="<f8") if partial.is_file() else np.zeros(0, dtype="<f8")
    scores = [found]
    number = len(found)
    saved = time.monotonic()
    payloads = (item.payload for item in islice(files.items(), number, None))
    texts = payloads if is_text else (text_of(loaded(payload)) for payload in payloads)
    try:
        for group in _groups(texts):
            scores.append(score(group).astype("<f8"))
            number += len(group)
            work.pulse("scoring", progress[0] + number, progress[1], "documents")
            if time.monotonic() - saved >= _SAVING_SECONDS:
                write_whole(partial, np.concatenate(scores).tobytes())
                saved = time.monotonic()
    except BaseException:
        write_whole(partial, np.concatenate(scores).tobytes())
        raise
    write_whole(files.path("scores"), np.concatenate(scores).tobytes())
    partial.unlink(missing_ok=True)


def _groups(texts: Iterator[str]) -> Iterator[list[str]]:
    group: list[str] = []
    characters = 0
    for text in texts:
        group.append(text)
        characters += min(len(text), _MOST_CHARACTERS)
        if len(group) == _TEXTS_AT_ONCE or characters >= _CHARACTERS_AT_ONCE:
            yield group
            group, characters = [], 0
    if group:
        yield group
