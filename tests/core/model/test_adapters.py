"""Low-rank additions: the base at the start, and only what should be trained is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.config.adapter import QLoRA
from core.config.model import PretrainedModel
from core.config.optimization import AdamW
from core.errors import UsageError
from core.model.adapters import adapter_tensors, attach
from core.model.base_record import Quantization
from core.model.batch import PackedBatch
from core.model.embeddings import embedding_matrices
from core.model.load import Vocabulary, build_model
from core.model.quantized import computing_in
from core.model.reading import next_token_loss
from core.model.verification import verify_reading
from core.training.engine import Engine
from core.training.objectives import NextToken
from tests.core.model.adapted import ADDED, CPU, NF4, TOKENS, digest, disturb, frozen, loaded, logits, lora


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("quantization", [None, NF4], ids=["float", "nf4"])
@pytest.mark.parametrize("embeddings", ["frozen", "new_tokens", "whole"])
def test_the_start_is_the_base_and_only_the_adapter_is_trained(
    base: Callable[..., Path], architecture: str, tied: bool, quantization: Quantization | None, embeddings: str
) -> None:
    folder = base(architecture, tie_embeddings=tied)
    model = loaded(folder, added=3, quantization=quantization)
    before = logits(model)
    attach(model, lora(embeddings=embeddings), seed=3, added_token_ids=ADDED)
    assert torch.equal(logits(model), before)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    rest = {name for name in trained if ".lora_A." not in name and ".lora_B." not in name}
    assert len(rest) == {"frozen": 0, "new_tokens": 1, "whole": 1}[embeddings] * (1 if tied else 2)
    assert all(".lora_" not in name or "lm_head" not in name for name in trained)
    layers = 7 if architecture == "llama" else 4
    assert len(trained - rest) == 2 * layers * 2
    reading = verify_reading(model, "auto")
    assert reading.packing == "documents"
    engine = Engine(model, AdamW(kind="adamw"), device=CPU, dtype="fp32")
    assert set(engine.parameters) == trained
    held = {id(p) for group in engine.optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in engine.parameters.values()}


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("quantization", [None, NF4], ids=["float", "nf4"])
def test_steps_move_the_adapter_and_nothing_else(
    base: Callable[..., Path], row: Callable[..., PackedBatch], quantization: Quantization | None, checkpointing: bool
) -> None:
    model = loaded(base(), added=3, quantization=quantization, gradient_checkpointing=checkpointing)
    attach(model, lora(), seed=3, added_token_ids=ADDED)
    engine = Engine(model, AdamW(kind="adamw"), device=CPU, dtype="fp32")
    objective = NextToken(verify_reading(model, "auto"))
    before = digest(frozen(model))
    start = {name: p.detach().clone() for name, p in engine.parameters.items()}
    next_token_loss(model, objective.reading, row(20, 9)).backward()
    assert [name for name, p in engine.parameters.items() if p.grad is None] == []
    assert all(bool(p.grad.any()) for name, p in engine.parameters.items() if ".lora_B." in name)  # type: ignore[union-attr]
    assert not any(p.grad is not None for p in model.parameters() if not p.requires_grad)
    engine.optimizer.zero_grad()
    losses = [engine.step([row(20, 9)], objective, learning_rate=1e-2).loss for _ in range(3)]
    assert losses[-1] < losses[0]
    assert digest(frozen(model)) == before
    assert all(not torch.equal(p, start[name]) for name, p in engine.parameters.items())


@pytest.mark.parametrize("rank_stabilised", [False, True])
def test_the_addition_is_the_scaled_product_of_its_factors(base: Callable[..., Path], rank_stabilised: bool) -> None:
    """W' = W + alpha/r B A (Hu et al. 2021, equation 3), alpha/sqrt(r) where rank-stabilised."""
    folder = base()
    outputs = {}
    hidden = torch.randn(5, 64, generator=torch.Generator().manual_seed(2))
    for alpha in (8.0, 16.0):
        model = loaded(folder)
        attach(model, lora(alpha=alpha, rank_stabilised=rank_stabilised), seed=3)
        disturb(model)
        layer = model.model.layers[0].self_attn.q_proj
        base_output = layer.base_layer(hidden)
        outputs[alpha] = layer(hidden) - base_output
        a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
        scale = alpha / (2 if rank_stabilised else 4)
        torch.testing.assert_close(outputs[alpha], scale * hidden @ a.T @ b.T, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(outputs[16.0], 2 * outputs[8.0], rtol=1e-4, atol=1e-5)


def test_a_is_drawn_from_the_seed_and_b_is_zero(base: Callable[..., Path]) -> None:
    folder = base()
    state = torch.get_rng_state()
    models = [attach(loaded(folder), lora(initialisation=how), seed=seed) for how, seed in (
        ("kaiming_uniform", 3), ("kaiming_uniform", 3), ("kaiming_uniform", 4), ("gaussian", 3)
    )]  # fmt: skip
    assert torch.equal(torch.get_rng_state(), state)
    first, again, other, gaussian = (adapter_tensors(model) for model in models)
    name = "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"
    assert torch.equal(first[name], again[name])
    assert not torch.equal(first[name], other[name])
    bound = 1 / first[name].shape[1] ** 0.5  # kaiming_uniform_(a=sqrt(5)): uniform in ±1/sqrt(width)
    assert 0.9 * bound < first[name].abs().max() <= bound
    assert abs(gaussian[name].std() - 1 / 4) < 0.05  # peft: 1/rank
    assert all(not tensor.any() for key, tensor in first.items() if "lora_B" in key)


@pytest.mark.parametrize(
    ("architecture", "targets", "names"),
    [
        ("llama", ["attention"], {"q_proj", "k_proj", "v_proj", "o_proj"}),
        ("gpt2", ["attention"], {"c_attn", "attn.c_proj"}),
        ("gpt2", ["all-linear"], {"c_attn", "attn.c_proj", "c_fc", "mlp.c_proj"}),
        ("llama", ["q_proj", "mlp.up_proj"], {"q_proj", "up_proj"}),
        ("llama", ["attention", "layers.1.mlp.up_proj"], {"q_proj", "k_proj", "v_proj", "o_proj", "1.mlp.up_proj"}),
        ("llama", ["lm_head"], {"lm_head"}),
    ],
)
def test_targets_name_the_layers(
    base: Callable[..., Path], architecture: str, targets: list[str], names: set[str]
) -> None:
    model = attach(loaded(base(architecture, tie_embeddings=False)), lora(targets=targets), seed=3)
    found = {name for name, module in model.named_modules() if hasattr(module, "lora_A")}
    assert all(name.endswith(tuple(names)) for name in found)
    assert {end for end in names if any(name.endswith(end) for name in found)} == names
    twice = sum(2 for end in names if not end.startswith(("1.", "lm_head")))
    assert len(found) == twice + sum(end.startswith(("1.", "lm_head")) for end in names)
    disturb(model)
    with torch.no_grad():
        verify_reading(model, "auto")  # the head by hand has the model's own logits, an addition on it included


def test_a_target_that_names_nothing_says_what_there_is(base: Callable[..., Path]) -> None:
    folder = base()
    with pytest.raises(UsageError, match="'query' names no linear layer of LlamaForCausalLM") as error:
        attach(loaded(folder), lora(targets=["query"]), seed=3)
    assert "q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj" in error.value.hint
    with pytest.raises(UsageError, match="the output head of this model is its embedding matrix"):
        attach(loaded(folder), lora(targets=["lm_head"]), seed=3)


@pytest.mark.parametrize("tied", [True, False])
def test_rows_of_added_tokens_begin_as_the_mean_of_the_others(base: Callable[..., Path], tied: bool) -> None:
    folder = base(tie_embeddings=tied)
    old = loaded(folder)
    state = torch.get_rng_state()
    model = loaded(folder, added=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert model.config.vocab_size == TOKENS + 3
    matrices, before = embedding_matrices(model), embedding_matrices(old)
    assert len(matrices) == (1 if tied else 2)
    for matrix, rows in zip(matrices, before, strict=True):
        assert torch.equal(matrix[:TOKENS], rows)
        torch.testing.assert_close(matrix[TOKENS:], rows.mean(0, keepdim=True).expand(3, -1))
    assert torch.equal(logits(model)[..., :TOKENS], logits(loaded(folder, added=3))[..., :TOKENS])


def test_a_head_that_trains_rows_takes_no_addition_besides(base: Callable[..., Path]) -> None:
    folder = base(tie_embeddings=False)
    with pytest.raises(UsageError, match="lm_head has rows of new tokens to train, and takes no addition besides"):
        attach(loaded(folder, added=3), lora(targets=["lm_head"]), seed=1, added_token_ids=ADDED)
    attach(loaded(folder, added=3), lora(targets=["lm_head"], embeddings="whole"), seed=1, added_token_ids=ADDED)


def test_added_tokens_on_spare_rows_begin_as_the_mean_too(base: Callable[..., Path]) -> None:
    folder = base()
    choice = PretrainedModel(kind="pretrained", path=str(folder))
    model = build_model(choice, folder=folder, vocabulary=Vocabulary(92, 0, 2), seed=1)
    (matrix,), (old,) = embedding_matrices(model), embedding_matrices(loaded(folder))
    assert len(matrix) == TOKENS
    torch.testing.assert_close(matrix[90:92], old[:90].mean(0, keepdim=True).expand(2, -1))
    assert torch.equal(matrix[92:], old[92:])


def test_dora_starts_at_the_base_on_a_quantised_one_too(base: Callable[..., Path]) -> None:
    model = loaded(base(), added=3, quantization=NF4.model_copy(update={"compute_dtype": "bf16"}))
    with computing_in(model, torch.float32):
        before = logits(model)
    adapter = QLoRA.model_validate({"kind": "qlora", "rank": 4, "dora": True})
    attach(model, adapter, seed=3)
    assert {p.dtype for p in model.parameters() if p.requires_grad} == {torch.float32}
    with computing_in(model, torch.float32):
        torch.testing.assert_close(logits(model), before, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("quantization", [None, NF4], ids=["float", "nf4"])
def test_the_input_of_an_addition_is_not_widened_and_the_bits_are_the_same(
    base: Callable[..., Path], row: Callable[..., PackedBatch], quantization: Quantization | None
) -> None:
    folder, results = base(), []
    for widens in (False, True):
        model = attach(loaded(folder, quantization=quantization), lora(), seed=3)
        layers = [module for module in model.modules() if hasattr(module, "lora_A")]
        assert not any(layer.cast_input_dtype_enabled for layer in layers)
        for layer in layers:
            layer.cast_input_dtype_enabled = widens
        engine = Engine(model, AdamW(kind="adamw"), device=CPU, dtype="bf16")
        objective = NextToken(verify_reading(model, "auto"))
        steps = [engine.step([row(20, 9)], objective, learning_rate=1e-2) for _ in range(3)]
        results.append([(step.loss, step.grad_norm) for step in steps])
    assert results[0] == results[1]
