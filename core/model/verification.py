"""What a model can do is found out by equality when it is loaded, never by its name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from core.config.model import AttentionChoice
from core.errors import UsageError
from core.model.attention import NAME, register_documents_attention
from core.model.batch import IGNORED, PackedBatch, packed
from core.model.dropout import evaluating
from core.model.head import HeadKind, head_logits, head_parameters
from core.model.prefixes import share_prefixes
from core.model.reading import Packing, Reading, all_logits, hidden_states

_TOKENS = 64
_HEAD_TOKENS = 16
_TOLERANCE = 1e-4
"""Largest difference, as a share of the largest logit. Two right orders of float32 sums differed by up to 5e-6 over
196 model types; reading one document into another moves logits by 1e-3 and more."""
_TOLERANCE_HALF = 5e-2
"""The same under bf16 or fp16, whose steps are 2^-8 and 2^-11 of a value."""
_LARGE_LOGIT = 1e4
"""Far above every soft cap in use (gemma2 has 30)."""
_CLARITY = 10
"""A leak must stand out by this factor over the tolerance, else the check could not have seen it."""
_CLARITY_HALF = 3
"""The same over the difference that was found, where only half precision can be checked: its tolerance is too wide."""


def verify_reading(
    model: Any, attention: AttentionChoice, *, autocast: torch.dtype | None = None, chunk: int = 512
) -> Reading:
    """Return how `model` reads packed documents rightly, and leave it set to that attention.

    Short documents packed and apart must have the same logits; the head by hand must have the model's own; prefixes are
    shared only where documents that are read so have the logits of whole ones. Training flags and random generators are
    as before afterwards. `autocast` is the type that training will compute in: where it picks another kernel (on CUDA)
    the check runs under it.
    Raises: UsageError where the attention that was asked for does not hold for this model.
    """
    register_documents_attention()
    before = model.config._attn_implementation
    with undisturbed(model), torch.no_grad():
        batch = _documents(model)
        apart = _Apart.of(model, batch)
        failures: list[str] = []
        for name, packing in _candidates(attention):
            reading = Reading(packing=packing, head="stub", attention=name, chunk=chunk)
            failure = _failure(model, reading, batch, apart, autocast)
            if not failure:
                head, shares = _head_of(model, reading, before), _shares(model, reading, autocast)
                return replace(reading, head=head, shares=shares)
            failures.append(f"{name} with {packing}: {failure}")
        model.set_attn_implementation(before)
    raise UsageError(
        f"attention {attention!r} does not hold for {type(model).__name__} ({'; '.join(failures)})",
        hint=_advice(model, attention),
    )


@dataclass(frozen=True)
class _Apart:
    """Logits of each document alone, and of all of them read as one document."""

    right: Tensor
    leaked: Tensor

    @classmethod
    def of(cls, model: Any, batch: PackedBatch) -> _Apart:
        alone = [
            model(input_ids=part, use_cache=False).logits[0]
            for part in torch.split(batch.input_ids, [*batch.lengths], 1)
        ]
        right = torch.cat(alone).float()
        start = batch.lengths[0]
        joined = model(input_ids=batch.input_ids[:, : start + batch.lengths[1]], use_cache=False).logits[0].float()
        return cls(right=right, leaked=joined[start:])


def _candidates(attention: AttentionChoice) -> list[tuple[str, Packing]]:
    match attention:
        case "auto":
            return [
                ("documents", "documents"),
                ("sdpa", "dense"),
                ("eager", "dense"),
                ("sdpa", "unpacked"),
                ("eager", "unpacked"),
            ]
        case "documents" | "flash_attention_2":
            return [(attention, "documents")]
        case "sdpa" | "eager":
            return [(attention, "dense"), (attention, "unpacked")]


def _failure(model: Any, reading: Reading, batch: PackedBatch, apart: _Apart, autocast: torch.dtype | None) -> str:
    """Return why this reading is wrong, or "" where it is right."""
    try:
        model.set_attn_implementation(reading.attention)
        if model.config._attn_implementation != reading.attention:  # some models only log, and stay as they were
            return f"the model stays with {model.config._attn_implementation}"
        clear = 0.0
        for dtype in _types(reading.attention, autocast, on_cuda=batch.input_ids.is_cuda):
            with torch.autocast(batch.input_ids.device.type, dtype=dtype, enabled=dtype is not None):
                difference = _difference(all_logits(model, reading, batch), apart.right)
            if not difference <= (_TOLERANCE if dtype is None else _TOLERANCE_HALF):
                under = f" under {dtype}" if dtype else ""
                return f"packed and apart differ by {difference:.1e} of the largest logit{under}"
            clear = clear or (_TOLERANCE * _CLARITY if dtype is None else difference * _CLARITY_HALF)
    except (NotImplementedError, ImportError, ValueError, TypeError, RuntimeError, KeyError, AttributeError) as error:
        return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
    return "" if reading.packing == "unpacked" else _unclear(batch, apart, clear)


def _types(attention: str, autocast: torch.dtype | None, *, on_cuda: bool) -> list[torch.dtype | None]:
    """Return the types to check an attention in; None is float32, without autocast."""
    if attention == "flash_attention_2":  # its kernels take half precision only
        return [autocast or torch.bfloat16]
    return [None, autocast] if autocast is not None and on_cuda else [None]


def _unclear(batch: PackedBatch, apart: _Apart, clear: float) -> str:
    """Return why a leak could not have been seen, "" where it would move the logits by more than `clear`."""
    second = apart.right[batch.lengths[0] :][: len(apart.leaked)]
    leak = _difference(apart.leaked, second)
    if leak < clear:
        return f"an earlier document would move the logits by only {leak:.1e}, too little to tell"
    return ""


def _difference(found: Tensor, right: Tensor) -> float:
    return ((found.float() - right).abs().max() / right.abs().max().clamp_min(1e-30)).item()


def _shares(model: Any, reading: Reading, autocast: torch.dtype | None) -> bool:
    """Tell whether documents may have their prefix elsewhere in the row; `reading` is right for whole ones."""
    window = getattr(model.config.get_text_config(), "sliding_window", None)  # whose mask would know nothing of it
    if reading.attention != NAME or reading.packing != "documents" or window:
        return False
    batch = _with_prefix(_documents(model))
    own = slice(0, sum(batch.lengths[: batch.documents]))
    try:
        for dtype in _types(reading.attention, autocast, on_cuda=batch.input_ids.is_cuda):
            with torch.autocast(batch.input_ids.device.type, dtype=dtype, enabled=dtype is not None):
                right = all_logits(model, reading, batch)[own].float()
                found = all_logits(model, replace(reading, shares=True), batch)[own]
                without = all_logits(model, reading, replace(batch, prefixes=None))[own]
            difference, tolerance = _difference(found, right), _TOLERANCE if dtype is None else _TOLERANCE_HALF
            clear = _TOLERANCE * _CLARITY if dtype is None else difference * _CLARITY_HALF
            if not difference <= tolerance or not _difference(without, right) > clear:
                return False
    except (NotImplementedError, ImportError, ValueError, TypeError, RuntimeError, KeyError, AttributeError):
        return False
    return True


def _with_prefix(whole: PackedBatch) -> PackedBatch:
    """Return the first document, and the second behind half of the first, which they share; and the third."""
    first, second, third = (part[0].tolist() for part in torch.split(whole.input_ids, [*whole.lengths], 1)[:3])
    half = len(first) // 2
    documents = [first, [*first[:half], *second[half:]], third]
    untargeted = [[IGNORED] * len(document) for document in documents]
    return share_prefixes(packed(documents, untargeted), [(2, half), (1, 0)]).to(whole.input_ids.device)


def _documents(model: Any) -> PackedBatch:
    limit = min(_TOKENS, getattr(model.config, "max_position_embeddings", None) or _TOKENS)
    generator = torch.Generator().manual_seed(17)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    lengths = limit // 3, limit // 3 + 1, 1, limit // 4
    documents = [torch.randint(vocabulary, (length,), generator=generator).tolist() for length in lengths]
    return packed(documents, documents).to(model.get_input_embeddings().weight.device)


def _head_of(model: Any, reading: Reading, before: str) -> HeadKind:
    """Return the head, compared in float32; under the attention of before where this one has no float32."""
    if reading.attention != "flash_attention_2":
        return _verified_head(model, reading)
    model.set_attn_implementation(before)
    head = _verified_head(model, replace(reading, attention=before, packing="unpacked"))
    model.set_attn_implementation(reading.attention)
    return head


def _verified_head(model: Any, reading: Reading) -> HeadKind:
    whole = _documents(model)
    ids = whole.input_ids[0, :_HEAD_TOKENS].tolist()
    row = packed([ids], [ids]).to(whole.input_ids.device)
    right = all_logits(model, reading, row)
    hidden = hidden_states(model, reading, row)
    if _is_right_head(model, "stub", hidden, right):
        return "matrix" if _is_one_matrix(model, hidden) else "stub"
    if _is_right_head(model, "linear", hidden, right):
        return "linear"
    kept = torch.tensor([1, 4, 7], device=right.device)
    try:
        logits = model(input_ids=row.input_ids, use_cache=False, logits_to_keep=kept).logits[0]
    except TypeError:  # 11 of 185 classes do not know the keyword
        logits = right
    if logits.shape[0] == len(kept) and _difference(logits, right[kept].float()) <= _TOLERANCE:
        return "keep"
    raise UsageError(
        f"no way was found to compute the logits of {type(model).__name__} at chosen positions",
        hint="Use another model, or one of its forms that is a plain decoder with a language head.",
    )


def _is_right_head(model: Any, kind: Literal["stub", "linear"], hidden: Tensor, right: Tensor) -> bool:
    try:
        with torch.enable_grad():
            logits = head_logits(model, kind)(hidden.detach().requires_grad_())
    except (TypeError, ValueError, AttributeError, RuntimeError, KeyError, NotImplementedError):
        return False
    known = {id(parameter) for parameter in head_parameters(model)}
    return (
        logits.shape == right.shape
        and _difference(logits.detach(), right.float()) <= _TOLERANCE
        and all(id(leaf) in known for leaf in _parameters_behind(logits))
    )


def _is_one_matrix(model: Any, hidden: Tensor) -> bool:
    """Tell whether the stub's logits are those of the output embedding alone, also where they are large.

    A soft cap of small logits looks like nothing at all.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear or head._forward_hooks or head._forward_pre_hooks:
        return False
    scale = _LARGE_LOGIT / head(hidden).abs().max().clamp_min(1e-30)
    product = head(hidden * scale)
    return _difference(head_logits(model, "stub")(hidden * scale), product) <= _TOLERANCE


def _parameters_behind(result: Tensor) -> Iterator[Tensor]:
    """Yield the parameters whose gradients a backward pass from `result` would reach."""
    waiting, seen = [result.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if isinstance(variable, nn.Parameter):
            yield variable
        waiting.extend(further for further, _ in node.next_functions)


def _advice(model: Any, attention: AttentionChoice) -> str:
    try:
        holds = verify_reading(model, "auto") if attention != "auto" else None
    except UsageError:
        holds = None
    if holds is None:
        return "No way of packing was found that this model honours: set data.pack to false, or use another model."
    return f"Set model.attention to auto: this model reads rightly with {holds.attention} ({holds.packing})."


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Run the block in evaluation mode, and put every training flag and the random generators back."""
    devices = sorted({p.device.index for p in model.parameters() if p.is_cuda})
    with evaluating(model), torch.random.fork_rng(devices=devices):
        yield
