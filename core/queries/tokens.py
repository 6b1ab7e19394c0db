"""The tokens of a row: which tokenizer, which template, and what the loss counts."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, assert_never

from pydantic import Field

from core.config.data import InstructionData, LoadedTokenizer, ModelTokenizer, TextData, TrainedTokenizer
from core.config.loss import SyntaxWeights
from core.config.model import GGUFModel, Model, PresetModel, PretrainedModel, RunModel, ScratchModel
from core.config.preferences import Preparable
from core.data.fingerprints import tokenizer_place, with_known_tokenizer
from core.data.formats import Conversation
from core.data.manifest import TOKENIZER
from core.data.preview import Preview, preview
from core.data.rows import Row
from core.data.tokens.added_tokens import with_added_tokens
from core.data.tokens.answered import Answered
from core.data.tokens.encoders import accepted_by, syntax_of
from core.data.tokens.fill_in_the_middle import document_parts
from core.data.tokens.marking import document_language
from core.data.tokens.templates import TemplateName, resolve_template
from core.data.tokens.token_view import SyntaxView, answered_view, token_view
from core.data.tokens.tokenize import DocumentPart, TextTokenizer
from core.data.tokens.tokenizer_files import TOKENIZER_FILES, load_tokenizer, locate_tokenizer
from core.errors import DataError, UsageError
from core.queries.bounds import bounded
from core.queries.data import DataQuestion
from core.run.directory import Home, RunDirectory
from core.run.preset_run import finished_run

_STAND_IN = "smollm2"


class TokensQuestion(DataQuestion):
    """The tokens of one row.

    `tokenizer` is a folder, a file, a name on the hub, a run, or smollm2; `model` is whose tokenizer `kind: model`
    means; `prepared` a folder of prepared tokens.

    Answer: row, place, format, template (none for documents), text (what the template made of the row), tokens (id,
    text, loss, special), counts (tokens, loss, special), left_out, faults, further (other examples of the same row),
    tokenizer (where it lies), stands_in (whether it only stands for one that is still to be trained). With data.syntax
    each token has its class (of source code), and with `weights` its weight; a token of the weight 0 is out of the
    loss. `seed` decides where data.fill_in_the_middle cuts a document, and how data.damage spoils an answer. Of
    preferences and prompts `side` says what the tokens are (chosen, rejected, good, bad, prompt, answer); the other
    side, or the answer that comes with a prompt, is in further.
    """

    row: int = Field(default=0, ge=0)
    tokenizer: str | None = Field(default=None, min_length=1, max_length=4096)
    template: Literal["auto", "alpaca", "chat", "code"] | None = None
    max_tokens: int | None = Field(default=None, ge=8, le=1048576)
    model: Model | None = None
    prepared: str | None = Field(default=None, min_length=1, max_length=4096)
    weights: SyntaxWeights | None = None
    seed: int = Field(default=17, ge=0, le=2**32 - 1)


def tokens(question: TokensQuestion, home: Home) -> dict[str, Any]:
    """Return the tokens of a row.

    Raises: UsageError where there is no such row or no tokenizer; DataError where the row is not to be imitated.
    """
    data = question.section()
    place, stands_in = find_tokenizer(
        data, home, named=question.tokenizer, model=question.model, prepared=question.prepared
    )
    tokenizer, _ = with_added_tokens(load_once(place), tokens_to_add(data))
    found = preview(data, start=question.row, count=1, seed=question.seed)
    content = _content(found, question.row, data)
    template: TemplateName | None = None
    limit = question.max_tokens
    if not isinstance(data, TextData):
        template = resolve_template(question.template or data.template, tokenizer, data.code_tokens)
        limit = limit or data.max_tokens
    row = found.rows[0]
    code_tokens = None if isinstance(data, TextData) else data.code_tokens
    if isinstance(content, str | Conversation):
        view = token_view(
            content, tokenizer, template, max_tokens=limit, accept=accepted_by(data), code_tokens=code_tokens,
            place=row.place, parts=_parts(data, content, question.seed),
            syntax=_syntax_view(data, row.source, row.place, question.weights),
        )  # fmt: skip
    else:
        assert template is not None, "rows have a template"
        view = answered_view(
            content, tokenizer, template, max_tokens=limit, code_tokens=code_tokens, place=row.place
        )
    head = {"row": row.number, "format": found.formats[row.source], "max_tokens": limit}
    return bounded({**head, **view.as_json(), "tokenizer": str(place), "stands_in": stands_in})


def _parts(data: Preparable, content: str | Conversation, seed: int) -> list[DocumentPart] | None:
    if isinstance(data, TextData) and isinstance(content, str):
        return document_parts(content, data.fill_in_the_middle, seed=seed)
    return None


def _syntax_view(
    data: Preparable, source: int, place: str, weights: SyntaxWeights | None
) -> SyntaxView | None:
    syntax = syntax_of(data)
    if syntax is None:
        return None
    is_text = isinstance(data, TextData)
    language = document_language(syntax, data.sources[source], place) if is_text else None
    return SyntaxView(syntax, language, weights)


def tokens_to_add(data: Preparable) -> list[str]:
    """Return the special tokens that the tokenizer of some data is to have; one that stands in for it gets them too."""
    match data.tokenizer:
        case TrainedTokenizer(special_tokens=tokens):
            return tokens
        case LoadedTokenizer(added_tokens=tokens) | ModelTokenizer(added_tokens=tokens):
            return tokens
        case _:
            assert_never(data.tokenizer)


def _content(found: Preview, number: int, data: Preparable) -> str | Conversation | Answered:
    if not found.rows:
        raise UsageError(f"there is no row {number:,}", hint=f"There are {found.total or 0:,}, counted from 0.")
    row = found.rows[0]
    if isinstance(row.says, Row):
        raise DataError(
            f"{row.place}: expected a text or a format that is known, found the columns "
            f"{', '.join(map(repr, list(row.says.values)[:30]))}",
            hint="Name what holds the text: --column text=NAME.",
        )
    if isinstance(data, InstructionData) and not isinstance(row.says, Conversation):
        raise DataError(
            f"{row.place}: expected a conversation to imitate, found a {row.as_json(0)['kind']} row "
            f"({found.formats[row.source]})",
            hint="Such rows train a reward model or a policy, with data.kind: preferences or prompts. To imitate one "
            "side, name its column: --format prompt_completion --column response=chosen.",
        )
    return row.says


def find_tokenizer(
    data: Preparable,
    home: Home,
    *,
    named: str | None = None,
    model: Model | None = None,
    prepared: str | None = None,
) -> tuple[Path, bool]:
    """Return where the tokenizer of some data lies, and whether it only stands for one that is still to be trained.

    Raises: UsageError where there is none, and none that could stand for it.
    """
    if named is not None:
        return _named(named, home), False
    if prepared is not None:
        return Path(prepared) / TOKENIZER, False
    match data.tokenizer:
        case LoadedTokenizer():
            place = tokenizer_place(with_known_tokenizer(data, home.fetched), None)
            assert place is not None
            return place, False
        case ModelTokenizer() if model is not None:
            return _of_model(model, home), False
        case ModelTokenizer() | TrainedTokenizer():
            return _stand_in(home), True
        case _:
            assert_never(data.tokenizer)


def load_once(place: Path) -> TextTokenizer:
    """Return a tokenizer, kept while its files do not change: somebody may leaf through rows."""
    return _loaded(place, _stamp(place))


def _named(text: str, home: Home) -> Path:
    if text in home.fetched:
        if (home.fetched[text] / "tokenizer.json").is_file():
            return home.fetched[text]
        raise UsageError(f"{text} is not on this machine yet", hint=f"Run `footplate fetch {text}` first.")
    run = RunDirectory(home.runs / text)
    for folder in (run.data / TOKENIZER, run.model):
        if (folder / "tokenizer.json").is_file():
            return folder
    return locate_tokenizer(text)


def _of_model(model: Model, home: Home) -> Path:
    match model:
        case ScratchModel():
            raise UsageError(
                "data.tokenizer.kind: expected a model that brings a tokenizer, found a model built from scratch",
                hint="Name one: --tokenizer PLACE.",
            )
        case PretrainedModel():
            return locate_tokenizer(model.path)
        case RunModel():
            return RunDirectory(home.runs / model.run).model
        case PresetModel():
            return finished_run(model.preset, home).model
        case GGUFModel(path=path) if path in home.fetched:
            return _named(path, home)
        case GGUFModel():
            from core.model.resolve import resolve_model

            folder = resolve_model(model, home)
            assert folder is not None
            return folder
        case _:
            assert_never(model)


def _stand_in(home: Home) -> Path:
    folder = home.fetched[_STAND_IN]
    if (folder / "tokenizer.json").is_file():
        return folder
    raise UsageError(
        "expected a tokenizer, found one that is still to be trained, or none named",
        hint=f"Name one: --tokenizer PLACE (a folder, a run, a name on the hub), or run `footplate fetch {_STAND_IN}`.",
    )


def _stamp(place: Path) -> tuple[tuple[int, int], ...]:
    files = [place] if place.is_file() else [place / name for name in TOKENIZER_FILES if (place / name).is_file()]
    return tuple((status.st_mtime_ns, status.st_size) for file in files for status in (file.stat(),))


@lru_cache(maxsize=2)
def _loaded(place: Path, stamp: tuple[tuple[int, int], ...]) -> TextTokenizer:
    return load_tokenizer(place)
