"""Optimizers: the update beside a reference in float64, the state by name, and exact continuation of each kind."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from core.config.optimization import AdamW
from core.model.batch import PackedBatch, packed
from core.model.verification import verify_reading
from core.run.directory import Home
from core.run.events import Notice, Started
from core.training.engine import Engine
from core.training.objectives import NextToken
from core.training.optimizers import build_optimizer, decay_groups, optimizer_words, state_bytes, state_pieces
from tests.training_runs import broken_off, events, new_run, pretrain_preset, trace, work, write_texts

KINDS = [("fp32", False), ("fp32", True), ("8bit", False), ("8bit", True)]
CPU = torch.device("cpu")


def section(states: str = "8bit", *, paged: bool = False, weight_decay: float = 0.1) -> AdamW:
    return AdamW(kind="adamw", weight_decay=weight_decay, states=states, paged=paged)  # type: ignore[arg-type]


def tiny_model() -> LlamaForCausalLM:
    """Matrices of 4,096 numbers and more, which are kept in 8 bits, and of 2,048, which are not."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97, hidden_size=64, intermediate_size=83, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True, use_cache=False,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def engine_of(states: str, *, paged: bool, dtype: Literal["fp32", "fp16"] = "fp32") -> Engine:
    return Engine(tiny_model(), section(states, paged=paged), device=CPU, dtype=dtype)


def batches(count: int) -> list[PackedBatch]:
    generator = torch.Generator().manual_seed(1)
    rows = [torch.randint(0, 97, (17,), generator=generator).tolist() for _ in range(count)]
    return [packed([ids[:-1]], [ids[1:]], rows=(number,)) for number, ids in enumerate(rows)]


def train(engine: Engine, steps: list[PackedBatch]) -> list[float]:
    objective = NextToken(verify_reading(engine.model, "auto"))
    return [engine.step([batch], objective, learning_rate=1e-2).loss for batch in steps]


def everything(engine: Engine) -> dict[str, Tensor]:
    tensors = {**engine.parameters, **engine.optimizer_tensors()}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def assert_same_bits(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    assert not [name for name in left if left[name].dtype != right[name].dtype]
    assert not [name for name in left if not torch.equal(left[name], right[name])]


def levels_of(values: NDArray[np.float64], largest: NDArray[np.float64], *, signed: bool) -> NDArray[np.float64]:
    """Return for each number the nearest level of the table times the largest number of its block of 256."""
    scale = np.repeat(largest, 256)[: len(values)]
    table = levels(signed=signed)
    return table[np.abs((values / scale)[:, None] - table[None]).argmin(1)] * scale


def levels(*, signed: bool) -> NDArray[np.float64]:
    """Return the 256 levels of the dynamic tree: seven decades, each with twice the levels of the one below."""
    found = [0.0, 1.0]
    for decade in range(7):
        count = 2**decade if signed else 2 ** (decade + 1)
        edges = np.linspace(0.1, 1, count + 1)
        means = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (decade - 6)
        found += [*means, *(-means if signed else [])]
    return np.array(sorted(found))


def read(state: dict[str, Any], moment: int, *, signed: bool) -> NDArray[np.float64]:
    """Return a moment as it is stored: levels by number, times the scales of their blocks."""
    scale = state[f"absmax{moment}"].double().numpy().repeat(256)
    numbers = state[f"state{moment}"].numpy().ravel()
    found: NDArray[np.float64] = levels(signed=signed)[numbers] * scale[: len(numbers)]
    return found


def test_eight_bit_steps_equal_a_reference_in_float64() -> None:
    """AdamW with moments of 8 bits (Dettmers et al. 2022, arXiv:2110.02861, sections 2 and 3), written in float64.

    Every step starts at the moments that are stored. The library's kernel for CPUs finds a level through a coarser
    table, so what it stores may be further off than the nearest one by 1e-4 of a block's largest number.
    """
    torch.manual_seed(3)
    model = nn.Linear(64, 83, bias=False)  # 20 blocks of 256 numbers and three quarters of one
    optimizer = build_optimizer(model, section())
    weight = model.weight
    value, first, second = weight.detach().double().numpy().ravel().copy(), np.zeros(5312), np.zeros(5312)
    for step in range(1, 5):
        weight.grad = torch.randn_like(weight) * torch.rand(83, 1).exp()
        g = weight.grad.double().numpy().ravel()
        optimizer.param_groups[0]["lr"] = 1e-2
        optimizer.step()

        first, second = 0.9 * first + 0.1 * g, 0.95 * second + 0.05 * g * g
        value *= 1 - 1e-2 * 0.1
        value -= 1e-2 * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.95**step)) + 1e-8)
        np.testing.assert_allclose(weight.detach().double().numpy().ravel(), value, rtol=1e-5, atol=1e-6)
        state = optimizer.state[weight]
        assert state["step"] == step
        for number, exact in ((1, first), (2, second)):
            largest = np.abs(np.pad(exact, (0, -5312 % 256)).reshape(-1, 256)).max(1)
            np.testing.assert_allclose(state[f"absmax{number}"].numpy(), largest, rtol=1e-5)
            nearest = np.abs(levels_of(exact, largest, signed=number == 1) - exact)
            excess = np.abs(read(state, number, signed=number == 1) - exact) - nearest
            assert excess.max() < 1e-4 * largest.max()
        first, second = read(state, 1, signed=True), read(state, 2, signed=False)
    assert len(levels(signed=True)) == len(levels(signed=False)) == 256


