"""Where documents and rows come from."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from core.config.section import Section

Container = Literal[
    "json_lines", "json_array", "json_object", "parquet", "csv", "tsv", "text", "markdown", "html", "latex",
    "gutenberg", "warc", "wet", "mediawiki", "pubmed", "pmc", "medquad", "squad", "hellaswag_text", "xml", "code",
]  # fmt: skip
"""How the records of a file are written down, whatever they say."""


class Columns(Section):
    """Which column or key holds what; only what has another name than usual must be named."""

    text: str | None = Field(default=None, min_length=1, max_length=255)
    """The text of a document. Empty: text."""
    system: str | None = Field(default=None, min_length=1, max_length=255)
    """The system prompt."""
    prompt: str | None = Field(default=None, min_length=1, max_length=255)
    """What is asked: an instruction, a question."""
    input: str | None = Field(default=None, min_length=1, max_length=255)
    """What the instruction works on: a context, a passage."""
    response: str | None = Field(default=None, min_length=1, max_length=255)
    """What the model is to answer."""
    messages: str | None = Field(default=None, min_length=1, max_length=255)
    """A list of turns."""
    chosen: str | None = Field(default=None, min_length=1, max_length=255)
    """The better answer of a pair."""
    rejected: str | None = Field(default=None, min_length=1, max_length=255)
    """The worse answer of a pair."""
    label: str | None = Field(default=None, min_length=1, max_length=255)
    """Whether an answer is good (true) or bad (false)."""


class _Source(Section):
    share: float = Field(default=1.0, gt=0, le=1e15)
    """This source's part of the training tokens; what it counts in is said by data.mix.by."""
    group: str | None = Field(default=None, pattern=r"^[a-z0-9_]{1,40}$")
    """Name under which the held-out loss of this source is shown apart, such as medical or general; several sources
    may have the same."""


class _RowSource(_Source):
    columns: Columns = Columns()
    """Which column or key holds what."""
    text_template: str | None = Field(default=None, min_length=1, max_length=10_000)
    """Make the text of a document from a row, such as "{name}[[ treats {uses}]].": {name} is the value of that column,
    {a.b} of a key in an object, a list's values are joined by ", "; {{ and }} are braces. A part in [[ ]] is left out
    where a value in it is missing or empty; a row that lacks a value outside of one is a bad row. Stands for
    columns.text; for documents, not for instructions."""


class PathSource(_RowSource):
    """A file or a folder of anything that is known; what each file is, is found out by looking."""

    kind: Literal["path"]
    path: str = Field(min_length=1, max_length=4096)
    """A file, or a folder whose files may be of several formats; plain, .gz, .bz2 or .zst."""
    format: Literal["auto", Container] = "auto"
    """How the records are written down; auto looks at each file's name and beginning."""
    include: list[str] = Field(default=[], max_length=100)
    """Patterns of file names to take from a folder. Empty: every file of a known format."""
    exclude: list[str] = Field(default=[], max_length=100)
    """Patterns of paths, relative to the folder, to leave out."""
    document: Literal["file", "line", "paragraph"] = "file"
    """What one document of a plain text is: the whole file, one line, or what stands between blank lines."""
    record: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]{0,99}$")
    """With format xml: the name of the element that is one row. Its attributes and the elements in it are its columns,
    deeper ones keys of an object (a.b), repeated ones a list."""


class FunctionsSource(_Source):
    """Functions of Python source that have a docstring, as instruction rows: its words, the signature, the code."""

    kind: Literal["functions"]
    path: str | None = Field(default=None, min_length=1, max_length=4096)
    """A file or a folder of Python source. Empty: the standard library of this machine's interpreter."""
    max_rows: int | None = Field(default=None, ge=1, le=10**9)
    """Stop after so many functions (files in the order of their names' hashes). Empty: all."""


class CodeSource(_Source):
    """Source code: a folder or a git repository, without binary, vendored and generated files."""

    kind: Literal["code"]
    path: str = Field(min_length=1, max_length=4096)
    """A folder, or a git repository (bare or with a work tree), of which the committed files are read."""
    languages: list[str] = Field(default=[], max_length=500)
    """Names of languages to take, such as Python; found by file name. Empty: all."""
    exclude: list[str] = Field(default=[], max_length=100)
    """Patterns of paths, relative to the folder, to leave out."""
    max_file_bytes: int = Field(default=1_000_000, ge=1, le=2**30)
    """Leave out longer files."""


class StandardLibrarySource(_Source):
    """The Python source of the standard library of this machine's interpreter: a corpus that needs no download."""

    kind: Literal["standard_library"]
    max_bytes: int = Field(default=16_000_000, ge=1000, le=1_000_000_000)
    """Stop after so many bytes of source (files in the order of their names' hashes)."""


class FilesSource(_Source):
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


class JSONSource(_RowSource):
    """JSON Lines (one object a line) or one JSON array of objects; plain or .gz."""

    kind: Literal["json"]
    path: str = Field(min_length=1, max_length=4096)
    """A file, or a folder of .jsonl and .json files."""


class ParquetSource(_RowSource):
    """Parquet files, read a row group at a time."""

    kind: Literal["parquet"]
    path: str = Field(min_length=1, max_length=4096)
    """A file, or a folder of .parquet files."""


class HubSource(_RowSource):
    """A Hugging Face dataset by name, streamed. Code that comes with a dataset is never run."""

    kind: Literal["hub"]
    name: str = Field(min_length=1, max_length=4096)
    """The dataset's name, or a folder that `datasets` can load."""
    subset: str | None = Field(default=None, max_length=255)
    """The dataset's configuration, where it has several."""
    split: str = Field(default="train", min_length=1, max_length=255)
    """Which split to read, or a part of one, such as train[:10%]."""
    revision: str | None = Field(default=None, max_length=255)
    """Branch, tag or commit on the hub."""
    max_rows: int | None = Field(default=None, ge=1, le=10**12)
    """Stop after so many rows. Empty: all."""


Source = Annotated[
    PathSource | CodeSource | FunctionsSource | StandardLibrarySource | FilesSource | JSONSource | ParquetSource
    | HubSource,
    Field(discriminator="kind"),
]  # fmt: skip


class Mix(Section):
    """How much of each source the training split takes. The held-out split has every source once."""

    by: Literal["once", "epochs", "tokens", "weight"] = "once"
    """once: every document once. epochs: each source's share says how often it is gone through (0.5: half of it).
    tokens: the share is a number of tokens. weight: shares are parts of `tokens`."""
    tokens: int | None = Field(default=None, ge=1, le=10**15)
    """Training tokens in all, with by: weight. Empty: as many as can be had without repeating a source."""
    max_epochs: float = Field(default=4.0, gt=0, le=1000)
    """Refuse a mix that would go through a source more often than this."""
