"""A language model with a head of scores, in the form that transformers knows as a sequence classifier."""

from __future__ import annotations

import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.errors import UsageError


def classifier_shell(model: Any) -> Any:
    """Return a `...ForSequenceClassification` of one label around the body and the head of scores of `model`.

    They are shared, not copied. Raises: UsageError where transformers has no such class for this architecture.
    """
    shell = _empty(model)
    setattr(shell, model.base_model_prefix, model.base_model)
    shell.score = model.score
    return shell


def check_classifier(model: Any) -> None:
    """Refuse a model of which no reward model can be made, before anything is trained. Raises: UsageError."""
    _empty(model)


def _empty(model: Any) -> Any:
    from transformers import AutoModelForSequenceClassification

    config = copy.deepcopy(model.config)
    config.num_labels = 1
    config.problem_type = "regression"  # so that pipelines show the score, not its sigmoid
    config.use_cache = True
    kind = type(model).__name__
    try:
        with torch.device("meta"):
            shell = AutoModelForSequenceClassification.from_config(config)
    except ValueError as error:  # transformers names all the architectures that it knows
        raise UsageError(
            f"transformers has no sequence classifier for {kind}: no reward model can be made of it",
            hint="Take a model of another architecture, such as llama, qwen2, mistral, gemma or gpt2.",
        ) from error
    head = getattr(shell, "score", None)
    is_alike = (
        isinstance(head, nn.Linear)
        and getattr(head, "bias", None) is None
        and head.out_features == 1
        and shell.base_model_prefix == model.base_model_prefix
        and type(shell.base_model) is type(model.base_model)
    )
    if not is_alike:
        raise UsageError(
            f"{type(shell).__name__} is not {kind} with a linear head called score: no reward model can be made of it",
            hint="Take a model of another architecture, such as llama, qwen2, mistral, gemma or gpt2.",
        )
    return shell


def padding_token(tokenizer: Path, ends: Sequence[int]) -> tuple[str, int] | None:
    """Return a special token and its id that pads without ending a text, None where the tokenizer has none.

    A classifier of transformers takes the last token that is not padding. Where the padding token also ends a turn, it
    would take the one before.
    """
    settings = _json(tokenizer / "tokenizer_config.json")
    special = [
        (str(each["content"]), int(each["id"]))
        for each in _json(tokenizer / "tokenizer.json").get("added_tokens", [])
        if each.get("special") and each["id"] not in ends
    ]
    named = settings.get("pad_token")
    named = named.get("content") if isinstance(named, dict) else named
    special.sort(key=lambda each: (each[0] != named, "pad" not in each[0].lower()))
    return special[0] if special else None


def set_padding_token(folder: Path, token: str) -> None:
    """Let the tokenizer in `folder` pad with `token`."""
    path = folder / "tokenizer_config.json"
    values = {**_json(path), "pad_token": token}
    path.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found
