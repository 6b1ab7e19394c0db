"""What somebody asks to see the data of: a preset, or simply a path.

A path is taken as it would be with no configuration beyond it: one source of kind path and every default. Whether its
rows are instructions, preferences, prompts or documents is found by looking at the first of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, assert_never, get_args

from core.config.data import InstructionData, PreparedData, RowFormat, TextData, TrainedTokenizer
from core.config.loss import SyntaxWeights
from core.config.model import Model
from core.config.paths import placed
from core.config.phases import Config, PipelineConfig, PrepareConfig, PretrainConfig, SFTConfig
from core.config.preferences import PreferenceData, Preparable, PromptData
from core.config.presets import find_preset, list_presets, load_preset, resolve
from core.config.sources import Columns, Container, PathSource
from core.data.formats import recognised
from core.data.inspection import ROW_CONTAINERS
from core.data.row_items import PAIRED
from core.data.sources.path_files import list_files
from core.data.sources.reading import describe, records
from core.data.tally import Tally
from core.errors import UsageError
from core.run.directory import Home
from core.run.overrides import resolved_config
from core.run.runs import find_run

Kind = Literal["text", "instructions", "preferences", "prompts"]

ROWS_TO_DETECT = 100


@dataclass(frozen=True)
class Subject:
    """Data to look at; `preset` is "" where a path was named, `model` the one that its tokenizer may come with."""

    data: Preparable
    preset: str = ""
    model: Model | None = None
    prepared: Path | None = None
    """The folder of prepared tokens that the preset names, which has the tokenizer."""
    weights: SyntaxWeights | None = None
    """What tokens count in the training that the preset is."""
    seed: int | None = None
    """The preset's seed, by which documents are cut in three."""


def find_subject(
    text: str, home: Home, folder: Path, *, shape: str = "auto", columns: Columns | None = None
) -> Subject:
    """Return what a person means by a preset's name or file, or by the path of a file or folder.

    Relative paths begin at `folder`. `shape` and `columns` say what the rows of a path look like.
    Raises: ConfigurationError for a preset that does not hold; UsageError where there is neither.
    """
    path = folder / Path(text).expanduser()
    is_preset = text in {entry.name for entry in list_presets(home.presets)}
    if text and not is_preset and path.suffix not in (".yaml", ".yml") and path.exists():
        return Subject(data_of_path(str(path.absolute()), shape=shape, columns=columns))
    if not is_preset and path.suffix not in (".yaml", ".yml"):
        raise UsageError(
            f"{text!r} is no preset, and there is nothing at {path}",
            hint="Name a file, a folder, or one of `footplate presets`.",
        )
    if shape != "auto" or columns not in (None, Columns()):
        raise UsageError(
            f"{text} is a preset, which says itself what its rows look like",
            hint="Leave --format and --column out, or name the path of the data.",
        )
    return _of_preset(find_preset(text, home.presets), home, folder)


def _of_preset(file: Path, home: Home, folder: Path) -> Subject:
    config: Config = placed(resolve(load_preset(file)), folder)
    if isinstance(config, PipelineConfig):
        raise UsageError(
            f"{file.stem} is a pipeline, whose stages have their own data",
            hint="Name a preset of one phase, or the path of the data.",
        )
    model = None if isinstance(config, PrepareConfig) else config.model
    weights = config.loss.syntax_weights if isinstance(config, PretrainConfig | SFTConfig) else None
    if not isinstance(config.data, PreparedData):
        return Subject(config.data, file.stem, model, weights=weights, seed=config.seed)
    run = find_run(home, config.data.run)
    prepared = resolved_config(run).config
    if not isinstance(prepared, PrepareConfig):
        raise UsageError(f"{file}: data.run: expected a prepare run, {run.name} is a run of {prepared.phase}")
    return Subject(prepared.data, file.stem, model, run.data, weights, prepared.seed)


def data_of_path(
    path: str, kind: Kind | None = None, *, shape: str = "auto", columns: Columns | None = None
) -> Preparable:
    """Return the data section that means one path and every default.

    `shape` is the name of a container or of a row format, auto looks. Without `kind`, pairs and judged answers are
    preferences, rows that only ask are prompts, other rows of a known format instructions, everything else documents.
    The tokenizer of documents is one to be trained: nobody named any.

    Raises: UsageError where nothing is there, or the shape is none; DataError where the beginning cannot be read.
    """
    if shape not in ("auto", *get_args(Container), *get_args(RowFormat)):
        names = ", ".join([*get_args(RowFormat), *get_args(Container)])
        raise UsageError(f"there is no format {shape!r}", hint=f"Formats: {names}.")
    container = shape if shape in get_args(Container) else "auto"
    values = {"kind": "path", "path": path, "format": container, "columns": (columns or Columns()).model_dump()}
    source = PathSource.model_validate(values)
    says = shape if shape in get_args(RowFormat) else "auto"
    if kind is None:
        kind = _kind_of(row_format(source) if says == "auto" else says)
    section = {"kind": kind, "sources": [source.model_dump()], "format": says}
    match kind:
        case "text":
            return TextData(kind="text", sources=[source], tokenizer=TrainedTokenizer(kind="train"))
        case "instructions":
            return InstructionData.model_validate(section)
        case "preferences":
            return PreferenceData.model_validate(section)
        case "prompts":
            return PromptData.model_validate(section)
        case _:
            assert_never(kind)


def _kind_of(shape: str | None) -> Kind:
    if shape is None:
        return "text"
    return "preferences" if shape in PAIRED else "prompts" if shape == "prompts" else "instructions"


def row_format(source: PathSource) -> RowFormat | None:
    """Return the format of a source's first rows, or None where they are documents.

    Raises: UsageError where nothing is there; DataError where the beginning cannot be read.
    """
    if source.columns.text is not None or list_files(source).known[0].container not in ROW_CONTAINERS:
        return None
    tally = Tally(describe(source, 0), max_bad_share=1.0)
    first = list(islice(records(source, tally), ROWS_TO_DETECT))
    return recognised(first, source.columns) if first else None


def columns_from(texts: Sequence[str]) -> Columns:
    """Return the columns that `role=name` texts state.

    Raises: UsageError for a text of another form, or a role that there is not.
    """
    values: dict[str, str] = {}
    for text in texts:
        role, equals, name = text.partition("=")
        if not equals or not name or role not in Columns.model_fields:
            roles = ", ".join(Columns.model_fields)
            raise UsageError(f"--column {text}: expected ROLE=NAME", hint=f"Roles: {roles}. For example text=body.")
        if role in values:
            raise UsageError(f"--column {role} is given twice", hint="Name each column once.")
        values[role] = name
    return Columns.model_validate(values)
