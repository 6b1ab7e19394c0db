"""Documents that share their prefix: where their tokens stand, and that a model reads them as whole ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from core.model import verification
from core.model.attention import attend_within_documents
from core.model.attention_kernel import documents_attention
from core.model.batch import IGNORED, PackedBatch, packed
from core.model.log_probs import sums_by_document, target_log_probs
from core.model.prefixes import share_prefixes, unshared
from core.model.reading import Reading
from core.model.scalar_head import add_head, document_scores
from core.model.verification import verify_reading
from tests.core.model.reference import gradients

X = IGNORED
MARK = torch.empty(1, 1, 1, 0, dtype=torch.bool)


def _whole() -> tuple[PackedBatch, list[tuple[int, int]]]:
    """Three documents behind [7, 8, 9], one alone, two behind [5]; what is shared predicts nothing."""
    documents = [[7, 8, 9, 1, 2], [7, 8, 9, 1, 3, 4], [7, 8, 9, 6], [11, 12], [5, 13, 14], [5, 15]]
    targets = [[X, X, X, 2, X], [X, X, X, 3, 4, X], [X, X, X, 20], [12, X], [X, 14, 9], [X, 16]]
    return packed(documents, targets, rows=(3, 1)), [(3, 3), (1, 0), (2, 1)]


def test_a_row_by_hand() -> None:
    whole, groups = _whole()
    batch = share_prefixes(whole, groups)
    assert batch.lengths == (2, 3, 1, 2, 2, 1, 3, 1)
    assert batch.input_ids[0].tolist() == [1, 2, 1, 3, 4, 6, 11, 12, 13, 14, 15, 7, 8, 9, 5]
    assert batch.targets[0].tolist() == [2, X, 3, 4, X, 20, 12, X, 14, 9, 16, X, X, X, X]
    assert batch.position_ids[0].tolist() == [3, 4, 3, 4, 5, 3, 0, 1, 1, 2, 1, 0, 1, 2, 0]
    assert batch.boundaries.tolist() == [0, 2, 5, 6, 8, 10, 11, 14, 15]
    shared = batch.prefixes
    assert shared is not None
    assert (shared.count, shared.lengths) == (2, (5, 6, 4, 2, 3, 2, 3, 1))
    assert shared.boundaries.tolist() == [0, 5, 11, 15, 17, 20, 22, 25, 26]
    assert shared.places.tolist() == [
        11, 12, 13, 0, 1, 11, 12, 13, 2, 3, 4, 11, 12, 13, 5, 6, 7, 14, 8, 9, 14, 10, 11, 12, 13, 14,
    ]  # fmt: skip
    assert (batch.documents, batch.tokens, batch.target_tokens, batch.rows) == (6, 22, 8, (3, 1))


def test_whole_documents_come_back() -> None:
    whole, groups = _whole()
    batch = share_prefixes(replace(whole, weights=torch.rand(1, 22)), groups).to(torch.device("cpu"))
    again, places = unshared(batch)
    assert torch.equal(again.input_ids, whole.input_ids)
    assert torch.equal(again.position_ids, whole.position_ids)
    assert torch.equal(again.boundaries, whole.boundaries)
    assert (again.lengths, again.prefixes) == (whole.lengths, None)
    assert torch.equal(again.input_ids[0, places], batch.input_ids[0])
    assert torch.equal(again.position_ids[0, places], batch.position_ids[0])
    assert share_prefixes(whole, [(6, 0)]) is whole


@pytest.mark.parametrize("groups", [[(3, 4), (3, 0)], [(3, 3), (1, 0)], [(3, 0), (1, 2), (2, 0)], [(4, 1), (2, 1)]])
def test_what_cannot_be_shared_is_no_group(groups: list[tuple[int, int]]) -> None:
    """A target inside, documents left over, one that is nothing but its prefix, one that begins otherwise."""
    with pytest.raises(AssertionError):
        share_prefixes(_whole()[0], groups)


def _read(model: Any, reading: Reading, batch: PackedBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Return log-probabilities and scores of documents, and the gradients of a sum of both."""
    sums = sums_by_document(target_log_probs(model, reading, batch).values, batch)
    found = torch.stack([sums, document_scores(model, reading, batch)])
    return found.detach(), gradients(model, (found * torch.linspace(-1, 2, found.numel()).view_as(found)).sum())


def _scored(model: Any) -> Any:
    add_head(model, "score", seed=2)
    return model.double()


