"""The loss with a weight for each target, through every head, against a loop over logits in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from core.model import matrix_head
from core.model.batch import IGNORED, PackedBatch
from core.model.reading import Reading, next_token_loss
from core.model.verification import verify_reading
from tests.core.model.reference import gradients, loss_apart

HEADS = ["matrix", "stub", "linear", "keep"]


def reading_of(model: Any, head: str, *, chunk: int = 4) -> Reading:
    return replace(verify_reading(model, "auto"), head=head, chunk=chunk)  # type: ignore[arg-type]


def weighted(batch: PackedBatch, weights: Tensor | None = None) -> PackedBatch:
    if weights is None:
        weights = torch.rand(batch.targets.shape, generator=torch.Generator().manual_seed(2)) * 5 + 0.1
    return replace(batch, weights=weights.float() * (batch.targets != IGNORED))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("architecture", "tied"), [("llama", True), ("llama", False), ("gpt2", True)])
def test_loss_and_every_gradient_equal_a_loop_over_logits(
    head: str, architecture: str, tied: bool, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    """Float64, so 1e-9 is some thousand roundings; `keep` takes its logits to float32. Chunks do not divide the row."""
    model = build(architecture, tie_embeddings=tied, key_value_heads=None).double()
    batch = weighted(row(7, 1, 12, 4))
    right = loss_apart(model, batch)
    expected = gradients(model, right)
    loss = next_token_loss(model, reading_of(model, head), batch)
    assert loss.item() == pytest.approx(right.item(), rel=1e-6 if head == "keep" else 1e-9)
    found = gradients(model, loss)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=1e-5 if head == "keep" else 1e-8, msg=name)
    plain = next_token_loss(model, reading_of(model, head), replace(batch, weights=None))
    assert abs(plain.item() - loss.item()) > 1


@pytest.mark.parametrize("head", HEADS)
def test_weights_that_are_all_1_change_no_bit(
    head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build(), row(7, 1, 12, 4)
    reading = reading_of(model, head, chunk=64)
    ones = weighted(batch, torch.ones(batch.targets.shape))
    plain, other = next_token_loss(model, reading, batch), next_token_loss(model, reading, ones)
    tolerance = 0 if head == "matrix" else 1e-6  # torch adds up its own reduction in another order
    assert other.item() == pytest.approx(plain.item(), rel=tolerance, abs=0)
    plain_gradients, found = gradients(model, plain), gradients(model, other)
    for name, gradient in plain_gradients.items():
        assert torch.equal(found[name], gradient), name


@pytest.mark.parametrize("head", HEADS)
def test_a_weight_of_0_is_no_target(head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]) -> None:
    model, batch = build().double(), row(7, 12, 4)
    reading = reading_of(model, head)
    weights = (torch.arange(batch.targets.shape[1]) % 3 != 0).float()[None]
    masked = replace(batch, targets=torch.where(weights > 0, batch.targets, IGNORED))
    assert masked.target_tokens < batch.target_tokens
    expected = next_token_loss(model, reading, masked)
    found = next_token_loss(model, reading, weighted(batch, weights))
    assert found.item() == pytest.approx(expected.item(), rel=1e-6 if head == "keep" else 1e-12)
    plain_gradients, found_gradients = gradients(model, expected), gradients(model, found)
    for name, gradient in plain_gradients.items():
        tolerance = 1e-6 if head == "keep" else 1e-12
        torch.testing.assert_close(found_gradients[name], gradient, rtol=0, atol=tolerance, msg=name)


def test_blocks_of_rows_change_nothing(
    build: Callable[..., Any], row: Callable[..., PackedBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = build().double(), weighted(row(9, 12))
    reading = reading_of(model, "matrix", chunk=64)
    whole = gradients(model, next_token_loss(model, reading, batch))
    monkeypatch.setattr(matrix_head, "_BLOCK_ELEMENTS", 96 * 5)
    for name, gradient in gradients(model, next_token_loss(model, reading, batch)).items():
        assert torch.equal(gradient, whole[name]), name


@pytest.mark.parametrize("head", ["matrix", "stub"])
def test_autocast_keeps_weights_and_softmax_in_float32(
    head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    """bf16 has 8 bits: products may be off by 2^-8 of a logit, which averages out over the targets."""
    model, batch = build(), weighted(row(20, 12))
    right = loss_apart(model, batch)
    expected = gradients(model, right)
    reading = reading_of(model, head)
    with torch.autocast("cpu", torch.bfloat16):
        loss = next_token_loss(model, reading, batch)
    assert loss.dtype is torch.float32
    assert loss.item() == pytest.approx(right.item(), rel=2e-3)
    for name, gradient in gradients(model, loss).items():
        assert ((gradient - expected[name]).norm() / expected[name].norm()).item() < 2e-2, name


def test_the_weight_of_a_batch_is_summed_in_float64(row: Callable[..., PackedBatch]) -> None:
    batch = row(7, 12)
    assert batch.target_weight == batch.target_tokens
    tenths = weighted(batch, torch.full(batch.targets.shape, 0.1))
    assert tenths.target_weight == pytest.approx(batch.target_tokens * float(torch.tensor(0.1)), rel=1e-15)
    assert tenths.to(torch.device("cpu")).weights is tenths.weights
