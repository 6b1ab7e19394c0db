"""Tiny models with low-rank additions, as tests of adapters want them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from core.config.adapter import LoRA
from core.config.model import PretrainedModel
from core.model.adapters import attach, save_adapter
from core.model.base_record import AdapterRecord, Quantization, weights_digest
from core.model.load import Vocabulary, build_model

CPU = torch.device("cpu")
NF4 = Quantization(kind="nf4", double=True, compute_dtype="fp32")
TOKENS = 96
ADDED = [96, 97, 98]
IDS = torch.tensor([[5, 96, 7, 98, 11, 12, 97, 3]])


def loaded(folder: Path, *, added: int = 0, quantization: Quantization | None = None, **how: Any) -> Any:
    choice = PretrainedModel(kind="pretrained", path=str(folder), **how)
    vocabulary = Vocabulary(TOKENS + added, 0, added)
    return build_model(choice, folder=folder, vocabulary=vocabulary, seed=1, quantization=quantization, device=CPU)


def lora(**values: Any) -> LoRA:
    return LoRA.model_validate({"kind": "lora", "rank": 4, "alpha": 8.0, **values})


def logits(model: Any, ids: torch.Tensor = IDS) -> torch.Tensor:
    was_training = model.training
    model.eval()
    with torch.no_grad():
        result: torch.Tensor = model(input_ids=ids, use_cache=False).logits
    model.train(was_training)
    return result


def disturb(model: Any) -> None:
    """Move everything that is trained."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)


def digest(tensors: dict[str, torch.Tensor]) -> str:
    whole = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        whole.update(name.encode() + tensor.numpy().tobytes())
    return whole.hexdigest()


def frozen(model: Any) -> dict[str, torch.Tensor]:
    return {name: p.detach() for name, p in model.named_parameters() if not p.requires_grad}


def record_of(folder: Path, *, whole: bool = False, quantization: Quantization | None = None) -> AdapterRecord:
    return AdapterRecord(
        model={"kind": "pretrained", "path": str(folder)},
        digest=weights_digest(folder),
        vocabulary_size=TOKENS + 3,
        added_tokens=["<a>", "<b>", "<c>"],
        added_token_ids=ADDED,
        embeddings_trained=whole,
        quantization=quantization,
    )


def trained(folder: Path, tokenizer: Path, out: Path, quantization: Quantization | None = None, **values: Any) -> Any:
    """Write an adapter that was moved, and return the model that has it."""
    model = loaded(folder, added=3, quantization=quantization)
    attach(model, lora(**values), seed=3, added_token_ids=ADDED)
    disturb(model)
    record = record_of(folder, whole=values.get("embeddings") == "whole", quantization=quantization)
    save_adapter(model, out, record=record, tokenizer=tokenizer, stop_token_ids=[7])
    return model
