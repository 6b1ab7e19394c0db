"""What a prepared folder says about itself: manifest.json."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from core.config.code import CodeTokens
from core.errors import DataError

VERSION = 3
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer"

Split = Literal["train", "held_out"]
SPLITS: tuple[Split, ...] = ("train", "held_out")


def _escaped(name: str) -> str:
    return re.sub("[\udc80-\udcff]", lambda found: f"\0{ord(found[0]) - 0xDC00:02x}", name)


def _unescaped(name: str) -> str:
    return re.sub("\0([0-9a-f]{2})", lambda found: chr(0xDC00 + int(found[1], 16)), name)


FileName = Annotated[str, AfterValidator(_unescaped), PlainSerializer(_escaped, when_used="json")]
"""A name or path as Python has it. In JSON, each byte of it that is no UTF-8 is a NUL, which no name can hold, and two
hexadecimal digits."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class FileRecord(_Record):
    """A file of the prepared folder."""

    name: str
    bytes: int
    sha256: str


class ShardRecord(_Record):
    """One shard of a split: tokens, the offsets of its documents, and marks of its tokens where there are any."""

    name: str
    """Without ending; the files are name.tokens, name.documents, name.supervised, name.syntax."""
    documents: int
    tokens: int
    files: list[FileRecord]


class DocumentRange(_Record):
    """Documents of a split that lie one after another."""

    first: int
    documents: int


class GroupRecord(_Record):
    """The documents that sources of one `group` gave to a split; without ranges where they gave none."""

    name: str
    ranges: list[DocumentRange]


class SplitRecord(_Record):
    """All shards of one split."""

    documents: int
    tokens: int
    supervised_tokens: int
    """Tokens that the loss counts; every one but the first of a document for text, those of answers for prompts."""
    shards: list[ShardRecord]
    classes: dict[str, int] = Field(default={}, exclude_if=lambda classes: not classes)
    """Tokens of each class of source code, where they are marked."""
    judged: int = Field(default=0, exclude_if=lambda judged: not judged)
    """Of preferences: documents that are one answer judged good or bad; the others are pairs."""
    groups: list[GroupRecord] = Field(default=[], exclude_if=lambda groups: not groups)
    """Of the held-out split: which documents are whose, in the order in which sources name the groups."""


class SourceFileRecord(_Record):
    """A file that was read, and what told its content: SHA-256 of all of it, or of samples where it is large."""

    name: FileName
    bytes: int
    fingerprint: str


class SourceRecord(_Record):
    """What one source gave."""

    source: str
    format: str = ""
    rows: int
    documents: int
    text_bytes: int
    empty: int
    bad: dict[str, int]
    repaired: dict[str, int]
    skipped: dict[str, int] = {}
    """Files that were left out, by reason."""
    licences: dict[FileName, str | None] = {}
    """Licence files of a source of code, and the SPDX identifier that each seems to be; None where it is not known."""
    errors: list[str]
    files: list[SourceFileRecord]
    train_documents: int
    """Documents and tokens in the training split, repeated ones as often as they stand there."""
    train_tokens: int
    held_out_documents: int
    held_out_tokens: int


class Manifest(_Record):
    """The content of manifest.json."""

    version: int = VERSION
    kind: Literal["text", "instructions", "preferences", "prompts"]
    digest: str
    """SHA-256 over the hashes of all files and what they mean; does not depend on where the sources lay."""
    made_from: str
    """SHA-256 of the settings and of the content of the sources."""
    vocabulary_size: int
    added_tokens: list[str]
    """Tokens that the configuration added to the tokenizer, in the order of their ids, which are the last."""
    end_token_id: int
    stop_token_ids: list[int]
    """What ends a continuation: the end token, and the end-of-turn token of the chat template."""
    template: Literal["none", "alpaca", "chat", "code"]
    """How a prompt becomes tokens for this data."""
    code_tokens: CodeTokens | None = None
    """The tokens of template code; None for documents."""
    syntax: str | None = None
    """By what each token is marked with its class of source code (data.syntax); None: there are no marks."""
    sources: list[SourceRecord]
    dropped: dict[str, int]
    """Rows that did not become documents, by reason."""
    tokenizer: list[FileRecord]
    splits: dict[Split, SplitRecord]

    @property
    def marked_share(self) -> float | None:
        """Share of the training tokens that the loss counts which are source code; None where nothing is marked."""
        classes = self.train.classes
        marked = sum(classes.values()) - classes.get("other", 0)
        return None if self.syntax is None else marked / max(1, self.train.supervised_tokens)

    @property
    def train(self) -> SplitRecord:
        """The training split."""
        return self.splits["train"]

    @property
    def held_out(self) -> SplitRecord:
        """The held-out split; without documents where the fraction was 0."""
        return self.splits["held_out"]


def content_digest(manifest: Manifest) -> str:
    """Return the digest of a manifest, from everything in it that does not depend on where the sources lay."""
    values = manifest.model_dump(mode="json", exclude={"digest", "made_from", "sources", "dropped"})
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a prepared folder.

    Raises: DataError where there is none, or one that this version cannot read.
    """
    path = folder / MANIFEST
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"{path}: expected the manifest of prepared data, found none", hint="Run the prepare run to its end."
        ) from error
    _check_version(text, path)
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        raise DataError(f"{path}: expected a manifest of version {VERSION}, found: {error}") from error
    if manifest.digest != content_digest(manifest):
        raise DataError(
            f"{path}: expected a digest that fits, found {manifest.digest[:12]}",
            hint="The manifest was changed: prepare the data anew.",
        )
    return manifest


def _check_version(text: str, path: Path) -> None:
    """Refuse a manifest of another version by that, before it is looked at for what this one wants."""
    try:
        found = json.loads(text)["version"]
    except (ValueError, KeyError, TypeError):
        return  # it is no manifest at all, which is said then
    if found != VERSION:
        raise DataError(
            f"{path}: the data was prepared by another version of Footplate: its manifest has version {found}, "
            f"this one reads {VERSION}",
            hint="Prepare the data anew: run the prepare preset again, and name the new run in data.run.",
        )


def file_record(path: Path, name: str) -> FileRecord:
    """Return name, size and hash of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileRecord(name=name, bytes=path.stat().st_size, sha256=digest)
