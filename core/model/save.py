"""The result of a training: a folder that `AutoModelForCausalLM` and `AutoTokenizer` load without a network."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from core.model.placing import placed_whole

_TOKENIZER_FILES = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template.jinja", "tokenizer.model", "vocab.json", "merges.txt", "vocab.txt"),
)


def save_model(
    model: Any, tokenizer_folder: Path, destination: Path, *, dtype: Literal["fp32", "bf16"] = "fp32"
) -> None:
    """Write the model and its tokenizer in the Hugging Face layout; the folder appears when it is complete.

    Tied weights are stored once. `model` stays as it is, also where `dtype` stores it in bfloat16.
    Raises: StorageError where the disk is full or fails.
    """
    stored = torch.float32 if dtype == "fp32" else torch.bfloat16
    # A copy of the shell that shares the tensors, so that settings for use do not reach the model in training.
    shell = copy.copy(model)
    shell.config = copy.deepcopy(model.config)
    shell.config.use_cache = True
    shell.generation_config = copy.deepcopy(model.generation_config)
    shell.generation_config.eos_token_id = shell.config.eos_token_id
    shell.generation_config.pad_token_id = shell.config.pad_token_id
    with placed_whole(destination) as folder:
        shell.save_pretrained(folder, state_dict=_as_dtype(model.state_dict(), stored))
        shell.config.dtype = stored  # save_pretrained writes the type of the parameters instead
        shell.config.save_pretrained(folder)
        for name in _TOKENIZER_FILES:  # the folder may hold a model of its own
            if (tokenizer_folder / name).is_file():
                shutil.copyfile(tokenizer_folder / name, folder / name)


def _as_dtype(tensors: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Return the tensors as `dtype`; names that shared a tensor still share one, so that it is stored once."""
    converted: dict[tuple[int, torch.Size, tuple[int, ...]], Tensor] = {}
    result = {}
    for name, tensor in tensors.items():
        place = tensor.data_ptr(), tensor.shape, tensor.stride()
        if place not in converted:
            converted[place] = tensor.detach().to(dtype if tensor.is_floating_point() else tensor.dtype)
        result[name] = converted[place]
    return result
