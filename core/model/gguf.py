"""GGUF files: read once, kept in the Hugging Face layout under the hash of the file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from core.errors import UsageError
from core.model.placing import placed_whole

Progress = Callable[[str, float, float | None, str], None]
"""Called with the stage, how much of it is done, how much there is, and the unit."""


def silent(stage: str, done: float, total: float | None, unit: str) -> None:
    """Tell nobody."""


def convert_gguf(file: Path, models: Path, *, progress: Progress = silent) -> Path:
    """Return the folder below `models` that holds the model and the tokenizer of a GGUF file.

    It is named by the SHA-256 of the file and made only where it is not there yet; weights are float32, exactly the
    values that the file stands for.
    Raises: UsageError for a file that is not there, is no GGUF, or holds an architecture that transformers cannot read.
    """
    if not file.is_file():
        raise UsageError(
            f"{file} does not exist", hint="Name a .gguf file, or smollm2 after `footplate fetch smollm2`."
        )
    with file.open("rb") as opened:
        if opened.read(4) != b"GGUF":
            raise UsageError(f"{file} is not a GGUF file", hint="A GGUF file begins with the letters GGUF.")
    folder = models / sha256_of(file)
    if (folder / "config.json").is_file():
        return folder
    progress("converting", 0, 1, "models")
    with placed_whole(folder) as unfinished:
        _convert(file, unfinished)
    progress("converting", 1, 1, "models")
    return folder


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _convert(file: Path, folder: Path) -> None:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    where: dict[str, Any] = {"gguf_file": file.name}
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
        known = AutoConfig.from_pretrained(file.parent, **where)
        if known.model_type == "gpt2":  # transformers 5.24 reads the number of positions into n_ctx only
            where["n_positions"] = known.n_ctx
        read = AutoModelForCausalLM.from_pretrained(file.parent, **where, dtype=torch.float32)
    except Exception as error:  # the readers of header, tensors and tokenizer raise whatever a broken file leads to
        raise UsageError(
            f"{file} cannot be read: {error}", hint="transformers reads GGUF files of the common architectures only."
        ) from error
    # The model that was read refuses to be saved as "quantized with gguf", although its weights are plain tensors
    # (transformers 5.24): the same weights in a fresh model do not.
    config = read.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.dtype = torch.float32
    fresh = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    fresh.load_state_dict(read.state_dict())
    fresh.tie_weights()
    fresh.generation_config.eos_token_id = tokenizer.eos_token_id
    fresh.generation_config.pad_token_id = tokenizer.pad_token_id
    tokenizer.save_pretrained(folder)
    fresh.save_pretrained(folder)
