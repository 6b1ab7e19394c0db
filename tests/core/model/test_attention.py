from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.model import attention_kernel
from core.model.attention import attend_within_documents, documents_mask, register_documents_attention
from core.model.attention_kernel import documents_attention
from tests.core.model.reference import apart

LENGTHS = (5, 1, 9, 2)


def _parts(heads: int, shared: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = sum(LENGTHS)
    return tuple(
        torch.randn(tokens, number, 8, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for number in (heads, shared, shared)
    )  # type: ignore[return-value]


def _boundaries(*lengths: int) -> Tensor:
    return torch.tensor([0, *lengths]).cumsum(0).to(torch.int32)


def _by_mask(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """Softmax over an explicit mask, written out: a token sees its own document up to itself."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    document = torch.repeat_interleave(torch.arange(len(LENGTHS)), torch.tensor(LENGTHS))
    place = torch.arange(len(document))
    seen = (document[:, None] == document) & (place[:, None] >= place)
    scores = torch.einsum("qhd,khd->hqk", query, key) * scale
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, float("-inf")).softmax(-1), value)


@pytest.mark.parametrize(("heads", "shared"), [(4, 4), (4, 2), (6, 1)])
def test_kernel_equals_a_masked_softmax_with_its_gradients(heads: int, shared: int) -> None:
    """In float64, so the tolerance is that of a few hundred sums: 1e-12."""
    parts = _parts(heads, shared)
    output, _ = documents_attention(*parts, _boundaries(*LENGTHS), 0.4)
    right = _by_mask(*parts, 0.4)
    torch.testing.assert_close(output, right, rtol=0, atol=1e-12)
    direction = torch.randn(output.shape, dtype=torch.float64)
    found = torch.autograd.grad(output, parts, direction)
    for mine, theirs in zip(found, torch.autograd.grad(right, parts, direction), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("short", [0, 1 << 14], ids=["long", "short"])
def test_gradients_in_bfloat16_are_right_for_short_and_long_documents(
    short: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways of the backward pass; bf16 has steps of 2^-8, and a gradient is a sum of some dozen products."""
    monkeypatch.setattr(attention_kernel, "_SHORT_ELEMENTS", short)
    exact = _parts(4, 2)
    parts = tuple(part.detach().bfloat16().requires_grad_() for part in exact)
    output, _ = documents_attention(*parts, _boundaries(*LENGTHS), 0.4)
    direction = torch.randn(output.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    right = torch.autograd.grad(_by_mask(*exact, 0.4), exact, direction)
    for mine, theirs in zip(torch.autograd.grad(output, parts, direction.bfloat16()), right, strict=True):
        assert mine.dtype is torch.bfloat16
        assert ((mine - theirs).norm() / theirs.norm()).item() < 2e-2


def test_kernel_declares_what_it_does() -> None:
    """Shapes for the compiler, gradients and dispatch as torch's own checks want them."""
    parts = _parts(4, 2, torch.float32)
    torch.library.opcheck(documents_attention, (*parts, _boundaries(*LENGTHS), 0.4))


def _module() -> Any:
    return SimpleNamespace(is_causal=True, training=True)


def _heads_first(parts: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, ...]:
    return tuple(part.transpose(0, 1)[None] for part in parts)


MARK = torch.empty(1, 1, 1, 0, dtype=torch.bool)


def test_one_by_one_equals_the_kernel() -> None:
    """Dropout of nearly nothing takes the way without the kernel."""
    parts = _heads_first(_parts(4, 2, torch.float32))
    boundaries = _boundaries(*LENGTHS)
    fast, _ = attend_within_documents(_module(), *parts, MARK, cu_seq_lens_q=boundaries)
    slow, _ = attend_within_documents(_module(), *parts, MARK, cu_seq_lens_q=boundaries, dropout=1e-12)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-6)


@pytest.mark.parametrize("unknown", ["s_aux", "softcap", "position_bias", "something_new"])
def test_what_would_be_ignored_is_refused(unknown: str) -> None:
    parts = _heads_first(_parts(4, 4, torch.float32))
    with pytest.raises(NotImplementedError, match=unknown):
        attend_within_documents(_module(), *parts, MARK, cu_seq_lens_q=_boundaries(*LENGTHS), **{unknown: 1.0})
    attend_within_documents(_module(), *parts, MARK, cu_seq_lens_q=_boundaries(*LENGTHS), **{unknown: None})


def test_a_packed_row_without_boundaries_is_refused() -> None:
    with pytest.raises(NotImplementedError, match="drops the boundaries"):
        attend_within_documents(_module(), *_heads_first(_parts(4, 4, torch.float32)), MARK)


def test_attention_that_is_not_causal_is_refused() -> None:
    parts = _heads_first(_parts(4, 4, torch.float32))
    with pytest.raises(NotImplementedError, match="causal"):
        attend_within_documents(_module(), *parts, MARK, cu_seq_lens_q=_boundaries(*LENGTHS), is_causal=False)


def test_autocast_reaches_the_kernel() -> None:
    """Rotated queries and keys are float32 beside bf16 values; ordinary sdpa would cast them all."""
    query, key, value = _heads_first(_parts(4, 2, torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        output, _ = attend_within_documents(
            _module(), query, key, value.bfloat16(), MARK, cu_seq_lens_q=_boundaries(*LENGTHS)
        )
        start, stop = 6, 15
        alone = F.scaled_dot_product_attention(
            *(part[:, :, start:stop] for part in (query, key, value)), is_causal=True, enable_gqa=True
        )
    assert output.dtype is torch.bfloat16
    torch.testing.assert_close(output[:, start:stop], alone.transpose(1, 2), rtol=0, atol=0)


def _mask_keywords(**changed: Any) -> dict[str, Any]:
    usual = {"batch_size": 1, "q_length": 6, "kv_length": 6, "device": torch.device("cpu"), "attention_mask": None}
    return {**usual, "allow_is_causal_skip": False, **changed}


def test_the_mask_of_a_packed_row_is_the_mark() -> None:
    mask = documents_mask(**_mask_keywords())
    assert mask is not None
    assert mask.numel() == 0


@pytest.mark.parametrize(
    "changed",
    [
        {"attention_mask": torch.tensor([[False, True, True, True, True, True]])},
        {"local_size": 3},
        {"use_vmap": True},
        {"kv_length": 8, "q_offset": 2},
    ],
    ids=["padding", "window", "custom", "cache"],
)
def test_every_other_mask_is_a_real_one(changed: dict[str, Any]) -> None:
    mask = documents_mask(**_mask_keywords(**changed))
    assert mask is not None
    assert mask.numel() > 0


def test_padding_is_honoured_as_sdpa_honours_it(build: Any) -> None:
    model = build().eval()
    ids = torch.tensor([[0, 0, 0, 7, 8, 9, 10], [1, 2, 3, 4, 5, 6, 7]])
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [1] * 7])
    position_ids = (mask.cumsum(1) - 1).clamp_min(0)
    with torch.no_grad():
        right = model(input_ids=ids, attention_mask=mask, position_ids=position_ids).logits
        register_documents_attention()
        model.set_attn_implementation("documents")
        found = model(input_ids=ids, attention_mask=mask, position_ids=position_ids).logits
        alone = model(input_ids=ids[:1, 3:]).logits
    torch.testing.assert_close(found, right, rtol=0, atol=0)
    torch.testing.assert_close(found[:1, 3:], alone, rtol=0, atol=1e-5)  # another order of float32 sums


def test_a_sliding_window_still_slides(row: Any) -> None:
    """A window of 4 in rows of 17: packed with boundaries equals each document alone under sdpa."""
    from transformers import MistralConfig, MistralForCausalLM

    from core.model.reading import Reading, all_logits

    torch.manual_seed(0)
    config = MistralConfig(vocab_size=96, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                           num_attention_heads=4, num_key_value_heads=2, sliding_window=4)  # fmt: skip
    model = MistralForCausalLM(config).eval()
    batch = row(9, 1, 7)
    register_documents_attention()
    with torch.no_grad():
        right = apart(model, batch)
        model.set_attn_implementation("documents")
        found = all_logits(model, Reading("documents", "stub", "documents"), batch)
        model.config.sliding_window = 100
        wide = all_logits(model, Reading("documents", "stub", "documents"), batch)
    torch.testing.assert_close(found, right, rtol=0, atol=1e-5)
    assert (wide - right).abs().max() > 1e-3
