"""What an adapter belongs to: written as `base.json` beside it, and asked before it is put on a model again."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.errors import UsageError

FILE = "base.json"


class Quantization(BaseModel):
    """How the frozen weights were kept while the adapter was trained (Dettmers et al. 2023, arXiv:2305.14314)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["nf4", "fp4"]
    double: bool
    compute_dtype: Literal["bf16", "fp16", "fp32"]


class AdapterRecord(BaseModel):
    """The model that an adapter was trained on.

    model: the section of the configuration that named it, as JSON. digest: what `weights_digest` gave for its folder.
    vocabulary_size: tokens of the tokenizer, added ones included; so many rows the embeddings have at least.
    added_tokens and added_token_ids: what the tokenizer has beyond the base's own; each one's row began as the mean of
    the rows of the base's tokens. embeddings_trained: whether the embeddings and the head were trained as a whole.
    quantization: null where the base was not quantised.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: dict[str, Any]
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    vocabulary_size: int = Field(ge=1)
    added_tokens: list[str] = []
    added_token_ids: list[int] = []
    embeddings_trained: bool = False
    quantization: Quantization | None = None


def is_adapter(folder: Path) -> bool:
    """Tell whether `folder` holds an adapter and not a whole model; `read_record` says whether its record is there."""
    is_any = any((folder / name).is_file() for name in (FILE, "adapter_config.json"))
    return is_any and not (folder / "config.json").exists()


def read_record(folder: Path) -> AdapterRecord:
    """Return the record beside an adapter. Raises: UsageError where there is none, or one that cannot be read."""
    try:
        return AdapterRecord.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder} has no {FILE}, which says what the adapter belongs to",
            hint="A low-rank run writes it into its model folder at its end.",
        ) from error
    except (OSError, ValidationError) as error:
        raise UsageError(f"{folder / FILE} cannot be read: {error}") from error


def write_record(folder: Path, record: AdapterRecord) -> None:
    """Write the record into `folder`."""
    (folder / FILE).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")


def check_base(record: AdapterRecord, folder: Path) -> None:
    """Refuse a base other than the recorded one. Raises: UsageError with both digests."""
    check_digest(record, weights_digest(folder), str(folder))


def check_digest(record: AdapterRecord, digest: str, found: str) -> None:
    """Refuse a base with another digest than the recorded one; `found` names it. Raises: UsageError with both."""
    if digest != record.digest:
        raise UsageError(
            f"the adapter belongs to a base with the digest {record.digest[:16]}, {found} has {digest[:16]}",
            hint="Give the model that the adapter was trained on; another one, or a changed copy, is another base.",
        )


def weights_digest(folder: Path) -> str:
    """Return a SHA-256 over the names and contents of `config.json` and all `*.safetensors` of a model's folder.

    Raises: UsageError for a folder without them.
    """
    files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    if not files[0].is_file() or len(files) == 1:
        raise UsageError(f"{folder} holds no model: config.json and weights as .safetensors are needed")
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            whole.update(f"{path.name}\0{hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return whole.hexdigest()
