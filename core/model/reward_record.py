"""What a reward model was trained to read: written as `reward.json` beside it, and asked before it judges anything."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config.code import CodeTokens
from core.errors import UsageError

FILE = "reward.json"
_DIGEST = r"^([0-9a-f]{64})?$"


class RewardRecord(BaseModel):
    """How a prompt and its response became the tokens that a reward model was trained on.

    template and code_tokens: of its data, as the manifest has them. tokenizer_digest: what `tokenizer_digest` gave for
    the tokenizer. base_digest: of the weights that training began with, "" where they were drawn. stop_token_ids: which
    tokens end a turn in the data, besides the ends that the model declares.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    template: Literal["none", "alpaca", "chat", "code"]
    code_tokens: CodeTokens | None = None
    tokenizer_digest: str = Field(pattern=_DIGEST)
    base_digest: str = Field(default="", pattern=_DIGEST)
    stop_token_ids: list[int] = []


def is_reward(folder: Path) -> bool:
    """Tell whether `folder` holds a reward model, whole or as an adapter."""
    return (folder / FILE).is_file()


def read_reward_record(folder: Path) -> RewardRecord:
    """Return the record beside a reward model. Raises: UsageError where there is none, or one that cannot be read."""
    try:
        return RewardRecord.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError as error:
        raise UsageError(
            f"{folder} has no {FILE}: it holds no reward model",
            hint="A run of phase reward writes one into its model folder at its end.",
        ) from error
    except (OSError, ValidationError) as error:
        raise UsageError(f"{folder / FILE} cannot be read: {error}") from error


def write_reward_record(folder: Path, record: RewardRecord) -> None:
    """Write the record into `folder`."""
    (folder / FILE).write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")


def check_same_text(
    record: RewardRecord, name: str, *, template: str, code_tokens: CodeTokens | None, tokenizer: Path
) -> None:
    """Refuse to let a reward model judge tokens that were not made as those it was trained on.

    `name` is that of its run; the others are of the data to be judged, `tokenizer` the folder of the tokenizer.
    Raises: UsageError with both.
    """
    if record.template != template or (template == "code" and record.code_tokens != code_tokens):
        raise UsageError(
            f"{name} was trained on template {record.template}, expected {template} as in this data",
            hint="Set data.template to the same in both; with template code, data.code_tokens too.",
        )
    found = tokenizer_digest(tokenizer)
    if record.tokenizer_digest != found:
        raise UsageError(
            f"{name} was trained on a tokenizer with the digest {record.tokenizer_digest[:16]}, this data has "
            f"{found[:16]}",
            hint="Train the reward model on the tokenizer of the policy: tokens or the chat template differ.",
        )


def tokenizer_digest(folder: Path) -> str:
    """Return a SHA-256 over what makes tokens of a conversation: `tokenizer.json` and the chat template, if any."""
    whole = hashlib.sha256((folder / "tokenizer.json").read_bytes())
    whole.update(f"\0{_chat_template(folder)}".encode())
    return whole.hexdigest()


def _chat_template(folder: Path) -> str:
    file, settings = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    if not settings.is_file():
        return ""
    found = json.loads(settings.read_text(encoding="utf-8")).get("chat_template")
    return found if isinstance(found, str) else json.dumps(found, sort_keys=True) if found else ""
