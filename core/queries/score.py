"""What a reward run's model says of answers in a file.

The scores come with the progress: there may be more of them than one line carries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_never

from pydantic import Field

from core.config.data import InstructionData, RowFormat
from core.config.phases import RewardConfig
from core.config.sources import PathSource
from core.data.formats import Conversation, Judged, Preference, Prompt, canonical
from core.data.row_formats import columns_of, row_formats
from core.data.sources.reading import describe, rows, units_of
from core.data.tally import RowError, Tally
from core.data.tokens.answered import AnsweredEncoder
from core.data.tokens.examples import ExampleEncoder
from core.data.tokens.faults import Faults
from core.data.tokens.sides import pair_of
from core.data.tokens.tokenizer_files import load_tokenizer
from core.errors import DataError, UsageError
from core.model.reward_record import read_reward_record
from core.queries.model import Say
from core.queries.question import Question
from core.run.directory import Home, RunDirectory

if TYPE_CHECKING:
    import torch

    from core.model.reading import Reading
    from core.training.device import Dtype

_WINDOW = 64
"""Rows that are sorted by length and scored together, and then given out in the order of the file."""
_UNLIMITED = 2**30
_ROWS = (
    "A row has a prompt and an answer (prompt and completion, instruction and output, messages), or a prompt and two "
    "(prompt, chosen and rejected)."
)

Answer = Preference | Judged | Conversation


class ScoreQuestion(Question):
    """Which run's reward model is to score which file.

    Answer, with the progress: scores, a list of rows in the order of the file, each with its place and score; a pair
    has chosen, rejected and margin in the place of score, a judged answer its label besides. At the end: rows, bad_rows
    (that could not be scored), bad (how many of each kind), errors (the first in words), template, device, dtype.
    """

    run: str = Field(min_length=1)
    file: str = Field(min_length=1, max_length=4096)


def score(question: ScoreQuestion, say: Say, home: Home) -> dict[str, Any]:
    """Say the scores of all answers in a file, and return how many there were.

    Raises: UsageError where the run made no reward model, or nothing is there; DataError where nobody knows what the
    rows say, or none of them could be scored.
    """
    run = RunDirectory(Path(question.run))
    folder = _reward_folder(run)
    source = PathSource.model_validate({"kind": "path", "path": question.file})
    data = InstructionData(kind="instructions", sources=[source], max_bad_rows=1.0)
    formats = _formats(data, source)
    judge = _Judge.of(run, folder, home)
    tally = Tally(describe(source, 0), max_bad_share=1.0)
    given = 0
    answers = _answers(source, formats, tally)
    while window := list(islice(answers, _WINDOW)):
        found = judge.scores(window, tally)
        given += len(found)
        say({"type": "progress", "stage": "score", "done": given, "total": None, "unit": "rows", "scores": found})
    if not given:
        raise DataError("\n  ".join([f"none of the rows in {source.path} could be scored:", *tally.errors]), hint=_ROWS)
    return {
        "rows": given, "bad_rows": tally.bad.total(), "bad": dict(sorted(tally.bad.items())), "errors": tally.errors,
        "template": judge.template, "device": judge.device_name, "dtype": judge.dtype,
    }  # fmt: skip


def _formats(data: InstructionData, source: PathSource) -> dict[str, RowFormat]:
    try:
        return row_formats(data, 0)
    except DataError as error:  # which advises on a preset, and here is none
        raise DataError(error.message.replace(describe(source, 0), source.path, 1), hint=_ROWS) from error


def _reward_folder(run: RunDirectory) -> Path:
    if not run.has_model:
        raise UsageError(f"{run.path} has made no model", hint="A training run writes it at its end.")
    try:
        read_reward_record(run.model)
    except UsageError as error:
        raise UsageError(
            f"{run.name} has made no reward model: {error.message}", hint="Name a finished run of phase reward."
        ) from error
    return run.model


def _answers(source: PathSource, formats: Mapping[str, RowFormat], tally: Tally) -> Iterator[tuple[str, Answer]]:
    """Yield (place, answer) of each row; those that answer nothing are counted as bad."""
    for unit in units_of(source, 0):
        if (shape := formats.get(unit.file)) is None:
            continue
        for place, row in canonical(rows(source, tally, unit), shape, columns_of(source), tally):
            if isinstance(row, Prompt):
                tally.refuse(place, RowError("no_response", "expected an answer to score, found a prompt alone"))
            else:
                yield place, row


def _laid_as(row: Answer) -> Preference | Judged:
    return Judged(row, label=True) if isinstance(row, Conversation) else row


@dataclass(frozen=True)
class _Judge:
    """A reward model with what turns rows into the tokens that it was trained on."""

    model: Any
    reading: Reading
    encoder: AnsweredEncoder
    template: str
    device: torch.device
    dtype: Dtype

    @classmethod
    def of(cls, run: RunDirectory, folder: Path, home: Home) -> _Judge:
        """Load the model of a reward run. Raises: UsageError; what loading raises."""
        from core.model.reward_model import load_reward_model
        from core.model.verification import verify_reading
        from core.run.overrides import resolved_config
        from core.training.device import TORCH_DTYPES, choose_device, resolve_dtype

        config = resolved_config(run).config
        device = choose_device()
        assert isinstance(config, RewardConfig), "no other phase writes a reward model"
        dtype = resolve_dtype(config.precision, device)
        record = read_reward_record(folder)
        model = load_reward_model(folder, home, device=device)
        reading = verify_reading(model, "auto", autocast=None if dtype == "fp32" else TORCH_DTYPES[dtype])
        tokenizer = load_tokenizer(folder)
        longest = getattr(model.config.get_text_config(), "max_position_embeddings", None) or _UNLIMITED
        if record.template == "none":
            raise UsageError(f"{run.name} was trained without a template, so no row can be laid for it")
        laid = ExampleEncoder(tokenizer, record.template, longest, code_tokens=record.code_tokens)
        encoder = AnsweredEncoder(tokenizer, laid, longest)
        return cls(model, reading, encoder, record.template, device, dtype)

    @property
    def device_name(self) -> str:
        """The device as a person knows it."""
        from core.training.device import device_name

        return device_name(self.device)

    def scores(self, window: Sequence[tuple[str, Answer]], tally: Tally) -> list[dict[str, Any]]:
        """Return what is said of each row that could be laid as tokens, in their order."""
        from core.model.scalar_head import scores_of
        from core.training.device import autocast

        places = [place for place, _ in window]
        documents = self.encoder.encode([_laid_as(row) for _, row in window], places=places, faults=Faults())
        laid: list[tuple[str, Answer, list[list[int]]]] = []
        for (place, row), document in zip(window, documents, strict=True):
            if isinstance(document, RowError):
                tally.refuse(place, document)
            else:
                laid.append((place, row, [side.ids.tolist() for side in pair_of(*document)]))
        with autocast(self.device, self.dtype):
            found = iter(scores_of(self.model, self.reading, [ids for _, _, sides in laid for ids in sides]))
        return [_said(place, row, [next(found) for _ in sides]) for place, row, sides in laid]


def _said(place: str, row: Answer, scores: Sequence[float]) -> dict[str, Any]:
    match row:
        case Preference():
            chosen, rejected = scores
            return {"place": place, "chosen": chosen, "rejected": rejected, "margin": chosen - rejected}
        case Judged():
            return {"place": place, "score": scores[0], "label": row.label}
        case Conversation():
            return {"place": place, "score": scores[0]}
        case _:
            assert_never(row)