def test_paged_float32_equals_torch() -> None:
    models = tiny_model(), tiny_model()
    for model, paged in zip(models, (False, True), strict=True):
        train(Engine(model, section("fp32", paged=paged), device=CPU, dtype="fp32"), batches(3))
    for left, right in zip(models[0].parameters(), models[1].parameters(), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-5, atol=2e-6)


def test_what_is_kept_in_eight_bits() -> None:
    """Matrices from 4,096 numbers on; neither embeddings nor smaller ones, whose state is in float32."""
    engine = engine_of("8bit", paged=False)
    pieces = state_pieces(engine.optimizer)
    small = {name for name, p in engine.parameters.items() if pieces[p]["state1"].dtype == torch.float32}
    layer = "model.layers.0"
    assert small == {
        "model.embed_tokens.weight", "model.norm.weight", *(f"{layer}.self_attn.{n}_proj.weight" for n in "kv"),
        *(f"{layer}.{n}_layernorm.weight" for n in ("input", "post_attention")),
    }  # fmt: skip
    train(engine, batches(1))
    assert state_bytes(engine.optimizer) == sum(t.nbytes for t in engine.optimizer_tensors().values())
    assert state_bytes(engine.optimizer) < 0.5 * state_bytes(engine_of("fp32", paged=False).optimizer)


@pytest.mark.parametrize(("states", "paged"), KINDS)
@pytest.mark.parametrize("dtype", ["fp32", "fp16"])
def test_a_restored_optimizer_goes_on_with_the_same_bits(
    tmp_path: Path, states: str, paged: bool, dtype: Literal["fp32", "fp16"]
) -> None:
    steps = batches(6)
    whole = engine_of(states, paged=paged, dtype=dtype)
    losses = train(whole, steps)

    first = engine_of(states, paged=paged, dtype=dtype)
    train(first, steps[:3])
    save_file({name: tensor.contiguous() for name, tensor in first.optimizer_tensors().items()}, tmp_path / "o")
    second = engine_of(states, paged=paged, dtype=dtype)
    saved = load_file(tmp_path / "o")
    assert second.missing_optimizer_tensors(saved) == []
    with torch.no_grad():
        for name, parameter in second.parameters.items():
            parameter.copy_(first.parameters[name])
    second.load_optimizer_tensors(saved)
    second.scaler.load_state_dict(first.scaler.state_dict())
    assert_same_bits(everything(second), everything(first))
    assert train(second, steps[3:]) == losses[3:]
    assert_same_bits(everything(second), everything(whole))


@pytest.mark.parametrize(("states", "paged"), KINDS)
def test_a_refused_step_leaves_parameters_and_state(states: str, paged: bool) -> None:
    engine = engine_of(states, paged=paged)
    train(engine, batches(1))
    before = everything(engine)
    engine.scaler = torch.amp.GradScaler("cpu", init_scale=4.0, enabled=True)
    handle = engine.model.model.norm.weight.register_hook(lambda gradient: gradient * math.inf)
    objective = NextToken(verify_reading(engine.model, "auto"))
    result = engine.step(batches(1), objective, learning_rate=1e-2)
    handle.remove()
    assert result.is_overflow
    assert engine.scaler.get_scale() == 2.0
    assert_same_bits(everything(engine), before)
    assert engine.step(batches(1), objective, learning_rate=1e-2).applied


def test_the_gradient_is_clipped_before_eight_bits() -> None:
    """The first moment of a step from nothing is a tenth of the clipped gradient, whose norm is 1."""
    engine = engine_of("8bit", paged=False)
    objective = NextToken(verify_reading(engine.model, "auto"))
    handles = [p.register_hook(lambda gradient: gradient * 100) for p in engine.parameters.values()]
    result = engine.step(batches(1), objective, learning_rate=1e-3)
    for handle in handles:
        handle.remove()
    assert result.grad_norm > 10
    assert first_moments(engine).norm().item() == pytest.approx(0.1, rel=2e-2)


def first_moments(engine: Engine) -> Tensor:
    from bitsandbytes.functional import dequantize_blockwise

    def moment(parameter: nn.Parameter) -> Tensor:
        state: dict[str, Any] = engine.optimizer.state[parameter]
        if "absmax1" not in state:
            return state["state1"].flatten()
        found: Tensor = dequantize_blockwise(
            state["state1"], absmax=state["absmax1"], code=state["qmap1"], blocksize=256
        )
        return found.flatten()

    return torch.cat([moment(parameter) for parameter in engine.parameters.values()])


