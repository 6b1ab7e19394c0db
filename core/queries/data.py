"""Questions about data: what a path is, what its rows say, what filters would do, which tokens a row becomes.

Each question names its data by `path` (a file or folder, nothing else known about it) or by `data` (a data section as
in a preset). No answer needs torch, except a trial of a perplexity filter. Paths are absolute: the helper has a folder
of its own. Texts are cut, and how long they were stands beside them (core/queries/bounds.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from core.config.data import InstructionData, TextData
from core.config.preferences import PreferenceData, Preparable, PreparableData, PromptData
from core.config.sources import Source
from core.data.inspection import inspect as inspection_of
from core.data.preview import preview as preview_of
from core.data.subject import data_of_path
from core.errors import UsageError
from core.queries.bounds import bounded
from core.queries.question import Question

PREVIEW_CHARACTERS = 4_000
INSPECTED_ROWS = 20_000
"""Of each file: a console wants to know within seconds what something is."""


class InspectQuestion(Question):
    """What is at a path, or in a source of a data section.

    `limit`: look at so many rows of each file only.

    Answer: source, container, format, rows, bad_rows (cannot be read), unusable_rows (lack what the format needs),
    empty, documents (None where nobody can say), columns (names), column_details (name, type, rows, example), errors,
    files, left_out,
    repaired, bytes, complete (False where reading stopped at the limit).
    """

    path: str | None = Field(default=None, min_length=1, max_length=4096)
    source: Source | None = None
    limit: int | None = Field(default=INSPECTED_ROWS, ge=1)


class DataQuestion(Question):
    """A question about the data of a path, or of a data section."""

    path: str | None = Field(default=None, min_length=1, max_length=4096)
    data: PreparableData | None = None

    def section(self) -> Preparable:
        """Return the data section that is meant.

        Raises: UsageError where there are both or neither; what looking at a path raises.
        """
        match self.path, self.data:
            case str() as path, None:
                return data_of_path(path)
            case None, (TextData() | InstructionData() | PreferenceData() | PromptData()) as data:
                return data
            case _:
                raise UsageError("a question about data has either a path or a data section")


class PreviewQuestion(DataQuestion):
    """Rows as they come out.

    `seed` decides how answers are damaged (data.damage).

    Answer: kind (text, instructions, preferences, prompts), formats, start, total (None where the end was not reached),
    rows, bad_rows, repaired, errors. A row has number, source, place, kind (document, conversation, preference, judged,
    prompt); a document text and characters; the others turns, each with role, text, characters, supervised; a
    preference chosen and rejected besides, judged rows a label, prompts an answer (text, characters) where they come
    with one.
    """

    start: int = Field(default=0, ge=0)
    rows: int = Field(default=20, ge=1, le=1000)
    seed: int = Field(default=17, ge=0, le=2**32 - 1)


def inspect(question: InspectQuestion) -> dict[str, Any]:
    """Return what is at a path.

    Raises: UsageError where nothing is there; DataError where it is no data set, or breaks off.
    """
    match question.path, question.source:
        case str() as path, None:
            found = inspection_of(Path(path), limit=question.limit)
        case None, source if source is not None:
            found = inspection_of(source, limit=question.limit)
        case _:
            raise UsageError("what to inspect is either a path or a source")
    return bounded({**found.as_json(), "complete": found.is_complete})


def preview(question: PreviewQuestion) -> dict[str, Any]:
    """Return rows as they come out of the sources."""
    found = preview_of(question.section(), start=question.start, count=question.rows, seed=question.seed)
    return bounded(found.as_json(PREVIEW_CHARACTERS))
