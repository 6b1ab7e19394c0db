"""Tiny models, and packed rows of random documents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.config.model import ScratchModel
from core.model.batch import IGNORED, PackedBatch, packed
from core.model.fetch import fetch_smollm2
from core.model.load import Vocabulary, build_model
from core.model.save import save_model
from core.run.directory import Home

VOCABULARY = 96


@pytest.fixture
def build() -> Callable[..., Any]:
    def make(architecture: str = "llama", *, seed: int = 3, **numbers: Any) -> Any:
        values = {"layers": 2, "hidden_size": 32, "heads": 4, "context_length": 64, **numbers}
        scratch = ScratchModel.model_validate({"kind": "scratch", "architecture": architecture, **values})
        return build_model(scratch, folder=None, vocabulary=Vocabulary(VOCABULARY, 0), seed=seed)

    return make


@pytest.fixture
def row() -> Callable[..., PackedBatch]:
    """Documents of these lengths; the loss counts from a third of each on."""

    def make(*lengths: int, seed: int = 5) -> PackedBatch:
        generator = torch.Generator().manual_seed(seed)
        documents = [torch.randint(VOCABULARY, (length,), generator=generator).tolist() for length in lengths]
        targets = [
            [
                document[at + 1] if at + 1 < len(document) and at >= len(document) // 3 else IGNORED
                for at in range(len(document))
            ]
            for document in documents
        ]
        return packed(documents, targets)

    return make


@pytest.fixture(scope="session")
def smollm2() -> tuple[Home, Path]:
    """The real model, fetched once into the tests' own cache; offline on a fresh machine this fails, and says so."""
    home = Home(Path.home() / ".cache" / "footplate-tests")
    return home, fetch_smollm2(home)


@pytest.fixture
def empty_tokenizer(tmp_path: Path) -> Path:
    """A folder with a file where a tokenizer has one; only copied, never read."""
    folder = tmp_path / "empty-tokenizer"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    return folder


@pytest.fixture
def base(build: Callable[..., Any], empty_tokenizer: Path, tmp_path: Path) -> Callable[..., Path]:
    """Write a tiny model and return its folder."""

    def write(architecture: str = "llama", **numbers: Any) -> Path:
        folder = tmp_path / f"base-{architecture}-{len(list(tmp_path.iterdir()))}"
        save_model(build(architecture, **{"hidden_size": 64, **numbers}), empty_tokenizer, folder)
        return folder

    return write
