"""Reward models: begun from a language model, written as transformers or peft read them, and loaded again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.model.adapters import Part, load_adapted, write_adapter
from core.model.base_record import AdapterRecord, is_adapter
from core.model.classifier_form import check_classifier, classifier_shell, padding_token, set_padding_token
from core.model.embeddings import freeze_output_head
from core.model.generate import declared_ends
from core.model.gguf import Progress, silent
from core.model.load import load_folder
from core.model.placing import placed_whole
from core.model.resolve import base_of
from core.model.reward_record import (
    RewardRecord,
    is_reward,
    read_reward_record,
    tokenizer_digest,
    write_reward_record,
)
from core.model.save import copy_tokenizer, write_model
from core.model.scalar_head import add_head
from core.run.directory import Home

__all__ = ["RewardRecord", "begin_reward_model", "load_reward_model", "read_reward_record", "save_reward_model",
           "tokenizer_digest", "write_reward_model"]  # fmt: skip

SCORE = Part(heads=("score",))
"""What is trained and saved of a low-rank reward model."""


def begin_reward_model(model: Any, *, seed: int) -> nn.Linear:
    """Return the head of scores of a language model that becomes a reward model, trained from here on.

    One that the model has already, from an earlier reward run, is kept. What nothing of a score comes from is frozen:
    an output head of its own. To be called after `attach`, and before the optimizer is made.
    Raises: UsageError where transformers has no sequence classifier for this architecture.
    """
    check_classifier(model)
    freeze_output_head(model)
    head = getattr(model, "score", None) or add_head(model, "score", seed=seed)
    assert isinstance(head, nn.Linear)
    head.weight.requires_grad_(True)
    return head


def save_reward_model(
    model: Any,
    destination: Path,
    *,
    record: RewardRecord,
    tokenizer: Path,
    stop_token_ids: Sequence[int] = (),
    adapter: AdapterRecord | None = None,
) -> None:
    """Write a reward model with its tokenizer and reward.json; the folder appears when it is complete.

    A whole one is what transformers loads as a sequence classifier of one label. With `adapter`, the record of its
    base, the low-rank additions and the head alone are written, as peft loads them for such a classifier.
    Raises: CheckpointError where a trained tensor would be left out; StorageError where the disk is full or fails.
    """
    record = record.model_copy(update={"stop_token_ids": [*stop_token_ids]})
    with placed_whole(destination) as folder:
        if adapter is None:
            write_reward_model(model, tokenizer, folder, record=record)
            return
        write_adapter(model, folder, record=adapter, part=SCORE)
        copy_tokenizer(tokenizer, folder)
        write_reward_record(folder, record)


def write_reward_model(
    model: Any,
    tokenizer: Path,
    folder: Path,
    *,
    record: RewardRecord,
    max_shard_bytes: int | None = None,
) -> None:
    """Write a whole reward model into a folder that is there.

    It pads with a special token that ends no text; where the tokenizer has none, with none at all, so that transformers
    scores one text at a time. Raises: OSError where the disk is full or fails.
    """
    shell = classifier_shell(model)
    pad = padding_token(tokenizer, [*declared_ends(model), *record.stop_token_ids])
    shell.config.pad_token_id = None if pad is None else pad[1]
    shell.save_pretrained(folder, **({} if max_shard_bytes is None else {"max_shard_size": max_shard_bytes}))
    copy_tokenizer(tokenizer, folder)
    if pad is not None:
        set_padding_token(folder, pad[0])
    write_reward_record(folder, record)


def load_reward_model(
    folder: Path, home: Home, *, device: torch.device | None = None, progress: Progress = silent
) -> Any:
    """Return a reward model as a language model with the head `score`, in evaluation mode, with nothing to train.

    A low-rank one stands on the base that it was trained on, in 4 bits where that was. The output head says nothing.
    Raises: UsageError for a folder without a reward model, for another base than the recorded one, for tensors that are
    missing, unexpected or of another shape.
    """
    read_reward_record(folder)
    if is_adapter(folder):
        return load_adapted(
            base_of(folder, home, progress=progress), folder, quantized=True, scoring=True, device=device
        )
    model = load_folder(folder, scoring=True, device=device)
    model.requires_grad_(False)
    return model.to(device) if device is not None else model


def write_result(model: Any, source: Path, folder: Path, *, max_shard_bytes: int | None = None) -> None:
    """Write a whole model that came from the run's folder `source` into a folder that is there: as what it was made.

    A language model as `write_model` does, a reward model as `write_reward_model` does, with the record of `source`.
    """
    if not is_reward(source):
        write_model(model, source, folder, max_shard_bytes=max_shard_bytes)
        return
    write_reward_model(model, source, folder, record=read_reward_record(source), max_shard_bytes=max_shard_bytes)