class WithNewTokens(nn.Module):
    """A frozen embedding of which some rows are trained apart, as peft's trainable tokens are laid out."""

    def __init__(self) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(97, 64)
        self.embed_tokens.weight.requires_grad_(False)
        self.trainable_tokens_delta = nn.ParameterDict({"default": nn.Parameter(torch.zeros(80, 64))})
        self.projection = nn.Linear(64, 80)


def test_rows_of_new_tokens_are_embeddings() -> None:
    """No decay, and float32 states although they have 5,120 numbers."""
    model = WithNewTokens()
    rows = model.trainable_tokens_delta["default"]
    decayed, kept = decay_groups(model, weight_decay=0.1)
    assert [id(p) for p in decayed["params"]] == [id(model.projection.weight)]
    assert {id(p) for p in kept["params"]} == {id(rows), id(model.projection.bias)}
    pieces = state_pieces(build_optimizer(model, section()))
    assert pieces[rows]["state1"].dtype == torch.float32
    assert pieces[model.projection.weight]["state1"].dtype == torch.uint8


@pytest.mark.parametrize(("states", "paged"), KINDS)
def test_decay_is_decoupled_and_on_matrices_alone(states: str, paged: bool) -> None:
    """With gradients of zero a step multiplies matrices by 1 - rate * decay, and moves nothing else."""
    model = tiny_model()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = build_optimizer(model, section(states, paged=paged, weight_decay=0.5))
    for group in optimizer.param_groups:
        group["lr"] = 0.1
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 1.0 if parameter.ndim < 2 or "embed" in name else 0.95
        torch.testing.assert_close(parameter.detach(), before[name] * factor, rtol=1e-6, atol=0)


def test_missing_pieces_are_named_and_their_parameter_begins_anew() -> None:
    engine = engine_of("8bit", paged=False)
    train(engine, batches(1))
    saved = engine.optimizer_tensors()
    name = "model.layers.0.mlp.up_proj.weight"
    del saved[f"{name}/absmax2"]
    saved["model.norm.weight/state1"] = torch.zeros(63)
    fresh = engine_of("8bit", paged=False)
    assert fresh.missing_optimizer_tensors(saved) == [f"{name}/absmax2", "model.norm.weight/state1"]
    fresh.load_optimizer_tensors(saved)
    left = {key.partition("/")[0] for key in fresh.optimizer_tensors()}
    assert left == engine.parameters.keys() - {name, "model.norm.weight"}
    train(fresh, batches(1))


def test_the_state_of_another_kind_is_missing() -> None:
    engine = engine_of("fp32", paged=False)
    train(engine, batches(1))
    other = engine_of("8bit", paged=False)
    missing = other.missing_optimizer_tensors(engine.optimizer_tensors())
    assert set(missing) == {key for key in missing if key.rpartition("/")[2] != "exp_avg"}
    assert len(missing) >= 3 * len(other.parameters)


def test_no_exception_outlives_its_optimizer() -> None:
    """The library's table of exceptions belongs to the process and names parameters by id()."""
    import bitsandbytes as bnb

    build_optimizer(tiny_model(), section())
    assert not bnb.optim.GlobalOptimManager.get_instance().pid2config


def test_words_say_what_a_run_has() -> None:
    def words(config: AdamW, device: torch.device = CPU) -> str:
        return optimizer_words(config, build_optimizer(tiny_model(), config), device)

    pieces = state_pieces(build_optimizer(tiny_model(), section("8bit")))
    small = sum(p.numel() < 4096 or p.shape[0] == 97 for p in pieces)
    counted = f"8 bits for {len(pieces) - small} of {len(pieces)} tensors, else fp32"
    assert words(section("8bit", paged=True)) == f"AdamW (bitsandbytes), states in {counted}"
    assert 0 < small < len(pieces)
    assert words(section("fp32", paged=True), torch.device("cuda")).endswith("states in fp32, paged")
    assert words(section("fp32")) == "AdamW (torch, fused), states in fp32"


def test_a_run_with_paged_eight_bit_states_goes_on_exactly_and_says_what_is_not_paged(
    home: Home, tmp_path: Path
) -> None:
    preset = pretrain_preset(
        write_texts(tmp_path / "texts"),
        model={"hidden_size": 64},
        schedule={"steps": 10},
        optimizer={"kind": "adamw", "states": "8bit", "paged": True},
    )
    whole = new_run(home, preset, "whole")
    assert work(whole, 1) == 0
    broken = new_run(home, preset, "broken")
    broken_off(broken, saves=2)
    assert work(broken, 2) == 0
    assert trace(broken) == trace(whole)
    said = [event.message for event in events(whole) if isinstance(event, Notice)]
    assert [words for words in said if "optimizer.paged" in words]
    facts = next(event.facts for event in events(whole) if isinstance(event, Started))
    assert str(facts["optimizer"]).startswith("AdamW (bitsandbytes), states in 8 bits for ")


@pytest.mark.parametrize(("states", "paged"), KINDS)
def test_states_are_paged_where_that_is_asked_for(states: str, paged: bool) -> None:
    """Only on a GPU does the library page them; here it must at least have been told."""
    assert getattr(build_optimizer(tiny_model(), section(states, paged=paged)), "is_paged", False) is paged
