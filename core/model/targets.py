"""Which layers of a model get a low-rank addition."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from core.errors import UsageError
from core.model.scalar_head import head_of

ALL_LINEAR = "all-linear"
ATTENTION = "attention"


def adapted_layers(model: Any, targets: Sequence[str]) -> list[str]:
    """Return the full names of the linear layers that `targets` name, in the order of the model.

    all-linear: every linear layer but the output head. attention: the linear layers inside attention modules. Anything
    else is the end of a module's name: `q_proj`, `mlp.down_proj`, `layers.3.self_attn.q_proj`.
    Raises: UsageError for a target that names no linear layer, with those that there are; for an output head that
    shares its matrix with the embeddings.
    """
    # A layer that has additions already stands inside what peft put in its place.
    linear = {name.removesuffix(".base_layer"): module for name, module in linear_layers(model).items()}
    head = model.get_output_embeddings()
    heads = {id(module) for module in head.modules()}
    chosen: set[str] = set()
    for target in targets:
        match target:
            case "all-linear":
                found = {name for name, module in linear.items() if id(module) not in heads}
            case "attention":
                found = {name for name in linear if _is_in_attention(model, name)}
            case _:
                found = {name for name in linear if name == target or name.endswith(f".{target}")}
        if not found:
            raise UsageError(
                f"adapter.targets: {target!r} names no linear layer of {type(model).__name__}",
                hint=f"There are {', '.join(endings(linear))}; all-linear takes all of them but the output head.",
            )
        chosen |= found
    if any(id(linear[name]) in heads for name in chosen) and head.weight is model.get_input_embeddings().weight:
        raise UsageError(
            "adapter.targets: the output head of this model is its embedding matrix, which is no layer of its own",
            hint="Leave the head out, or set adapter.embeddings to whole.",
        )
    return [name for name in linear if name in chosen]


def linear_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return the linear layers of a model by name, quantised ones and GPT-2's transposed ones included.

    Factors of low-rank additions are none of them, nor are heads of one number.
    """
    from transformers.pytorch_utils import Conv1D

    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and head_of(name) is None
        and not any(part.startswith("lora_") for part in name.split("."))
    }


def endings(names: Sequence[str] | dict[str, Any]) -> list[str]:
    """Return the last parts of module names, each once."""
    return list(dict.fromkeys(name.rpartition(".")[2] for name in names))


def shortest(chosen: Sequence[str], model: nn.Module) -> list[str]:
    """Return the last parts of the chosen names where they name no other module, else the names as they are."""
    ends = endings(chosen)
    named = {name for name, _ in model.named_modules() if name.rpartition(".")[2] in ends}
    return sorted(ends) if named == set(chosen) else list(chosen)


def _is_in_attention(model: nn.Module, name: str) -> bool:
    """Tell whether a module stands inside one that its model calls an attention, as every model of transformers does.

    An attention module's children may be modules too (BERT's self and output).
    """
    parts = name.split(".")
    above = (model.get_submodule(".".join(parts[:count])) for count in range(1, len(parts)))
    return any("Attention" in type(module).__name__ for module in above)
