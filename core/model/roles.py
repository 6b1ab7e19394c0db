"""Several models of one run, which may be one base under different adapters: policy, reference, value, reward."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from core.config.adapter import LoRA, QLoRA
from core.errors import UsageError
from core.model.active_adapter import NONE, activate_adapter, active_adapter
from core.model.adapters import (
    Part,
    check_start,
    fill_adapter,
    fixed_logits,
    known_as_usage,
    read_adapter,
)
from core.model.base_record import AdapterRecord, check_digest, read_record
from core.model.injection import adapter_of, check_layers, inject, lora_config
from core.model.quantized import quantized_layers
from core.model.reading import Reading
from core.model.scalar_head import add_head, give_head, head_of
from core.model.targets import adapted_layers


@dataclass(frozen=True)
class Role:
    """What a model of a run is for, and how it is reached.

    adapter: None where the model has no adapters, "" for the base with all of them switched off, else the name of the
    one that works. score: what its head of scores is called, where it has one.
    """

    name: str
    model: Any
    reading: Reading
    adapter: str | None = None
    score: str = "score"


def activate(role: Role) -> Any:
    """Return the role's model with the role's adapter at work, which stays so until the next call for that model.

    What is trained does not change. A backward pass with gradient checkpointing computes layers again under the adapter
    of their own forward pass, whichever works by then.
    """
    if role.adapter is not None:
        activate_adapter(role.model, role.adapter)
    return role.model


def add_adapter(model: Any, adapter: LoRA | QLoRA, name: str, *, seed: int) -> None:
    """Put a further adapter beside those that a model has; it is trained too, in float32, and begins as nothing.

    A is drawn from `seed`, as `attach` draws it, and B is zero. The adapter at work stays so. Embeddings and rows of
    new tokens are no part of it.
    Raises: UsageError where the embeddings themselves are trained, which adapters share.
    """
    _check_name(model, name)
    _check_embeddings(model)
    names, before = adapted_layers(model, adapter.targets), active_adapter(model)
    config = lora_config(model, adapter, names)
    activate_adapter(model, NONE)
    base = fixed_logits(model)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        _inject(model, config, name)
    check_layers(model, names, name)
    check_start(model, base, dora=adapter.dora)
    activate_adapter(model, before)


def add_saved_adapter(model: Any, folder: Path, name: str, *, base_digest: str) -> str:
    """Put the adapter of a reward run's folder beside those that a model has, frozen, with its head of scores.

    `base_digest` is that of the folder which the model was loaded from. The adapter at work stays so. Returns what the
    head is called, which is the adapter's own: each of several has one.
    Raises: UsageError for another base, or one that is quantised in another way; for an adapter that trained the
    embeddings; for tensors that are missing, unexpected or of another shape.
    """
    _check_name(model, name)
    record, before = read_record(folder), active_adapter(model)
    check_digest(record, base_digest, "this model")
    _check_saved(model, record, folder)
    tensors, config = read_adapter(folder)
    part = Part(name, ("score",))
    assert not hasattr(model, "score"), "the head of each reward is its adapter's own"
    with torch.random.fork_rng(devices=[]), known_as_usage(folder):
        _inject(model, config, name)
    add_head(model, "score", seed=0)
    fill_adapter(model, tensors, folder, part)
    for parameter_name, parameter in model.named_parameters():
        if part.is_alone_in(parameter_name):
            parameter.requires_grad_(False)
    activate_adapter(model, before)
    return give_head(model, "score", name)


def _inject(model: Any, config: Any, name: str) -> None:
    activate_adapter(model, next(iter(model.peft_config)))  # peft switches a new one on, and no layer that is off
    flags = [(module, module.training) for module in model.modules()]
    inject(model, config, name=name)
    activate_adapter(model, NONE)  # peft leaves the embeddings with the rows of the adapter before
    activate_adapter(model, name)
    model.train(model.training)  # new modules are in training mode
    for module, flag in flags:
        module.training = flag


def _check_name(model: Any, name: str) -> None:
    assert hasattr(model, "peft_config"), "`attach` puts the first adapter on"
    assert name not in model.peft_config, f"there is an adapter {name!r} already"
    assert name.isidentifier(), "the name of an adapter is part of the names of its parameters"


def _check_embeddings(model: Any) -> None:
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and adapter_of(name) is None and head_of(name) is None:
            raise UsageError(
                f"{name} is trained as a whole, and adapters of one model share it",
                hint="Set adapter.embeddings to new_tokens or frozen.",
            )


def _check_saved(model: Any, record: AdapterRecord, folder: Path) -> None:
    rows = model.get_input_embeddings().weight.shape[0]
    if record.embeddings_trained or record.vocabulary_size > rows:
        what = "trained the embeddings as a whole" if record.embeddings_trained else f"needs more than {rows} tokens"
        raise UsageError(
            f"the adapter in {folder} {what}: it cannot share the weights of this model",
            hint="Train it with adapter.embeddings set to frozen or new_tokens, on the tokenizer of this model.",
        )
    layers = quantized_layers(model)
    found = (layers[0].weight.quant_type, layers[0].weight.compress_statistics) if layers else None
    wanted = (record.quantization.kind, record.quantization.double) if record.quantization else None
    if found != wanted:
        raise UsageError(
            f"the adapter in {folder} was trained on a base {_words(wanted)}, this one is {_words(found)}",
            hint="Give both runs the same adapter.kind, adapter.quantization and adapter.double_quantization.",
        )


def _words(quantization: tuple[str, bool] | None) -> str:
    if quantization is None:
        return "in 16 or 32 bits"
    kind, is_double = quantization
    return f"in 4 bits ({kind}, scales {'quantised' if is_double else 'whole'})"
