"""peft's layers put into a transformers model: the settings they are made from, and what is trained afterwards."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from core.config.adapter import LoRA, QLoRA
from core.errors import UsageError
from core.model.embeddings import embedding_matrices
from core.model.quantized import computing_in
from core.model.targets import shortest

DEFAULT = "default"
"""Name of a model's first adapter."""


def lora_config(
    model: Any, adapter: LoRA | QLoRA, names: list[str], rows: Mapping[str, list[int]] | None = None
) -> Any:
    """Return peft's settings of the section's additions to the layers `names`.

    rows: of which embeddings which rows are trained besides, by the name of the module.
    """
    from peft import LoraConfig
    from transformers.pytorch_utils import Conv1D

    layers = [model.get_submodule(name) for name in names]
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.rank,
        lora_alpha=adapter.alpha,
        lora_dropout=adapter.dropout,
        init_lora_weights=True if adapter.initialisation == "kaiming_uniform" else "gaussian",
        target_modules=shortest(names, model),
        fan_in_fan_out=all(isinstance(getattr(layer, "base_layer", layer), Conv1D) for layer in layers),
        use_rslora=adapter.rank_stabilised,
        use_dora=adapter.dora,
        trainable_token_indices=None if rows is None else dict(rows),
    )


def trained_rows(
    model: Any, adapter: LoRA | QLoRA, names: Sequence[str], added_token_ids: Sequence[int]
) -> dict[str, list[int]] | None:
    """Return which rows of the embeddings and of the head the section trains, by the name of the module.

    Raises: UsageError where peft cannot train rows of this model.
    """
    if not added_token_ids or adapter.embeddings != "new_tokens":
        return None
    if getattr(model.get_output_embeddings(), "bias", None) is not None:
        raise UsageError(
            f"the output head of {type(model).__name__} has a bias, which peft leaves out where rows of it are trained",
            hint="Set adapter.embeddings to whole or frozen for this model.",
        )
    known = {id(module): name for name, module in model.named_modules()}
    modules = [model.get_input_embeddings(), model.get_output_embeddings()]
    # Tied: peft trains one copy of the rows in both.
    rows = {known[id(module)]: list(added_token_ids) for module in modules[: len(embedding_matrices(model))]}
    if both := rows.keys() & set(names):
        raise UsageError(
            f"adapter.targets: {both.pop()} has rows of new tokens to train, and takes no addition besides",
            hint="Leave it out of adapter.targets, or set adapter.embeddings to whole or frozen.",
        )
    return rows


def inject(model: Any, config: Any, *, with_embeddings: bool = False, name: str = DEFAULT) -> None:
    """Put the layers of `config` into the model as the adapter `name`, which is the active one then.

    It is trained, the embeddings besides if asked; what stood there before is frozen by the first adapter, and is
    trained or frozen as it was after a further one.
    """
    from peft import inject_adapter_in_model

    is_first = not hasattr(model, "peft_config")
    before = {id(parameter): parameter.requires_grad for parameter in model.parameters()}
    # A layer's additions get the type in which its base computes.
    with warnings.catch_warnings(), computing_in(model, torch.float32), _frozen_as_float32(model):
        warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
        warnings.filterwarnings("ignore", message=".*fan_in_fan_out.*")  # peft mends it for each layer
        warnings.filterwarnings("ignore", message=".*multiple adapters.*")
        inject_adapter_in_model(config, model, adapter_name=name)
    if not config.use_dora:  # which takes norms in the type of the input
        # peft would widen the input of an addition to float32, for autocast to narrow it again: a copy, the same bits.
        for module in model.modules():
            if hasattr(module, "lora_A") and hasattr(module, "lora_B"):
                module.cast_input_dtype_enabled = False
    for each, parameter in model.named_parameters():
        if adapter_of(each) == name:  # peft leaves rows of embeddings frozen where another adapter has some
            parameter.requires_grad_(True)
    matrices = embedding_matrices(model) if with_embeddings else []
    for matrix in matrices:  # in place, so that tied ones stay one; peft's copy of them would part GPT-2's
        matrix.requires_grad_(True)
    trained = {id(matrix) for matrix in matrices}
    wrong = [
        each
        for each, parameter in model.named_parameters()
        if parameter.requires_grad
        != (adapter_of(each) == name or id(parameter) in trained or (not is_first and before.get(id(parameter), False)))
        or (parameter.requires_grad and parameter.dtype is not torch.float32)
    ]
    assert not wrong, f"neither frozen nor trained in float32 as it should be: {wrong[0]}"


@contextmanager
def _frozen_as_float32(model: nn.Module) -> Iterator[None]:
    """Run the block with frozen weights that are stored narrow looking like float32, without their numbers.

    A later adapter's factors would be rounded to the type of the weights beside them, the first one's were not.
    """
    narrow = [
        (parameter, parameter.data)
        for parameter in model.parameters()
        if not parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16)
    ]
    try:
        for parameter, data in narrow:
            parameter.data = data.new_zeros((), dtype=torch.float32).expand(data.shape)
        yield
    finally:
        for parameter, data in narrow:
            parameter.data = data


def adapter_of(parameter: str) -> str | None:
    """Return the name of the adapter that a parameter belongs to by its own name, None for one of no adapter."""
    parts = parameter.split(".")
    for at, part in enumerate(parts[:-1]):
        if part.startswith("lora_") or part == "trainable_tokens_delta":
            return parts[at + 1]
    return None


def check_layers(model: Any, names: Sequence[str], name: str = DEFAULT) -> None:
    """See that the adapter `name` is on these layers and no others."""
    found = [each for each, module in model.named_modules() if name in getattr(module, "lora_A", ())]
    assert sorted(found) == sorted(names), f"peft put additions on {len(found)} layers instead of {len(names)}"
