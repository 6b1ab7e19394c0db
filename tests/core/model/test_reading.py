from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from core.model import matrix_head
from core.model.batch import PackedBatch
from core.model.reading import Reading, all_logits, next_token_loss
from core.model.verification import verify_reading
from tests.core.model.reference import apart, gradients, loss_apart

READINGS = [("documents", "documents"), ("sdpa", "dense"), ("eager", "dense"), ("sdpa", "unpacked")]
HEADS = ["matrix", "stub", "linear", "keep"]


def _set(model: Any, packing: str, attention: str, head: str = "stub", chunk: int = 4) -> Reading:
    reading = verify_reading(model, "auto")
    model.set_attn_implementation(attention)
    return replace(reading, packing=packing, attention=attention, head=head, chunk=chunk)  # type: ignore[arg-type]


@pytest.mark.parametrize(("attention", "packing"), READINGS)
@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_every_packing_equals_documents_apart(
    attention: str, packing: str, architecture: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build(architecture).double().eval(), row(7, 1, 12, 4)
    right = apart(model, batch)
    found = all_logits(model, _set(model, packing, attention), batch)
    torch.testing.assert_close(found, right, rtol=0, atol=1e-6)  # rotary tables stay in float32


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(("architecture", "tied"), [("llama", True), ("llama", False), ("gpt2", True)])
def test_loss_and_every_gradient_equal_the_longest_way(
    head: str, architecture: str, tied: bool, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    """Float64 through and through, so 1e-9 is some thousand roundings; chunks of 4 do not divide the targets."""
    model, batch = build(architecture, tie_embeddings=tied, key_value_heads=None).double(), row(7, 1, 12, 4)
    for name, buffer in model.named_buffers():
        assert buffer.dtype is torch.float64 or "freq" in name
    right = loss_apart(model, batch)
    expected = gradients(model, right)
    loss = next_token_loss(model, _set(model, "documents", "documents", head), batch)
    if head != "keep":
        assert loss.dtype is torch.float64
    assert loss.item() == pytest.approx(right.item(), rel=1e-6 if head == "keep" else 1e-9)
    found = gradients(model, loss)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=0, atol=2e-6 if head == "keep" else 1e-8, msg=name)


@pytest.mark.parametrize("head", ["matrix", "stub"])
def test_gradients_scale_with_what_the_loss_is_multiplied_by(
    head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build().double(), row(7, 12)
    reading = _set(model, "documents", "documents", head)
    once = gradients(model, next_token_loss(model, reading, batch))
    scaled = gradients(model, next_token_loss(model, reading, batch) * 0.25)
    for name, gradient in once.items():
        torch.testing.assert_close(scaled[name], gradient / 4, rtol=1e-12, atol=0)


def test_two_rows_accumulate(build: Callable[..., Any], row: Callable[..., PackedBatch]) -> None:
    """Gradients handed over without a copy must not be shared between passes."""
    model, first, second = build().double(), row(7, 12), row(9, 3, seed=8)
    reading = _set(model, "documents", "documents", "matrix")
    expected = gradients(model, next_token_loss(model, reading, first))
    for name, gradient in gradients(model, next_token_loss(model, reading, second)).items():
        expected[name] += gradient
    next_token_loss(model, reading, first).backward()
    next_token_loss(model, reading, second).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("head", ["matrix", "stub", "linear"])
def test_without_targets_the_loss_is_zero_and_has_gradients(
    head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build(), row(7, 12)
    batch = replace(batch, targets=torch.full_like(batch.targets, -100))
    loss = next_token_loss(model, _set(model, "documents", "documents", head), batch)
    assert loss.item() == 0
    assert all(gradient.abs().max() == 0 for gradient in gradients(model, loss).values())


@pytest.mark.parametrize("head", ["matrix", "stub", "linear"])
def test_without_gradients_only_the_loss_is_made(
    head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build(), row(7, 12)
    reading = _set(model, "documents", "documents", head)
    with torch.no_grad():
        quiet = next_token_loss(model, reading, batch)
    assert not quiet.requires_grad
    assert quiet.item() == pytest.approx(next_token_loss(model, reading, batch).item(), rel=1e-6)


@pytest.mark.parametrize("head", ["matrix", "stub"])
def test_autocast_keeps_the_softmax_in_float32(
    head: str, build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    """bf16 has 8 bits: products may be off by 2^-8 of a logit, which averages out over 20 targets."""
    model, batch = build(), row(20, 12)
    right = loss_apart(model, batch)
    expected = gradients(model, right)
    reading = _set(model, "documents", "documents", head)
    with torch.autocast("cpu", torch.bfloat16):
        loss = next_token_loss(model, reading, batch)
    assert loss.dtype is torch.float32
    assert loss.item() == pytest.approx(right.item(), rel=2e-3)
    for name, gradient in gradients(model, loss).items():
        assert gradient.dtype is torch.float32
        assert ((gradient - expected[name]).norm() / expected[name].norm()).item() < 2e-2, name


def test_a_fresh_model_is_as_surprised_as_chance(build: Callable[..., Any], row: Callable[..., PackedBatch]) -> None:
    model, batch = build(), row(30, 30)
    loss = next_token_loss(model, verify_reading(model, "auto"), batch).item() / batch.target_tokens
    assert loss == pytest.approx(math.log(96), abs=0.1)


def test_gradient_checkpointing_changes_nothing(build: Callable[..., Any], row: Callable[..., PackedBatch]) -> None:
    """Bit for bit: the same operations run twice; with dropout, which must fall alike both times."""
    batch = row(7, 1, 12)
    results = []
    for checkpointing in (False, True):
        model = build("gpt2", gradient_checkpointing=checkpointing, dropout=0.1)
        reading = verify_reading(model, "auto")
        torch.manual_seed(9)
        loss = next_token_loss(model, reading, batch)
        results.append((loss.detach(), gradients(model, loss)))
    assert torch.equal(results[0][0], results[1][0])
    for name, gradient in results[0][1].items():
        assert torch.equal(gradient, results[1][1][name]), name


def test_blocks_of_rows_change_no_bit_of_the_loss(
    build: Callable[..., Any], row: Callable[..., PackedBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = build().double(), row(9, 12)
    reading = _set(model, "documents", "documents", "matrix", chunk=64)
    whole = gradients(model, next_token_loss(model, reading, batch))
    monkeypatch.setattr(matrix_head, "_BLOCK_ELEMENTS", 96 * 5)
    for name, gradient in gradients(model, next_token_loss(model, reading, batch)).items():
        assert torch.equal(gradient, whole[name]), name


def test_documents_that_may_attend_across_come_as_one(
    build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    model, batch = build().eval(), row(7, 12)
    joined = replace(
        batch, boundaries=torch.tensor([0, 19], dtype=torch.int32), lengths=(19,), position_ids=torch.arange(19)[None]
    )
    reading = verify_reading(model, "auto")
    with torch.no_grad():
        right = model(input_ids=batch.input_ids).logits[0]
        torch.testing.assert_close(all_logits(model, reading, joined), right, rtol=0, atol=1e-5)
        assert (all_logits(model, reading, batch) - right)[7:].abs().max() > 1e-3


def test_a_changed_document_leaves_the_next_one_alone(
    build: Callable[..., Any], row: Callable[..., PackedBatch]
) -> None:
    """Not a bit: nothing of the first document enters a sum of the second."""
    model, batch = build().eval(), row(7, 12)
    reading = verify_reading(model, "auto")
    other = replace(batch, input_ids=torch.cat([(batch.input_ids[:, :7] + 1) % 96, batch.input_ids[:, 7:]], 1))
    with torch.no_grad():
        before, after = all_logits(model, reading, batch), all_logits(model, reading, other)
    assert torch.equal(before[7:], after[7:])
    assert not torch.equal(before[:7], after[:7])


@pytest.mark.parametrize("head", ["matrix", "stub", "linear"])
def test_logits_stand_for_one_chunk_of_targets_at_a_time(
    head: str, build: Callable[..., Any], row: Callable[..., PackedBatch], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = build(), row(7, 12, 20)
    reading = _set(model, "documents", "documents", head, chunk=5)
    rows: list[int] = []
    if head == "matrix":
        become = matrix_head._become_gradient

        def watched(logits: Any, *arguments: Any) -> Any:
            rows.append(len(logits))
            return become(logits, *arguments)

        monkeypatch.setattr(matrix_head, "_become_gradient", watched)
    else:
        model.lm_head.register_forward_hook(lambda module, inputs, output: rows.append(output.shape[-2]))
    next_token_loss(model, reading, batch).backward()
    assert max(rows) == 5
    assert sum(rows) == batch.target_tokens < batch.tokens
