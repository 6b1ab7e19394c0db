"""4-bit weights: what the levels are, what stays whole, and that looking at a model does not change it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from core.config.optimization import AdamW
from core.errors import UsageError
from core.model.adapters import attach
from core.model.base_record import Quantization
from core.model.batch import PackedBatch
from core.model.quantized import computing_in, count_parameters, quantized_layers, settle, weight_bytes
from core.model.verification import verify_reading
from core.training.engine import Engine
from core.training.objectives import NextToken
from tests.core.model.adapted import CPU, NF4, loaded, logits, lora

# Dettmers et al. 2023, appendix E.
PAPER = [
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
]  # fmt: skip
SIGNED_FP4 = [0.0, 0.0052083333, 0.16666667, 0.25, 0.33333333, 0.5, 0.6666667, 1.0]  # two exponent bits, one mantissa


def round_trip(weights: torch.Tensor, kind: str, *, double: bool) -> torch.Tensor:
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    packed, state = quantize_4bit(weights, blocksize=64, compress_statistics=double, quant_type=kind)
    result: torch.Tensor = dequantize_4bit(packed, state)
    return result


def test_nf4_has_the_sixteen_levels_of_the_paper() -> None:
    fine = torch.linspace(-1, 1, 64 * 64).reshape(64, 64)
    fine[:, 0] = 1  # each block has the largest number 1
    found = round_trip(fine, "nf4", double=False).unique()
    torch.testing.assert_close(found, torch.tensor(PAPER))
    assert {-1.0, 0.0, 1.0} <= set(found.tolist())


def test_fp4_has_eight_numbers_and_their_negatives() -> None:
    fine = torch.linspace(-1, 1, 64 * 64).reshape(64, 64)
    fine[:, 0] = 1
    found = round_trip(fine, "fp4", double=False).abs().unique()
    torch.testing.assert_close(found, torch.tensor(SIGNED_FP4), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("double", [False, True])
def test_the_error_of_a_round_trip_is_bounded_and_zeros_stay(double: bool) -> None:
    """Within half of the widest gap between levels, times the largest number of the block; the scales in 8 bits add
    the error of theirs."""
    weights = torch.randn(256, 64, generator=torch.Generator().manual_seed(1)) * 0.02
    weights[3] = 0
    back = round_trip(weights, "nf4", double=double)
    scale = weights.abs().amax(1, keepdim=True)
    gap = max(b - a for a, b in itertools.pairwise(PAPER)) / 2
    slack = 1e-6 + (0.02 * scale.max() if double else 0.0)  # 8 bits of what is left after the mean
    assert bool(((back - weights).abs() <= gap * scale + slack).all())
    assert bool(back.isfinite().all())
    if not double:
        assert not back[3].any()
    assert float(back[3].abs().max()) <= float(slack)


def test_linear_layers_are_in_4_bits_and_the_rest_is_whole(base: Callable[..., Path]) -> None:
    folder = base(tie_embeddings=False)
    whole, model = loaded(folder), loaded(folder, quantization=NF4)
    layers = quantized_layers(model)
    assert len(layers) == 2 * 7
    head = model.get_output_embeddings()
    assert type(head) is nn.Linear
    assert {type(m).__name__ for m in model.modules() if isinstance(m, nn.Linear)} == {"Linear4bit", "Linear"}
    assert all(layer.weight.quant_state.quant_type == "nf4" and layer.weight.quant_state.nested for layer in layers)
    rest = {name: p for name, p in model.named_parameters() if p.dtype is not torch.uint8}
    assert {p.dtype for p in rest.values()} == {torch.float32}
    assert {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} <= set(rest)
    for name, parameter in rest.items():
        assert torch.equal(parameter, whole.state_dict()[name])
    assert count_parameters(model) == count_parameters(whole) == sum(p.numel() for p in whole.parameters())
    assert weight_bytes(whole) == 4 * count_parameters(whole)
    packed = sum(layer.weight.numel() for layer in layers)
    assert packed * 2 == sum(layer.in_features * layer.out_features for layer in layers)
    floats = sum(4 * p.numel() for p in rest.values())
    scales = packed * 2 // 64  # one byte each; theirs and the tables of 16 and 256 numbers besides
    assert packed + floats + scales < weight_bytes(model) < packed + floats + scales + len(layers) * 4 * (16 + 256 + 4)


def test_a_look_in_evaluation_mode_changes_nothing(base: Callable[..., Path]) -> None:
    """bitsandbytes would pack the weights anew on a CPU with AVX512-BF16, and have no gradient from then on."""
    model = attach(loaded(base(), quantization=NF4.model_copy(update={"compute_dtype": "bf16"})), lora(), seed=3)
    ids = torch.arange(8)[None]
    before = model(input_ids=ids).logits
    states = [(layer.weight.clone(), layer.weight.quant_state.absmax.clone()) for layer in quantized_layers(model)]
    logits(model, ids)
    for layer, (weight, absmax) in zip(quantized_layers(model), states, strict=True):
        assert torch.equal(layer.weight, weight)
        assert torch.equal(layer.weight.quant_state.absmax, absmax)
        assert not layer.support_avx512bf16_for_cpu
    after = model(input_ids=ids).logits
    assert torch.equal(after, before)
    after.sum().backward()
    first = model.model.layers[0].self_attn.q_proj.lora_B["default"].weight
    assert first.grad is not None
    assert bool(first.grad.any())


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("kind", ["nf4", "fp4"])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_training_is_that_of_additions_to_the_weights_read_back(
    base: Callable[..., Path], row: Callable[..., PackedBatch], architecture: str, kind: Any, dtype: Any
) -> None:
    """Against the same additions to a model in float32 whose weights went through 4 bits and back."""
    from bitsandbytes.functional import dequantize_4bit

    folder = base(architecture)
    quantization = Quantization(kind=kind, double=True, compute_dtype=dtype)
    four, plain = loaded(folder, quantization=quantization), loaded(folder)
    for name, module in four.named_modules():
        if module in quantized_layers(four):
            weight = dequantize_4bit(module.weight, module.weight.quant_state)
            target = plain.get_submodule(name)
            target.weight.data = (weight if isinstance(target, nn.Linear) else weight.T).contiguous()
    results = []
    for model in (four, plain):
        attach(model, lora(), seed=3)
        with computing_in(model, torch.float32):
            objective = NextToken(verify_reading(model, "auto"))
        engine = Engine(model, AdamW(kind="adamw"), device=CPU, dtype=dtype)
        steps = [engine.step([row(20, 9)], objective, learning_rate=1e-2) for _ in range(3)]
        results.append([value for step in steps for value in (step.loss, step.grad_norm)])
    assert results[0] == pytest.approx(results[1], rel=1e-5 if dtype == "fp32" else 1e-2)


def test_under_autocast_a_layer_gives_its_type(base: Callable[..., Path]) -> None:
    quantization = NF4.model_copy(update={"compute_dtype": "bf16"})
    model = attach(loaded(base(), quantization=quantization), lora(targets=["q_proj"]), seed=3)
    hidden = torch.randn(5, 64)
    attention = model.model.layers[0].self_attn
    for layer in (attention.q_proj, attention.k_proj):  # with an addition and without
        with torch.autocast("cpu", torch.bfloat16):
            assert layer(hidden).dtype is torch.bfloat16
        assert layer(hidden).dtype is torch.float32


@pytest.mark.parametrize("compute_dtype", ["bf16", "fp16", "fp32"])
def test_products_are_in_the_compute_type(
    base: Callable[..., Path], compute_dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bitsandbytes

    quantization = Quantization(kind="fp4", double=False, compute_dtype=compute_dtype)
    model = loaded(base(), quantization=quantization)
    seen: list[torch.dtype] = []
    product = bitsandbytes.matmul_4bit

    def recorded(x: torch.Tensor, *arguments: Any, **keywords: Any) -> torch.Tensor:
        seen.append(x.dtype)
        result: torch.Tensor = product(x, *arguments, **keywords)
        return result

    monkeypatch.setattr(bitsandbytes, "matmul_4bit", recorded)
    logits(model, torch.arange(4)[None])
    expected = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[compute_dtype]
    assert set(seen) == {expected}
    seen.clear()
    with computing_in(model, torch.float32):
        logits(model, torch.arange(4)[None])
    assert set(seen) == {torch.float32}
    assert {layer.compute_dtype for layer in quantized_layers(model)} == {expected}


def test_a_model_with_nothing_to_quantise_is_refused(build: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="has no linear layer that can be quantised"):
        settle(build())
