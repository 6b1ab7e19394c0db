"""The result of a training: a folder that `AutoModelForCausalLM` and `AutoTokenizer` load without a network."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.model.generate import declared_ends
from core.model.placing import placed_whole

_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt"),
)


def save_model(model: Any, tokenizer_folder: Path, destination: Path, *, stop_token_ids: Sequence[int] = ()) -> None:
    """Write the model and its tokenizer in the Hugging Face layout; the folder appears when it is complete.

    Weights are stored in their own type, tied ones once. `stop_token_ids` end a turn in the data that the model was
    trained on: the stored generation config ends a text at them too, besides the ends that the model declares.
    Raises: StorageError where the disk is full or fails.
    """
    with placed_whole(destination) as folder:
        write_model(model, tokenizer_folder, folder, stop_token_ids=stop_token_ids)


def write_model(
    model: Any,
    tokenizer_folder: Path,
    folder: Path,
    *,
    stop_token_ids: Sequence[int] = (),
    max_shard_bytes: int | None = None,
) -> None:
    """Write what `save_model` does into a folder that is there; weights beyond `max_shard_bytes` go into several files.

    Raises: OSError where the disk is full or fails.
    """
    # A copy of the shell that shares the tensors, so that settings for use do not reach the model in training.
    shell = copy.copy(model)
    shell.config = copy.deepcopy(model.config)
    shell.config.use_cache = True
    shell.generation_config = ending_at(model, stop_token_ids)
    # None: one file up to 50 GB, as transformers has it.
    shell.save_pretrained(folder, **({} if max_shard_bytes is None else {"max_shard_size": max_shard_bytes}))
    copy_tokenizer(tokenizer_folder, folder)


def ending_at(model: Any, stop_token_ids: Sequence[int]) -> Any:
    """Return the model's generation config, ending a text at the ends that it declares and at these."""
    settings = copy.deepcopy(model.generation_config)
    ends = list(dict.fromkeys([*declared_ends(model), *stop_token_ids]))
    settings.eos_token_id = ends[0] if len(ends) == 1 else ends or None
    settings.pad_token_id = model.config.pad_token_id
    return settings


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the files of a tokenizer, and nothing else: `source` may hold a model of its own."""
    for name in _TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
