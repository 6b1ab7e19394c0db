from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from core.errors import UsageError
from core.model import attention, verification
from core.model.batch import PackedBatch
from core.model.head import head_logits
from core.model.reading import next_token_loss
from core.model.verification import verify_reading
from tests.core.model.reference import gradients, loss_apart

SMALL = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}  # fmt: skip
GROUPED = {**SMALL, "intermediate_size": 64, "num_key_value_heads": 2, "head_dim": 8}


def _model(kind: str, **numbers: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**numbers)
    return transformers.AutoModelForCausalLM.from_config(config)


def _leaking(row: Any) -> Any:
    """Return a packed row, as attention has it, of which all documents are one."""
    return replace(row, boundaries=row.boundaries[[0, -1]])


def _gemma2() -> Any:
    return _model("Gemma2", **GROUPED, final_logit_softcapping=5.0, attn_logit_softcapping=None, initializer_range=0.3)


def _cohere() -> Any:
    return _model("Cohere", **{**GROUPED, "logit_scale": 0.25, "initializer_range": 0.1})


def _granite() -> Any:
    return _model("Granite", **GROUPED, logits_scaling=8.0, embedding_multiplier=3.0, initializer_range=0.1)


@pytest.mark.parametrize("make", [_gemma2, _cohere, _granite])
def test_caps_and_scales_of_the_logits_are_the_models_own(make: Callable[[], Any], row: Any) -> None:
    """A head by hand is silently wrong for these three: the choice must see it, and the loss must be theirs."""
    model, batch = make(), row(7, 1, 12)
    reading = verify_reading(model, "auto", chunk=4)
    assert reading.head == "stub"
    right = loss_apart(model, batch)
    loss = next_token_loss(model, reading, batch)
    assert loss.item() == pytest.approx(right.item(), rel=1e-5)  # float32
    expected, found = gradients(model, right), gradients(model, loss)
    for name, gradient in expected.items():
        scale = gradient.abs().max().clamp_min(1e-3)
        assert ((found[name] - gradient).abs().max() / scale).item() < 1e-4, name
    by_hand = next_token_loss(model, replace(reading, head="linear"), batch)
    assert abs(by_hand.item() - right.item()) > 1e-2 * right.item()


def test_a_soft_cap_far_above_the_logits_is_seen(build: Callable[..., Any]) -> None:
    """Logits of 0.1 under a cap of 30 differ from the capped ones by 4e-7: less than float32 sums do."""
    model = _model("Gemma2", **GROUPED, final_logit_softcapping=30.0, attn_logit_softcapping=None)
    with torch.no_grad():
        hidden = torch.randn(16, 32)
        plain, capped = head_logits(model, "linear")(hidden), head_logits(model, "stub")(hidden)
    assert ((plain - capped).abs().max() / capped.abs().max()) < 1e-4
    assert verify_reading(model, "auto").head == "stub"
    assert verify_reading(build(), "auto").head == "matrix"


def test_a_wrapped_head_is_no_matrix(build: Callable[..., Any]) -> None:
    model = build()
    model.lm_head.register_forward_hook(lambda module, arguments, output: output)
    assert verify_reading(model, "auto").head == "stub"


def test_attention_with_a_soft_cap_is_not_read_as_documents(row: Callable[..., PackedBatch]) -> None:
    """gemma2's scores are capped, which the kernel would ignore: refused there, right with a mask."""
    model = _model("Gemma2", **GROUPED, attn_logit_softcapping=2.0, initializer_range=0.3)
    with pytest.raises(UsageError, match="softcap"):
        verify_reading(model, "documents")
    reading = verify_reading(model, "auto")
    assert (reading.attention, reading.packing) == ("eager", "dense")
    model.set_attn_implementation("eager")
    batch = row(7, 1, 12)
    right = loss_apart(model, batch).item()
    assert next_token_loss(model, reading, batch).item() == pytest.approx(right, rel=1e-5)


def test_a_recurrent_model_that_drops_the_boundaries_runs_unpacked(row: Callable[..., PackedBatch]) -> None:
    """mamba's state runs on from one document into the next whatever the mask says."""
    numbers = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "pad_token_id": 0}
    model = _model("Mamba", **numbers, initializer_range=0.3)
    reading = verify_reading(model, "auto")
    assert reading.packing == "unpacked"
    batch = row(7, 1, 12)
    right = loss_apart(model, batch).item()
    assert next_token_loss(model, reading, batch).item() == pytest.approx(right, rel=1e-5)
    leaking = next_token_loss(model, replace(reading, packing="dense"), batch).item()
    assert abs(leaking - right) > 1e-4 * right
    with pytest.raises(UsageError, match="documents"):
        verify_reading(model, "documents")


