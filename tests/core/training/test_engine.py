"""One step: what it divides by, what it refuses, what it clips, against bare torch on the same weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from core.config.optimization import AdamW
from core.model.batch import IGNORED, PackedBatch, packed
from core.model.verification import verify_reading
from core.training.engine import Engine
from core.training.objectives import NextToken, Terms
from core.training.optimizers import decay_groups

CPU = torch.device("cpu")


def tiny_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, tie_word_embeddings=True, use_cache=False,
    )  # fmt: skip
    return LlamaForCausalLM(config)


@dataclass(frozen=True)
class PlainNextToken:
    """The loss as anyone would write it, one document a batch, on full logits."""

    weights: tuple[float, ...] = (1.0,)
    poison: Callable[[Tensor], Tensor] = torch.clone

    def count(self, batch: PackedBatch) -> tuple[int, ...]:
        return (batch.target_tokens,)

    def __call__(self, model: PreTrainedModel, batch: PackedBatch) -> Terms:
        logits = model(input_ids=batch.input_ids).logits[0].float()
        loss = F.cross_entropy(logits, batch.targets[0], ignore_index=IGNORED, reduction="sum")
        return Terms((self.poison(loss),))


def documents(lengths: Sequence[int], *, seed: int = 1) -> list[PackedBatch]:
    generator = torch.Generator().manual_seed(seed)
    batches = []
    for number, length in enumerate(lengths):
        ids = torch.randint(0, 97, (length + 1,), generator=generator).tolist()
        batches.append(packed([ids[:-1]], [ids[1:]], rows=(number,)))
    return batches


def engine_of(model: PreTrainedModel, *, max_grad_norm: float | None = 1.0, dtype: str = "fp32") -> Engine:
    optimizer = AdamW(kind="adamw", weight_decay=0.1, betas=(0.9, 0.95), max_grad_norm=max_grad_norm)
    return Engine(model, optimizer, device=CPU, dtype=dtype)  # type: ignore[arg-type]


def parameters_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def equal(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_loss_is_the_mean_over_all_tokens_of_the_step() -> None:
    """Micro-batches with token losses [1, 1, 1] and [5] make 2.0, not 3.0."""

    @dataclass(frozen=True)
    class Given:
        weights: tuple[float, ...] = (1.0,)

        def count(self, batch: PackedBatch) -> tuple[int, ...]:
            return (batch.target_tokens,)

        def __call__(self, model: PreTrainedModel, batch: PackedBatch) -> Terms:
            value = 3.0 if batch.target_tokens == 3 else 5.0
            anchor = sum(p.sum() * 0 for p in model.parameters())
            return Terms((anchor + value,))

    result = engine_of(tiny_model()).step(documents([3, 1]), Given(), learning_rate=0.1)
    assert result.loss == pytest.approx(2.0, abs=1e-7)


def test_one_step_equals_bare_torch() -> None:
    """The reference: the mean over all tokens in one graph, clip_grad_norm_, torch.optim.AdamW unfused."""
    lengths = [5, 17, 9]
    model = tiny_model()
    reference = copy.deepcopy(model)
    result = engine_of(model).step(documents(lengths), PlainNextToken(), learning_rate=1e-2)

    optimizer = torch.optim.AdamW(
        decay_groups(reference, weight_decay=0.1), lr=1e-2, betas=(0.9, 0.95), eps=1e-8, foreach=False, fused=False
    )
    losses = [
        F.cross_entropy(reference(input_ids=b.input_ids).logits[0], b.targets[0], reduction="none")
        for b in documents(lengths)
    ]
    loss = torch.cat(losses).mean()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(reference.parameters(), 1.0)
    optimizer.step()

    assert result.loss == pytest.approx(loss.item(), rel=1e-6)
    assert result.grad_norm == pytest.approx(norm.item(), rel=1e-5)
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(dict(model.named_parameters())[name], parameter, rtol=1e-5, atol=1e-6)


def test_gradients_do_not_depend_on_how_rows_are_dealt_out() -> None:
    """Four unequal documents in 4, 2 and 1 micro-batches, packed."""
    rows = [b.input_ids[0].tolist() for b in documents([5, 17, 9, 2])]
    targets = [b.targets[0].tolist() for b in documents([5, 17, 9, 2])]
    norms, after = [], []
    for size in (1, 2, 4):
        model = tiny_model()
        objective = NextToken(verify_reading(model, "auto"))
        groups = [packed(rows[i : i + size], targets[i : i + size]) for i in range(0, 4, size)]
        result = engine_of(model, max_grad_norm=None).step(groups, objective, learning_rate=1e-2)
        norms.append((result.loss, result.grad_norm))
        after.append(parameters_of(model))
    for loss, norm in norms[1:]:
        assert loss == pytest.approx(norms[0][0], rel=1e-6)
        assert norm == pytest.approx(norms[0][1], rel=1e-6)
    for other in after[1:]:
        for name in other:
            torch.testing.assert_close(other[name], after[0][name], rtol=1e-5, atol=2e-6)


def test_reported_norm_is_before_clipping_and_the_update_after() -> None:
    """The first moment of AdamW after one step is (1 - beta1) times the clipped gradient."""
    engine = engine_of(tiny_model(), max_grad_norm=1.0)
    objective = PlainNextToken(poison=lambda loss: loss * 100)
    result = engine.step(documents([8]), objective, learning_rate=1e-3)
    moments = [value.flatten() for name, value in engine.optimizer_tensors().items() if name.endswith("/exp_avg")]
    assert result.grad_norm > 1.0
    assert torch.cat(moments).norm().item() == pytest.approx(0.1, rel=1e-4)


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("micro_batch", [0, 1])
def test_non_finite_loss_is_refused_and_changes_nothing(poison: float, micro_batch: int) -> None:
    model = tiny_model()
    engine = engine_of(model)
    engine.step(documents([6, 4]), PlainNextToken(), learning_rate=1e-2)
    before = {**parameters_of(model), **{k: v.clone() for k, v in engine.optimizer_tensors().items()}}
    calls = iter(range(2))
    objective = PlainNextToken(poison=lambda loss: loss * poison if next(calls) == micro_batch else loss)
    result = engine.step(documents([6, 4]), objective, learning_rate=1e-2)
    assert not result.applied
    assert f"micro-batch {micro_batch} (rows {micro_batch})" in result.refusal
    assert equal(before, {**parameters_of(model), **engine.optimizer_tensors()})
    assert all(p.grad is None for p in model.parameters())
    assert engine.step(documents([6, 4]), PlainNextToken(), learning_rate=1e-2).applied


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_non_finite_gradient_is_refused_and_named(value: float) -> None:
    model = tiny_model()
    engine = engine_of(model)
    before = parameters_of(model)
    name = "model.layers.1.mlp.up_proj.weight"
    handle = dict(model.named_parameters())[name].register_hook(lambda grad: grad * value)
    result = engine.step(documents([6]), PlainNextToken(), learning_rate=1e-2)
    handle.remove()
    assert not result.applied
    assert not result.is_overflow
    assert name in result.refusal
    assert "rows 0" in result.refusal
    assert equal(before, parameters_of(model))


def test_a_step_without_targets_is_refused() -> None:
    batch = packed([[1, 2, 3]], [[IGNORED] * 3])
    result = engine_of(tiny_model()).step([batch], PlainNextToken(), learning_rate=1e-2)
    assert "no token" in result.refusal


def test_a_micro_batch_without_targets_changes_nothing() -> None:
    models = tiny_model(), tiny_model()
    empty = packed([[1, 2, 3]], [[IGNORED] * 3])
    with_empty = engine_of(models[0]).step([*documents([6]), empty], PlainNextToken(), learning_rate=1e-2)
    without = engine_of(models[1]).step(documents([6]), PlainNextToken(), learning_rate=1e-2)
    assert with_empty.loss == without.loss
    assert with_empty.grad_norm == pytest.approx(without.grad_norm, rel=1e-6)


def test_loss_scale_does_not_change_the_update() -> None:
    """Scale, backward, unscale, clip, step: a scale of 2**16 and one of 1 give the same parameters."""
    after = []
    for scale in (2.0**16, 1.0):
        model = tiny_model()
        engine = engine_of(model)
        engine.scaler = torch.amp.GradScaler("cpu", init_scale=scale, enabled=True)
        engine.step(documents([6, 11]), PlainNextToken(), learning_rate=1e-2)
        after.append(parameters_of(model))
    for name in after[0]:
        torch.testing.assert_close(after[0][name], after[1][name], rtol=1e-6, atol=1e-7)


def test_overflow_halves_the_scale_and_applies_nothing() -> None:
    model = tiny_model()
    engine = engine_of(model)
    engine.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16, enabled=True)
    before = parameters_of(model)
    handle = model.model.norm.weight.register_hook(lambda grad: grad * math.inf)
    result = engine.step(documents([6]), PlainNextToken(), learning_rate=1e-2)
    handle.remove()
    assert result.is_overflow
    assert not result.applied
    assert engine.scaler.get_scale() == 2.0**15
    assert equal(before, parameters_of(model))


def test_decay_groups_hold_each_parameter_once() -> None:
    model = tiny_model()
    decayed, kept = decay_groups(model, weight_decay=0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    assert {names[id(p)] for p in kept["params"]} == {
        "model.embed_tokens.weight", "model.norm.weight",
        *(f"model.layers.{i}.{n}_layernorm.weight" for i in (0, 1) for n in ("input", "post_attention")),
    }  # fmt: skip
    assert len(decayed["params"]) + len(kept["params"]) == len(names)
    assert decayed["weight_decay"] == 0.1
    assert kept["weight_decay"] == 0.0


def test_half_precision_weights_are_not_accepted() -> None:
    with pytest.raises(AssertionError, match="float32"):
        engine_of(tiny_model().half())


def test_a_norm_that_overflows_over_finite_gradients_moves_nothing() -> None:
    model = tiny_model()
    engine = engine_of(model)
    engine.scaler = torch.amp.GradScaler("cpu", init_scale=1.0, enabled=True)
    before = parameters_of(model)
    handles = [p.register_hook(lambda grad: torch.full_like(grad, 1e30)) for p in model.parameters()]
    result = engine.step(documents([6]), PlainNextToken(), learning_rate=1e-2)
    for handle in handles:
        handle.remove()
    assert not result.applied
    assert equal(before, parameters_of(model))
