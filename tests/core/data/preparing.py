"""Data prepared with nobody watching, and what came of it, for tests."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from core.config.data import InstructionData, TextData
from core.data.prepare import Prepared, prepare
from core.data.progress import Work, silent


def make(data: TextData | InstructionData, folder: Path, **options: Any) -> Prepared:
    """Prepare with nobody watching."""
    settings: dict[str, Any] = {"seed": 1, "model_tokenizer": None, "progress": silent, "should_stop": lambda: False}
    settings |= options
    work = Work(settings.pop("progress"), settings.pop("should_stop"))
    return prepare(data, folder, work=work, **settings)


def text_data(*sources: dict[str, Any], **fields: Any) -> TextData:
    """Documents, with a tokenizer of 300 tokens trained on them."""
    values = {
        "kind": "text",
        "sources": list(sources),
        "tokenizer": {"kind": "train", "vocabulary_size": 300},
        "held_out_fraction": 0.2,
        **fields,
    }
    return TextData.model_validate_json(json.dumps(values))


def instructions(path: Path, **fields: Any) -> InstructionData:
    """Instructions from a JSON file."""
    values = {
        "kind": "instructions",
        "sources": [{"kind": "json", "path": str(path)}],
        "held_out_fraction": 0.2,
        **fields,
    }
    return InstructionData.model_validate_json(json.dumps(values))


def files_of(folder: Path) -> dict[str, str]:
    """Every file of a folder with its hash."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
