"""Bases and adapters of tiny models, on disk, as a run leaves them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from core.config.adapter import LoRA, QLoRA
from core.model.adapters import attach, save_adapter
from core.model.base_record import AdapterRecord, Quantization, weights_digest
from core.model.embeddings import grow_embeddings
from core.model.load import load_folder
from core.model.save import save_model

ADDED = ["<|code|>", "<|/code|>"]


def write_tokenizer(folder: Path, size: int) -> Path:
    """Write a byte-level BPE without merges, filled up with tokens that no text has."""
    folder.mkdir(parents=True, exist_ok=True)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["<|endoftext|>", *alphabet][:size]
    words += [f"<|{number}|>" for number in range(len(words), size)]
    tokenizer = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(folder / "tokenizer.json"))
    values = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|endoftext|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(values))
    return folder


def write_base(model: Any, folder: Path, dtype: torch.dtype = torch.float32) -> Path:
    """Write a model, stored in `dtype`, with a tokenizer."""
    tokenizer = write_tokenizer(folder.with_name(f"{folder.name}-tokenizer"), model.config.vocab_size)
    save_model(model.to(dtype), tokenizer, folder)
    return folder


def write_adapter(
    base: Path, folder: Path, section: LoRA | QLoRA, *, added: int = 0, named: dict[str, Any] | None = None
) -> Path:
    """Write an adapter of `base` whose factors, rows and embeddings are random, as if they had been trained."""
    quantization = None
    if isinstance(section, QLoRA):
        quantization = Quantization(kind=section.quantization, double=section.double_quantization, compute_dtype="fp32")
    model = load_folder(base, quantization=quantization, device=torch.device("cpu"))
    size = model.get_input_embeddings().weight.shape[0] + added
    ids = list(range(size - added, size))
    grow_embeddings(model, vocabulary_size=size, added=added)
    attach(model, section, seed=3, added_token_ids=ids)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.1)
    record = AdapterRecord(
        model=named or {"kind": "pretrained", "path": str(base)},
        digest=weights_digest(base),
        vocabulary_size=size,
        added_tokens=ADDED[:added],
        added_token_ids=ids,
        embeddings_trained=section.embeddings == "whole",
        quantization=quantization,
    )
    tokenizer = write_tokenizer(folder.with_name(f"{folder.name}-tokenizer"), size)
    save_adapter(model, folder, record=record, tokenizer=tokenizer)
    return folder
