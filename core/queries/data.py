"""Questions about data: what a path is, what its rows say, what filters would do, which tokens a row becomes.

Each question names its data by `path` (a file or folder, nothing else known about it) or by `data` (a data section as
in a preset). No answer needs torch, except a trial of a perplexity filter. Paths are absolute: the helper has a folder
of its own. Texts are cut, and how long they were stands beside them (core/queries/bounds.py).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from core.config.data import InstructionData, PreparableData, TextData
from core.data.preview import preview as preview_of
from core.data.subject import data_of_path
from core.errors import UsageError
from core.queries.bounds import bounded
from core.queries.question import Question

PREVIEW_CHARACTERS = 4_000


class DataQuestion(Question):
    """A question about the data of a path, or of a data section."""

    path: str | None = Field(default=None, min_length=1, max_length=4096)
    data: PreparableData | None = None

    def section(self) -> TextData | InstructionData:
        """Return the data section that is meant.

        Raises: UsageError where there are both or neither; what looking at a path raises.
        """
        match self.path, self.data:
            case str() as path, None:
                return data_of_path(path)
            case None, (TextData() | InstructionData()) as data:
                return data
            case _:
                raise UsageError("a question about data has either a path or a data section")


class PreviewQuestion(DataQuestion):
    """Rows as they come out.

    Answer: kind (text, instructions), formats, start, total (None where the end was not reached), rows, bad_rows,
    repaired, errors. A row has number, source, place, kind (document, conversation, preference, judged, prompt); a
    document text and characters; the others turns, each with role, text, characters, supervised; a preference chosen
    and rejected besides, judged rows a label.
    """

    start: int = Field(default=0, ge=0)
    rows: int = Field(default=20, ge=1, le=1000)


def preview(question: PreviewQuestion) -> dict[str, Any]:
    """Return rows as they come out of the sources."""
    found = preview_of(question.section(), start=question.start, count=question.rows)
    return bounded(found.as_json(PREVIEW_CHARACTERS))