@pytest.mark.parametrize(("architecture", "key_value_heads"), [("llama", 4), ("llama", 2), ("gpt2", None)])
def test_documents_read_behind_a_shared_prefix_as_whole(
    architecture: str, key_value_heads: int | None, build: Callable[..., Any]
) -> None:
    """Float64, but transformers has its norms in float32: answers, every gradient, with and without checkpointing."""
    whole, groups = _whole()
    batch = share_prefixes(whole, groups)
    model = _scored(build(architecture, key_value_heads=key_value_heads))
    reading = verify_reading(model, "auto")
    assert reading.shares
    right, expected = _read(model, reading, whole)
    for checkpointed in (False, True):
        if checkpointed:
            model.gradient_checkpointing_enable()
        found, gradient = _read(model, reading, batch)
        torch.testing.assert_close(found, right, rtol=0, atol=1e-6)
        for name, one in expected.items():
            assert ((gradient[name] - one).abs().max() / one.abs().max()).item() < 1e-6, name


@pytest.mark.parametrize(
    ("attention", "packing"),
    [("documents", "documents"), ("sdpa", "dense"), ("eager", "dense"), ("sdpa", "unpacked")],
)
@pytest.mark.parametrize("head", ["matrix", "keep"])
def test_a_reading_that_shares_nothing_reads_whole_documents(
    attention: str, packing: str, head: str, build: Callable[..., Any]
) -> None:
    whole, groups = _whole()
    model = _scored(build())
    verify_reading(model, "auto")
    model.set_attn_implementation(attention)
    reading = Reading(packing=packing, head=head, attention=attention)  # type: ignore[arg-type]  # names from lists
    right, expected = _read(model, reading, whole)
    found, gradient = _read(model, reading, share_prefixes(whole, groups))
    torch.testing.assert_close(found, right, rtol=0, atol=1e-9)
    for name, one in expected.items():
        torch.testing.assert_close(gradient[name], one, rtol=0, atol=1e-9, msg=name)


def _parts(dtype: torch.dtype = torch.float64, *, scale: float = 1.0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(15, 4, 8), (15, 2, 8), (15, 2, 8)]
    parts = [torch.randn(shape, generator=generator, dtype=torch.float64) * scale for shape in shapes]
    return [part.to(dtype).requires_grad_() for part in parts]


