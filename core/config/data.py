"""Where text and instructions come from, and how they become tokens."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.section import Section


class StandardLibrarySource(Section):
    """The Python source of the standard library of this machine's interpreter: a corpus that needs no download."""

    kind: Literal["standard_library"]
    max_bytes: int = Field(default=16_000_000, ge=1000, le=1_000_000_000)
    """Stop after so many bytes of source (files in the order of their names' hashes)."""


class FilesSource(Section):
    """Text or code files: one file, or every file of a folder; one document a file."""

    kind: Literal["files"]
    path: str = Field(min_length=1, max_length=4096)
    """A file or a folder."""
    include: list[str] = Field(default=["*.txt", "*.md", "*.py"], max_length=100)
    """Patterns of file names to take from a folder and the folders below it."""
    exclude: list[str] = Field(default=[], max_length=100)
    """Patterns of paths, relative to the folder, to leave out."""
    document: Literal["file", "line", "paragraph"] = "file"
    """What one document is: the whole file, one line, or what stands between blank lines."""


class JSONSource(Section):
    """JSON Lines (one object a line) or one JSON array of objects; plain or .gz."""

    kind: Literal["json"]
    path: str = Field(min_length=1, max_length=4096)
    """A file, or a folder of .jsonl and .json files."""
    text_field: str = Field(default="text", min_length=1, max_length=255)
    """The key that holds the text (for documents; instructions have keys of their own)."""


class ParquetSource(Section):
    """Parquet files, read a row group at a time."""

    kind: Literal["parquet"]
    path: str = Field(min_length=1, max_length=4096)
    """A file, or a folder of .parquet files."""
    text_field: str = Field(default="text", min_length=1, max_length=255)
    """The column that holds the text."""


class HubSource(Section):
    """A Hugging Face dataset by name, streamed. Code that comes with a dataset is never run."""

    kind: Literal["hub"]
    name: str = Field(min_length=1, max_length=4096)
    """The dataset's name, or a folder that `datasets` can load."""
    subset: str | None = Field(default=None, max_length=255)
    """The dataset's configuration, where it has several."""
    split: str = Field(default="train", min_length=1, max_length=255)
    """Which split to read."""
    revision: str | None = Field(default=None, max_length=255)
    """Branch, tag or commit on the hub."""
    text_field: str = Field(default="text", min_length=1, max_length=255)
    """The column that holds the text."""
    max_rows: int | None = Field(default=None, ge=1, le=10**12)
    """Stop after so many rows. Empty: all."""


Source = Annotated[
    StandardLibrarySource | FilesSource | JSONSource | ParquetSource | HubSource, Field(discriminator="kind")
]


class TrainedTokenizer(Section):
    """A byte-level BPE tokenizer trained on the training split of this data."""

    kind: Literal["train"]
    vocabulary_size: int = Field(default=4096, ge=260, le=1_000_000)
    """Number of tokens, the 256 bytes and the special tokens included."""
    special_tokens: list[str] = Field(default=[], max_length=1000)
    """Further special tokens besides <|endoftext|>."""
    max_bytes: int = Field(default=50_000_000, ge=1000, le=10**12)
    """Train on at most so many bytes of text."""


class LoadedTokenizer(Section):
    """A tokenizer that exists."""

    kind: Literal["load"]
    path: str = Field(min_length=1, max_length=4096)
    """A folder with tokenizer.json, such a file, a hub name, or smollm2 after `footplate fetch smollm2`."""


class ModelTokenizer(Section):
    """The tokenizer that comes with the phase's model."""

    kind: Literal["model"]


Tokenizer = Annotated[TrainedTokenizer | LoadedTokenizer | ModelTokenizer, Field(discriminator="kind")]


class TextData(Section):
    """Documents for next-token prediction."""

    kind: Literal["text"]
    sources: list[Source] = Field(min_length=1, max_length=1000)
    """Where the documents come from, in this order."""
    tokenizer: Tokenizer
    """How text becomes tokens."""
    held_out_fraction: float = Field(default=0.01, ge=0, le=0.5)
    """Share of the documents kept out of training for evaluation, chosen by the hash of seed and text."""
    attend_across_documents: bool = False
    """Let a token attend to earlier documents of its row, and predict the first token of the next one."""
    max_bad_rows: float = Field(default=0.01, ge=0, le=1)
    """Largest share of rows that may be unreadable or lack the text; more is an error."""


class InstructionData(Section):
    """Instructions and conversations for supervised fine-tuning; the loss counts the responses only."""

    kind: Literal["instructions"]
    sources: list[Source] = Field(min_length=1, max_length=1000)
    """Where the rows come from, in this order."""
    tokenizer: Tokenizer = Field(default_factory=lambda: ModelTokenizer(kind="model"))
    """How text becomes tokens; the model's own unless stated."""
    format: Literal["auto", "alpaca", "messages"] = "auto"
    """The shape of a row: alpaca (instruction, input, output) or messages (role and content); auto looks at the
    rows."""
    template: Literal["auto", "alpaca", "chat"] = "auto"
    """How a row becomes text: the two Alpaca templates, or the tokenizer's chat template; auto takes chat where the
    tokenizer has one."""
    max_tokens: int = Field(default=2048, ge=8, le=1048576)
    """Longest example in tokens. A longer one loses the start of its prompt; one whose response alone is longer is
    dropped and counted."""
    pack: bool = True
    """Lay several examples into one sequence (best fit); they never see one another."""
    held_out_fraction: float = Field(default=0.02, ge=0, le=0.5)
    """Share of the rows kept out of training for evaluation, chosen by the hash of seed and row."""
    max_bad_rows: float = Field(default=0.01, ge=0, le=1)
    """Largest share of rows that may be unreadable, empty or over-long; more is an error."""


class PreparedData(Section):
    """Tokens that an earlier `prepare` run made."""

    kind: Literal["run"]
    run: str = Field(min_length=1, max_length=4096)
    """Name of a finished prepare run."""
    attend_across_documents: bool = False
    """Let a token attend to earlier documents of its row (text only)."""
    pack: bool = True
    """Lay several examples into one sequence (instructions only)."""


PretrainingData = Annotated[TextData | PreparedData, Field(discriminator="kind")]
InstructionTuningData = Annotated[InstructionData | PreparedData, Field(discriminator="kind")]
PreparableData = Annotated[TextData | InstructionData, Field(discriminator="kind")]
