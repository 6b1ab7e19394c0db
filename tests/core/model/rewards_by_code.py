"""Reward models of tiny models, on disk, as a run leaves them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.config.adapter import LoRA, QLoRA
from core.model.adapters import attach
from core.model.base_record import AdapterRecord, weights_digest
from core.model.batch import packed
from core.model.load import load_folder
from core.model.quantized import quantization_of
from core.model.reward_model import begin_reward_model, save_reward_model
from core.model.reward_record import RewardRecord, tokenizer_digest
from core.model.scalar_head import document_scores
from core.model.verification import verify_reading
from tests.core.model.adapted import ADDED, CPU, disturb
from tests.core.model.adapters_by_code import write_base

END, PAD = 0, 95
ROWS = [[3, 1, 4, 1, 5, END], [2, 7, 1, END], [9, END, 3, 8, 8, 8, 8, END]]
"""Each ends with the end of its turn, as training data does; one has it inside too."""
ROWS_WITH_NEW = [[3, ADDED[0], 4], [ADDED[1], 5, ADDED[2]]]


@dataclass
class Made:
    """A reward model: as it was trained, and where it was written."""

    model: Any
    folder: Path
    base: Path
    scores: Tensor


def scores_of(model: Any, rows: list[list[int]] = ROWS) -> Tensor:
    model.eval()
    reading = verify_reading(model, "auto")
    with torch.no_grad():
        return document_scores(model, reading, packed(rows, rows))


def padded_scores(classifier: Any, tokenizer: Any) -> Tensor:
    """Return the scores as who loads the folder with transformers gets them: padded on the right, in one batch."""
    batch = tokenizer.pad({"input_ids": ROWS}, return_tensors="pt", padding_side="right")
    with torch.no_grad():
        result: Tensor = classifier.eval()(**batch).logits[:, 0]
    return result


def mark_special(folder: Path, token: int) -> None:
    """Make a token of the vocabulary one that a tokenizer may pad with."""
    path = folder / "tokenizer.json"
    values = json.loads(path.read_text())
    content = next(word for word, number in values["model"]["vocab"].items() if number == token)
    plain = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    values["added_tokens"].append({"id": token, "content": content, "special": True, **plain})
    path.write_text(json.dumps(values))


def make_reward(
    build: Callable[..., Any],
    tmp_path: Path,
    architecture: str = "llama",
    section: LoRA | QLoRA | None = None,
    *,
    has_padding: bool = True,
    **numbers: Any,
) -> Made:
    """Write a reward model that was moved, in `tmp_path`/reward."""
    base = write_base(build(architecture, hidden_size=64, **numbers), tmp_path / "base")
    tokenizer = tmp_path / "base-tokenizer"
    mark_special(tokenizer, END)
    if has_padding:
        mark_special(tokenizer, PAD)
    quantization = quantization_of(section, "fp32") if isinstance(section, QLoRA) else None
    model = load_folder(base, quantization=quantization, device=CPU)
    if section is not None:
        attach(model, section, seed=3)
    begin_reward_model(model, seed=5)
    disturb(model)
    record = RewardRecord(template="chat", tokenizer_digest=tokenizer_digest(tokenizer))
    adapter = None
    if section is not None:
        adapter = AdapterRecord(
            model={"kind": "pretrained", "path": str(base)},
            digest=weights_digest(base),
            vocabulary_size=96,
            embeddings_trained=section.embeddings == "whole",
            quantization=quantization,
        )
    folder = tmp_path / "reward"
    save_reward_model(model, folder, record=record, tokenizer=tokenizer, stop_token_ids=[END], adapter=adapter)
    return Made(model, folder, base, scores_of(model))


def section(kind: str, **fields: Any) -> LoRA | QLoRA:
    values = {"kind": kind, "rank": 4, **fields}
    return QLoRA.model_validate(values) if kind == "qlora" else LoRA.model_validate(values)
