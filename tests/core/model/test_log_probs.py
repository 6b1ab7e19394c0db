"""Log-probabilities of targets, their entropies and every gradient, against a loop over logits in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from core.model import log_softmax
from core.model.batch import IGNORED, PackedBatch, packed
from core.model.log_probs import TargetLogProbs, sums_by_document, target_documents, target_log_probs
from core.model.reading import Reading, next_token_loss
from core.model.scalar_head import add_head, log_probs_and_values
from core.model.verification import verify_reading
from tests.core.model.reference import apart, gradients

HEADS = ["matrix", "stub", "linear", "keep"]
READINGS = [("documents", "documents"), ("sdpa", "dense"), ("sdpa", "unpacked")]
TEMPERATURE = 0.7


def reading_of(model: Any, head: str, *, packing: str = "documents", attention: str = "documents") -> Reading:
    reading = verify_reading(model, "auto")
    model.set_attn_implementation(attention)
    return replace(reading, head=head, packing=packing, attention=attention, chunk=4)  # type: ignore[arg-type]  # names from lists


def padded(batch: PackedBatch, count: int) -> PackedBatch:
    """Return the batch with a document of padding behind it."""
    more = torch.zeros(1, count, dtype=torch.int64)
    return replace(
        batch,
        input_ids=torch.cat([batch.input_ids, more], 1),
        targets=torch.cat([batch.targets, more + IGNORED], 1),
        position_ids=torch.cat([batch.position_ids, torch.arange(count)[None]], 1),
        boundaries=torch.cat([batch.boundaries, batch.boundaries[-1:] + count]),
        lengths=(*batch.lengths, count),
        padding=count,
    )


def by_hand(model: Any, batch: PackedBatch, temperature: float) -> tuple[Tensor, Tensor]:
    """Return log p and entropy of each target, position by position from the logits of each document alone."""
    logits = apart(model, batch) / temperature
    values, entropies = [], []
    for position, target in enumerate(batch.targets[0].tolist()):
        if target != IGNORED:
            log_p = logits[position] - logits[position].logsumexp(0)
            values.append(log_p[target])
            entropies.append(-(log_p.exp() * log_p).sum())
    return torch.stack(values), torch.stack(entropies)


def loss_of(values: Tensor, entropies: Tensor | None) -> Tensor:
    """Return something with another gradient for each target, through the sums of a document among others."""
    weights = torch.linspace(-1, 2, len(values), dtype=values.dtype)
    loss = (values * weights).sum() + (values**2).mean()
    return loss if entropies is None else loss + (entropies * weights.flip(0)).sum() * 0.5


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("entropy", ["none", "trained"])
@pytest.mark.parametrize(("architecture", "tied"), [("llama", True), ("llama", False), ("gpt2", True)])
def test_values_and_every_gradient_equal_a_loop_over_logits(
    head: str,
    entropy: Literal["none", "trained"],
    architecture: str,
    tied: bool,
    build: Callable[..., Any],
    row: Callable[..., PackedBatch],
) -> None:
    model = build(architecture, tie_embeddings=tied, key_value_heads=None).double()
    batch = padded(row(7, 1, 12, 4), 3)
    values, entropies = by_hand(model, batch, TEMPERATURE)
    expected = gradients(model, loss_of(values, entropies if entropy == "trained" else None))
    found = target_log_probs(model, reading_of(model, head), batch, temperature=TEMPERATURE, entropy=entropy)
    assert found.values.dtype is torch.float64
    torch.testing.assert_close(found.values, values, rtol=1e-9, atol=0)
    if found.entropies is not None:
        torch.testing.assert_close(found.entropies, entropies, rtol=1e-9, atol=0)
    for name, gradient in gradients(model, loss_of(found.values, found.entropies)).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-8, msg=name)


@pytest.mark.parametrize(("attention", "packing"), READINGS)
@pytest.mark.parametrize("head", ["matrix", "keep"])
def test_every_packing_gives_the_same_in_float32(
    attention: str, packing: str, head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build(), padded(row(7, 1, 12, 4), 3)
    right, _ = by_hand(model, batch, 1.0)
    found = target_log_probs(model, reading_of(model, head, packing=packing, attention=attention), batch)
    assert found.values.dtype is torch.float32
    torch.testing.assert_close(found.values, right, rtol=1e-5, atol=0)


@pytest.mark.parametrize("entropy", ["none", "shown"])
def test_a_frozen_matrix_has_its_gradients_made_in_the_forward_pass(
    entropy: Literal["none", "shown"], build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build(tie_embeddings=False).double(), row(7, 12)
    model.get_output_embeddings().requires_grad_(False)
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}

    def of(found: TargetLogProbs) -> list[Tensor]:
        return list(torch.autograd.grad(loss_of(found.values, None), list(trained.values())))

    values, entropies = by_hand(model, batch, TEMPERATURE)
    expected = of(TargetLogProbs(values))
    found = target_log_probs(model, reading_of(model, "matrix"), batch, temperature=TEMPERATURE, entropy=entropy)
    for gradient, right in zip(of(found), expected, strict=True):
        torch.testing.assert_close(gradient, right, rtol=0, atol=1e-9)
    if entropy == "shown":
        assert found.entropies is not None
        assert not found.entropies.requires_grad
        torch.testing.assert_close(found.entropies, entropies.detach(), rtol=1e-9, atol=0)


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("head", ["matrix", "stub"])
def test_autocast_keeps_the_softmax_in_float32(
    head: str, frozen: bool, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    """bf16 has 8 bits: products may be off by 2^-8 of a logit, which averages out over the targets."""
    model, batch = build(tie_embeddings=False), row(20, 12)
    right, _ = by_hand(model, batch, TEMPERATURE)
    trained = {name: p for name, p in model.named_parameters() if not (frozen and name.startswith("lm_head"))}
    expected = torch.autograd.grad(loss_of(right, None), list(trained.values()))
    reading = reading_of(model, head)
    model.get_output_embeddings().requires_grad_(not frozen)
    with torch.autocast("cpu", torch.bfloat16):
        found = target_log_probs(model, reading, batch, temperature=TEMPERATURE)
    assert found.values.dtype is torch.float32
    assert found.values.sum().item() == pytest.approx(right.sum().item(), rel=2e-3)
    given = torch.autograd.grad(loss_of(found.values, None), list(trained.values()))
    for gradient, one in zip(given, expected, strict=True):
        assert ((gradient - one).norm() / one.norm()).item() < 2e-2


@pytest.mark.parametrize("head", HEADS)
def test_the_head_of_one_pass_takes_no_gradient_from_the_next(
    head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    """Autocast remembers the weights that it made narrow; those of a forward pass of its own have no graph."""
    model, batch = build(tie_embeddings=False), row(20, 12)
    reading = reading_of(model, head)
    with torch.autocast("cpu", torch.bfloat16):
        expected = gradients(model, next_token_loss(model, reading, batch))
    with torch.autocast("cpu", torch.bfloat16):
        target_log_probs(model, reading, batch)
        found = gradients(model, next_token_loss(model, reading, batch))
    for name, gradient in found.items():
        assert torch.equal(gradient, expected[name]), name


def test_without_gradients_nothing_is_kept(build: Callable[..., Any], row: Callable[..., PackedBatch]) -> None:
    model, batch = build(), row(7, 12)
    reading = reading_of(model, "matrix")
    with torch.no_grad():
        found = target_log_probs(model, reading, batch, entropy="trained")
    assert not found.values.requires_grad
    assert found.entropies is not None
    assert not found.entropies.requires_grad
    torch.testing.assert_close(found.values, target_log_probs(model, reading, batch).values, rtol=0, atol=0)


def test_the_logits_stand_for_one_chunk_at_most(
    build: Callable[..., Any], row: Callable[..., PackedBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = build(), row(30, 30)
    seen: list[int] = []
    for name in ("read_rows", "become_gradient"):
        real = getattr(log_softmax, name)

        def watched(logits: Tensor, *rest: Any, real: Any = real, **named: Any) -> None:
            seen.append(len(logits))
            real(logits, *rest, **named)

        monkeypatch.setattr(f"core.model.matrix_log_probs.{name}", watched)
    target_log_probs(model, reading_of(model, "matrix"), batch).values.sum().backward()
    assert max(seen) == 4
    assert sum(seen) == 2 * batch.target_tokens


@pytest.mark.parametrize("head", ["matrix", "stub"])
def test_two_backward_passes_give_the_gradient_twice(
    head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    """Also where the second finds the logits of a chunk turned into their gradient by the first."""
    model, batch = build().double(), row(9, 12)
    loss = loss_of(target_log_probs(model, reading_of(model, head), batch).values, None)
    parameters = list(model.parameters())
    first = torch.autograd.grad(loss, parameters, retain_graph=True)
    for one, other in zip(first, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


@pytest.mark.parametrize("entropy", ["shown", "trained"])
def test_blocks_of_rows_change_nothing(
    entropy: Literal["shown", "trained"],
    build: Callable[..., Any],
    row: Callable[..., PackedBatch],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, batch = build().double(), row(9, 12)
    reading = replace(reading_of(model, "matrix"), chunk=64)

    def all_gradients() -> dict[str, Tensor]:
        found = target_log_probs(model, reading, batch, entropy=entropy)
        return gradients(model, loss_of(found.values, found.entropies if entropy == "trained" else None))

    whole = all_gradients()
    monkeypatch.setattr(log_softmax, "_BLOCK_ELEMENTS", 96 * 5)
    for name, gradient in all_gradients().items():
        assert torch.equal(gradient, whole[name]), name


def test_a_head_whose_backward_pass_needs_its_result(
    build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build(tie_embeddings=False).double(), row(7, 12)
    model.get_output_embeddings().register_forward_hook(lambda _module, _arguments, logits: (logits * 9).tanh())
    values, _ = by_hand(model, batch, 1.0)
    expected = gradients(model, loss_of(values, None))
    found = target_log_probs(model, reading_of(model, "linear"), batch)
    for name, gradient in gradients(model, loss_of(found.values, None)).items():
        torch.testing.assert_close(gradient, expected[name], rtol=0, atol=1e-8, msg=name)


def test_two_tokens_by_hand() -> None:
    """A model that says the successor of its input with probability 3/4: log p[t] comes from the logits of t - 1."""
    logits = torch.full((96, 96), -math.inf)
    for token in range(96):
        logits[token, (token + 1) % 96], logits[token, token] = math.log(3), 0.0

    class Hand(torch.nn.Module):
        base_model_prefix = "model"

        def __init__(self) -> None:
            super().__init__()
            self.head = torch.nn.Linear(96, 96, bias=False)
            self.head.weight = torch.nn.Parameter(torch.where(logits.isinf(), -1e4, logits).T)

        def base_model(self, *, input_ids: Tensor, **_: Any) -> Any:
            hidden = torch.nn.functional.one_hot(input_ids, 96).float()
            return type("Output", (), {"last_hidden_state": hidden})

        def get_output_embeddings(self) -> torch.nn.Linear:
            return self.head

    batch = packed([[5, 6, 7], [9, 9]], [[6, 7, IGNORED], [9, IGNORED]])
    reading = Reading(packing="documents", head="matrix")
    found = target_log_probs(Hand(), reading, batch, entropy="shown")
    right = [math.log(0.75), math.log(0.75), math.log(0.25)]
    assert found.values.tolist() == pytest.approx(right, rel=1e-6)
    assert found.entropies is not None
    assert found.entropies.tolist() == pytest.approx([-0.75 * right[0] - 0.25 * right[2]] * 3, rel=1e-6)
    sharper = target_log_probs(Hand(), reading, batch, temperature=0.5)
    assert sharper.values.tolist() == pytest.approx([math.log(0.9), math.log(0.9), math.log(0.1)], rel=1e-6)


def test_targets_belong_to_their_documents(row: Callable[..., PackedBatch]) -> None:
    batch = padded(packed([[1, 2, 3], [4], [5, 6]], [[2, 3, IGNORED], [IGNORED], [6, IGNORED]]), 2)
    assert target_documents(batch).tolist() == [0, 0, 2]
    values = torch.tensor([1.0, 2.0, 4.0], requires_grad=True)
    sums = sums_by_document(values, batch)
    assert sums.tolist() == [3.0, 0.0, 4.0]
    (gradient,) = torch.autograd.grad((sums * torch.tensor([1.0, 10.0, 100.0])).sum(), values)
    assert gradient.tolist() == [1.0, 1.0, 100.0]


@pytest.mark.parametrize("head", ["matrix", "stub", "linear"])
def test_without_targets_there_is_nothing_and_it_has_gradients(
    head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build(), row(7, 12)
    batch = replace(batch, targets=torch.full_like(batch.targets, IGNORED))
    found = target_log_probs(model, reading_of(model, head), batch, entropy="trained")
    assert found.values.shape == (0,)
    assert all(gradient.abs().max() == 0 for gradient in gradients(model, loss_of_nothing(found)).values())


def loss_of_nothing(found: TargetLogProbs) -> Tensor:
    assert found.entropies is not None
    return found.values.sum() + found.entropies.sum()


@pytest.mark.parametrize("head", HEADS)
def test_values_of_a_shared_trunk_are_those_of_two_passes(
    head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build(), row(7, 12)
    reading = reading_of(model, head)
    add_head(model, "value", seed=5)
    found, values = log_probs_and_values(model, reading, batch, temperature=TEMPERATURE, entropy="trained")
    apart_, entropies = by_hand(model, batch, TEMPERATURE)
    torch.testing.assert_close(found.values, apart_, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.entropies, entropies, rtol=1e-5, atol=1e-6)
    hidden = torch.cat(
        [
            model.base_model(input_ids=part, use_cache=False).last_hidden_state[0]
            for part in torch.split(batch.input_ids, list(batch.lengths), dim=1)
        ]
    )[batch.targets[0] != IGNORED]
    torch.testing.assert_close(values, model.value(hidden)[:, 0], rtol=1e-5, atol=1e-6)
    (found.values.sum() + values.sum()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
