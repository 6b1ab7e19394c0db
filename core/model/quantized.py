"""Frozen weights in 4 bits, through bitsandbytes (Dettmers et al. 2023, arXiv:2305.14314)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn

from core.config.adapter import QLoRA
from core.errors import UsageError
from core.model.base_record import Quantization

_TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def quantization_of(adapter: QLoRA, dtype: Literal["bf16", "fp16", "fp32"]) -> Quantization:
    """Return how the section's base is quantised; `dtype` is what compute_dtype auto stands for."""
    chosen = dtype if adapter.compute_dtype == "auto" else adapter.compute_dtype
    return Quantization(kind=adapter.quantization, double=adapter.double_quantization, compute_dtype=chosen)


def loading(quantization: Quantization, device: torch.device) -> dict[str, Any]:
    """Return what `from_pretrained` is told so that every linear layer but the output head is quantised as it comes."""
    from transformers import BitsAndBytesConfig

    settings = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.kind,
        bnb_4bit_use_double_quant=quantization.double,
        bnb_4bit_compute_dtype=_TYPES[quantization.compute_dtype],
    )
    return {"quantization_config": settings, "device_map": {"": device}}


def settle(model: Any) -> None:
    """Make a quantised model one that can be trained and examined in turns.

    On a CPU with AVX512-BF16, bitsandbytes packs the weights anew at the first look in evaluation mode, with rounded
    scales, and has no gradient from then on: that is switched off. Under autocast a quantised layer takes and gives
    its type, as any linear layer does. Raises: UsageError where nothing was quantised.
    """
    layers = quantized_layers(model)
    if not layers:
        raise UsageError(
            f"{type(model).__name__} has no linear layer that can be quantised",
            hint="Set adapter.kind to lora for this model.",
        )
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
        layer.register_forward_pre_hook(_narrowed)
    del model.config.quantization_config  # the result of the training is not stored in 4 bits


def _narrowed(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a layer's arguments with its input in the type of autocast, where that is on: a hook before its forward.

    bitsandbytes gives back the type that it was given, which after a norm is float32: twice the memory of what follows.
    """
    hidden, *rest = arguments
    kind = hidden.device.type
    return (hidden.to(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else hidden, *rest)


def quantized_layers(model: nn.Module) -> list[Any]:
    """Return the layers whose weights are kept in 4 bits."""
    # peft's layer around one has the same name.
    kinds = {"bitsandbytes.nn.modules.Linear4bit"}
    return [each for each in model.modules() if f"{type(each).__module__}.{type(each).__name__}" in kinds]


@contextmanager
def computing_in(model: nn.Module, dtype: torch.dtype) -> Iterator[None]:
    """Run the block with the products of quantised layers in `dtype`, in which two ways can be told equal."""
    before = [(layer, layer.compute_dtype) for layer in quantized_layers(model)]
    try:
        for layer, _ in before:
            layer.compute_dtype = dtype
        yield
    finally:
        for layer, compute_dtype in before:
            layer.compute_dtype = compute_dtype


def count_parameters(model: nn.Module) -> int:
    """Return the number of parameters, tied ones once; one in 4 bits is one."""
    return sum(_numbers(parameter) for parameter in model.parameters())


def weight_bytes(model: nn.Module) -> int:
    """Return the memory that the parameters take, with the scales of those in 4 bits."""
    parts = [part for parameter in model.parameters() for part in (parameter, *_scales(parameter))]
    return sum({part.data_ptr(): part.numel() * part.element_size() for part in parts}.values())  # tables are shared


def _scales(parameter: nn.Parameter) -> list[torch.Tensor]:
    state = getattr(parameter, "quant_state", None)
    if state is None:
        return []
    inner = [state.state2.absmax, state.state2.code, state.offset] if state.nested else []
    return [state.absmax, state.code, *inner]


def _numbers(parameter: nn.Parameter) -> int:
    state = getattr(parameter, "quant_state", None)
    return int(state.shape.numel()) if state is not None else parameter.numel()