@pytest.mark.parametrize("choice", ["documents", "sdpa", "eager"])
def test_a_named_attention_is_the_one_that_runs(choice: Any, build: Callable[..., Any]) -> None:
    model = build()
    assert verify_reading(model, choice).attention == choice
    assert model.config._attn_implementation == choice


def test_a_named_attention_that_does_not_hold_is_an_error_that_says_what_does(build: Callable[..., Any]) -> None:
    """flash-attn is not installed where tests run on a CPU."""
    with pytest.raises(UsageError) as caught:
        verify_reading(build(), "flash_attention_2")
    assert "flash_attention_2" in caught.value.message
    assert "documents" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "autocast", "on_cuda", "expected"),
    [
        ("flash_attention_2", None, True, [torch.bfloat16]),  # its kernels know no float32
        ("flash_attention_2", torch.float16, True, [torch.float16]),
        ("documents", torch.bfloat16, True, [None, torch.bfloat16]),
        ("documents", torch.bfloat16, False, [None]),
        ("sdpa", None, True, [None]),
    ],
)
def test_an_attention_is_checked_in_the_types_it_has(
    name: str, autocast: torch.dtype | None, on_cuda: bool, expected: list[torch.dtype | None]
) -> None:
    assert verification._types(name, autocast, on_cuda=on_cuda) == expected


@pytest.mark.parametrize("leaks", [False, True])
def test_a_kernel_without_float32_is_checked_under_autocast(
    leaks: bool, build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our kernel stands for one that takes half precision only."""
    one_row, types = attention._one_row, verification._types

    def half_only(row: Any, *, dropout: float) -> Any:
        if not torch.is_autocast_enabled("cpu"):
            raise RuntimeError("only fp16 and bf16")
        return one_row(_leaking(row) if leaks else row, dropout=dropout)

    model = build()
    monkeypatch.setattr(attention, "_one_row", half_only)
    with pytest.raises(UsageError, match="only fp16 and bf16"):
        verify_reading(model, "documents")
    monkeypatch.setattr(
        verification, "_types", lambda name, *_, on_cuda: types("flash_attention_2", None, on_cuda=on_cuda)
    )
    monkeypatch.setattr(verification, "_head_of", lambda *_: "matrix")
    if leaks:
        with pytest.raises(UsageError, match=r"too little to tell|packed and apart differ"):
            verify_reading(model, "documents")
    else:
        assert verify_reading(model, "documents").packing == "documents"


def test_a_model_that_only_logs_and_stays_eager_is_found_out() -> None:
    model = _model("Bloom", vocab_size=96, hidden_size=32, n_layer=2, n_head=4)
    with pytest.raises(UsageError, match="stays with eager"):
        verify_reading(model, "sdpa")


def test_a_kernel_that_leaks_is_not_believed(build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself must be able to fail: one causal attention over the whole row."""
    one_row = attention._one_row

    monkeypatch.setattr(attention, "_one_row", lambda row, *, dropout: one_row(_leaking(row), dropout=dropout))
    with pytest.raises(UsageError, match="packed and apart differ"):
        verify_reading(build(), "documents")
    assert verify_reading(build(), "auto").packing == "dense"


def test_a_model_deaf_to_its_context_is_not_called_verified(build: Callable[..., Any]) -> None:
    """With attention switched off nothing can leak, so equality would say nothing."""
    model = build()
    for layer in model.model.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
    with pytest.raises(UsageError, match="too little to tell"):
        verify_reading(model, "documents")
    assert verify_reading(model, "auto").packing == "unpacked"


def test_the_check_leaves_no_trace(build: Callable[..., Any]) -> None:
    model = build("gpt2", dropout=0.1)
    model.transformer.h[0].eval()
    flags = [module.training for module in model.modules()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    verify_reading(model, "auto")
    assert [module.training for module in model.modules()] == flags
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == generators[1:]


@pytest.mark.slow
def test_smollm2_reads_documents_and_knows_paris(smollm2: Any) -> None:
    from tokenizers import Tokenizer

    from core.config.cadence import Sampling
    from core.model.generate import generate
    from core.model.load import load_folder

    _, folder = smollm2
    model = load_folder(folder)
    reading = verify_reading(model, "auto")
    assert (reading.packing, reading.head) == ("documents", "matrix")
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode(prompt).ids
    assert generate(model, folder, ids, Sampling(temperature=0), seed=1) == "The capital of France is Paris."
