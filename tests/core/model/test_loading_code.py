from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.model.adapters import load_adapted
from core.model.base_record import read_record
from core.model.loading_code import loading_code
from tests.core.model.adapted import TOKENS, logits, trained
from tests.core.model.adapters_by_code import write_base, write_tokenizer


@pytest.mark.parametrize("spare", [0, 32])
@pytest.mark.parametrize("embeddings", ["frozen", "new_tokens", "whole"])
def test_what_the_card_says_loads_the_adapter(
    build: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embeddings: str, spare: int
) -> None:
    model = build()
    model.resize_token_embeddings(TOKENS + spare)
    base = write_base(model, tmp_path / "base")
    tokenizer = write_tokenizer(tmp_path / "tokenizer", TOKENS + 3)
    folder = tmp_path / "adapter"
    trained(base, tokenizer, folder, embeddings=embeddings)
    right = logits(load_adapted(base, folder, quantized=False))
    code = loading_code(str(base), read_record(folder), rows_are_frozen=embeddings == "frozen")
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    exec(code, names)
    found = logits(names["model"])
    assert torch.allclose(found, right[..., : found.shape[-1]], atol=1e-6)
    assert len(names["tokenizer"]) == TOKENS + 3


def test_a_revision_is_said_and_a_base_from_here_is_not(build: Callable[..., Any], tmp_path: Path) -> None:
    base = write_base(build(), tmp_path / "base")
    trained(base, write_tokenizer(tmp_path / "tokenizer", TOKENS + 3), tmp_path / "adapter")
    record = read_record(tmp_path / "adapter")
    named = record.model_copy(update={"model": {"kind": "pretrained", "path": "org/base", "revision": "abc"}})
    assert "from_pretrained('org/base', revision='abc')" in loading_code("org/base", named, rows_are_frozen=False)
    assert "from_pretrained('FOLDER_OF_THE_BASE')" in loading_code("", record, rows_are_frozen=False)
    assert "peft" not in loading_code("", None, rows_are_frozen=False)