def _by_mask(batch: PackedBatch, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Softmax over an explicit mask of what each token of the row sees."""
    assert batch.prefixes is not None
    seen = torch.zeros(15, 15, dtype=torch.bool)
    keys = torch.split(batch.prefixes.places, list(batch.prefixes.lengths))
    for own, places in zip(torch.split(torch.arange(15), list(batch.lengths)), keys, strict=True):
        for number, token in enumerate(own):
            seen[token, places[: len(places) - len(own) + number + 1]] = True
    key, value = key.repeat_interleave(2, 1), value.repeat_interleave(2, 1)
    scores = torch.einsum("qhd,khd->hqk", query, key) * 0.4
    return torch.einsum("hqk,khd->qhd", scores.masked_fill(~seen, float("-inf")).softmax(-1), value)


@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["usual", "large"])
def test_kernel_equals_a_masked_softmax_with_its_gradients(scale: float) -> None:
    """In float64; scores up to some thousands would overflow if they were not taken from the largest."""
    batch = share_prefixes(*_whole())
    assert batch.prefixes is not None
    parts = _parts(scale=scale)
    where = batch.boundaries, 0.4, batch.prefixes.places, batch.prefixes.boundaries
    output, _ = documents_attention(*parts, *where)
    right = _by_mask(batch, *parts)
    torch.testing.assert_close(output, right, rtol=0, atol=1e-12 * scale**2)
    direction = torch.randn(output.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = torch.autograd.grad(right, parts, direction)
    for mine, theirs in zip(torch.autograd.grad(output, parts, direction), expected, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-12 * scale**2)


def test_long_prefixes_of_one_length_stand_side_by_side(build: Callable[..., Any]) -> None:
    """Answers and gradients of two groups as of whole documents; and each the same to the bit without the others."""
    generator = torch.Generator().manual_seed(4)
    prompts, answers = ([torch.randint(96, (n,), generator=generator).tolist() for _ in range(4)] for n in (40, 6))
    documents = [[*prompts[n // 2], *answers[n]] for n in range(4)]
    targets = [[*[X] * 40, *document[41:], X] for document in documents]
    whole = packed(documents, targets)
    model = _scored(build())
    reading = verify_reading(model, "auto")
    right, expected = _read(model, reading, whole)
    batch = share_prefixes(whole, [(2, 40), (2, 40)])
    assert batch.prefixes is not None
    assert batch.prefixes.count == 2
    found, gradient = _read(model, reading, batch)
    torch.testing.assert_close(found, right, rtol=0, atol=1e-6)
    for name, one in expected.items():
        assert ((gradient[name] - one).abs().max() / one.abs().max()).item() < 1e-6, name

    # attention alone: products of fewer rows may round in another way
    shapes = [(104, 4, 8), (104, 2, 8), (104, 2, 8)]
    parts = [torch.randn(shape, generator=generator) for shape in shapes]
    both, _ = documents_attention(*parts, batch.boundaries, 0.4, batch.prefixes.places, batch.prefixes.boundaries)
    single = share_prefixes(packed(documents[1:2], targets[1:2]), [(1, 40)])
    assert single.prefixes is not None
    own = [torch.cat([part[6:12], part[24:64]]) for part in parts]
    alone, _ = documents_attention(*own, single.boundaries, 0.4, single.prefixes.places, single.prefixes.boundaries)
    assert torch.equal(alone[:6], both[6:12])


@pytest.mark.parametrize("short", [0, 1 << 14], ids=["long", "short"])
def test_kernel_in_bfloat16(short: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.model.attention_kernel._SHORT_ELEMENTS", short)
    batch = share_prefixes(*_whole())
    assert batch.prefixes is not None
    exact, parts = _parts(), _parts(torch.bfloat16)
    where = batch.boundaries, 0.4, batch.prefixes.places, batch.prefixes.boundaries
    output, _ = documents_attention(*parts, *where)
    direction = torch.randn(output.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = torch.autograd.grad(_by_mask(batch, *exact), exact, direction)
    for mine, theirs in zip(torch.autograd.grad(output, parts, direction.bfloat16()), expected, strict=True):
        assert mine.dtype is torch.bfloat16
        assert ((mine - theirs).norm() / theirs.norm()).item() < 2e-2


def test_kernel_declares_what_it_does_with_prefixes() -> None:
    batch = share_prefixes(*_whole())
    assert batch.prefixes is not None
    where = batch.boundaries, 0.4, batch.prefixes.places, batch.prefixes.boundaries
    torch.library.opcheck(documents_attention, (*_parts(torch.float32), *where))


def test_one_by_one_equals_the_kernel_and_a_mask_is_refused() -> None:
    """Dropout of nearly nothing takes the way without the kernel."""
    batch = share_prefixes(*_whole())
    parts = [part.transpose(0, 1)[None] for part in _parts(torch.float32)]
    module: Any = SimpleNamespace(is_causal=True, training=True)
    known: dict[str, Any] = {"cu_seq_lens_q": batch.boundaries, "prefixes": batch.prefixes}
    fast, _ = attend_within_documents(module, *parts, MARK, **known)
    slow, _ = attend_within_documents(module, *parts, MARK, dropout=1e-12, **known)
    torch.testing.assert_close(fast, slow, rtol=0, atol=1e-6)
    with pytest.raises(NotImplementedError, match="no shared prefixes"):
        attend_within_documents(module, *parts, torch.ones(1, 1, 15, 15, dtype=torch.bool), **known)


def _model(kind: str, **numbers: Any) -> Any:
    torch.manual_seed(0)
    small = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
             "num_key_value_heads": 2, "intermediate_size": 64, "initializer_range": 0.1}  # fmt: skip
    config = getattr(transformers, f"{kind}Config")(**small, **numbers)
    return transformers.AutoModelForCausalLM.from_config(config)


def test_a_model_with_a_window_reads_whole_documents() -> None:
    """Its mask begins at the first row longer than the window: no check of a short one would see that."""
    assert not verify_reading(_model("Mistral", sliding_window=128), "auto").shares
    assert verify_reading(_model("Mistral", sliding_window=None), "auto").shares


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_an_attention_that_knows_no_prefixes_reads_whole_documents(attention: Any, build: Callable[..., Any]) -> None:
    assert not verify_reading(build(), attention).shares


def test_a_model_that_drops_prefixes_is_found_out(build: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    true = verification.all_logits

    def deaf(model: Any, reading: Reading, batch: PackedBatch) -> Tensor:
        return true(model, reading, replace(batch, prefixes=None) if reading.shares else batch)

    monkeypatch.setattr(verification, "all_logits", deaf)
    assert not verify_reading(build(), "auto").shares
